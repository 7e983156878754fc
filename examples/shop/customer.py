"""Somebody who buys: places an order at the website, watches it, and pays when asked to. Only HTTP, no holdfast.

``python -m examples.shop.customer http://127.0.0.1:8000 "a lamp" 4200``
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.request import Request, urlopen

SECONDS = 30


def buy(shop: str, item: str, cents: int) -> Any:
    """Buy something and return the receipt."""
    order = {"id": uuid.uuid4().hex[:8], "item": item, "cents": cents}
    send(f"{shop}/orders", order)
    for told in watch(f"{shop}/orders/{order['id']}/progress"):
        print(f"{told['stage']}: {told['text']}")
        if told["pay_at"]:
            send(told["pay_at"], {"cents": cents})
    return receipt(f"{shop}/orders/{order['id']}")


def watch(url: str) -> Iterator[Any]:
    """Yield what server-sent events say, until the server ends them."""
    with urlopen(url, timeout=SECONDS) as lines:
        for line in lines:
            if line.startswith(b"data: "):
                yield json.loads(line.removeprefix(b"data: "))


def receipt(url: str) -> Any:
    """Return the receipt; the last word of the progress may come a moment before it."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        with urlopen(url, timeout=SECONDS) as answer:
            placed = json.load(answer)
        if placed["receipt"]:
            return placed["receipt"]
        time.sleep(0.05)
    raise TimeoutError(f"no receipt at {url}")


def send(url: str, value: Any) -> None:
    """Post a value as JSON."""
    body = json.dumps(value).encode()
    urlopen(Request(url, body, {"content-type": "application/json"}), timeout=SECONDS).close()


if __name__ == "__main__":
    shop, item, cents = sys.argv[1:]
    print(buy(shop, item, int(cents)))
