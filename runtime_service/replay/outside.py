"""Everything an asyncio loop can do that reaches outside the process or another thread: here it refuses.

One table of names; ``ReplayLoop`` gets a refusing method for each. A test compares the table with what
``asyncio.AbstractEventLoop`` offers, so a new Python cannot open a hole unnoticed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NoReturn

from runtime_service.replay.guard import refuse

#: Methods of the loop that a workflow must not use.
REACHING_OUT: Final = (
    *("run_in_executor", "set_default_executor", "call_soon_threadsafe"),
    *("getaddrinfo", "getnameinfo", "create_connection", "create_server", "sendfile", "start_tls"),
    *("create_unix_connection", "create_unix_server", "connect_accepted_socket", "create_datagram_endpoint"),
    *("connect_read_pipe", "connect_write_pipe", "subprocess_shell", "subprocess_exec"),
    *("add_reader", "remove_reader", "add_writer", "remove_writer"),
    *("sock_recv", "sock_recv_into", "sock_recvfrom", "sock_recvfrom_into", "sock_sendall", "sock_sendto"),
    *("sock_connect", "sock_accept", "sock_sendfile"),
    *("add_signal_handler", "remove_signal_handler"),
)

#: Methods that belong to whoever owns the loop.
OWNERS_ONLY: Final = (
    *("run_forever", "run_until_complete", "stop", "close"),
    *("shutdown_asyncgens", "shutdown_default_executor", "set_task_factory", "set_debug", "set_exception_handler"),
)


def refusing(name: str) -> Callable[..., Any]:
    """Return a method that refuses under this name."""

    def refused(self: object, *args: object, **kwargs: object) -> NoReturn:
        refuse(f"the event loop's {name}()")

    return refused
