"""What the pages show: runs and their filters, one run in full, definitions, and words for what is not there."""

from __future__ import annotations

import re
from html import unescape

import pytest

from holdfast import Client, RunFailed
from holdfast.v1 import event_pb2, store_service_pb2
from runtime_service.server import RunningRuntime
from runtime_service.ui import limits
from tests.support.store import eventually
from tests.ui.conftest import Get
from tests.ui.page_workflows import MARKUP, child, failing, long, tour


async def text_of(get: Get, path: str) -> str:
    answer = await get(path)
    assert answer.status == 200, answer.body
    return answer.body.decode()


def runs_of(page: str) -> list[str]:
    return re.findall(r'<a class="id" href="./runs/([^"]+)"', page)


async def test_the_list_shows_runs_newest_first_with_what_they_wait_for(get: Get, client: Client) -> None:
    await (await client.start(child, "a", id="one")).result("20s")
    run = await client.start(tour, "tour:1", id="two")
    await eventually(lambda: _waits_at_hook(get))
    page = await text_of(get, "/")
    assert runs_of(page)[-1] == "one" and set(runs_of(page)) >= {"one", "two"}
    assert "<code>holdfast resume tour:1 --data JSON</code>" in page
    await client.resume("tour:1", "done")
    await run.result("20s")
    assert "holdfast resume" not in await text_of(get, "/")


async def _waits_at_hook(get: Get) -> bool:
    return "holdfast resume tour:1" in await text_of(get, "/")


async def test_an_empty_store_says_how_to_start_a_run(get: Get) -> None:
    assert "holdfast start ui-child --input JSON" in await text_of(get, "/")
    assert "No run is like that" in await text_of(get, "/?status=failed")


async def test_runs_are_filtered_by_status_workflow_and_attribute(get: Get, client: Client) -> None:
    await (await client.start(child, "a", id="a", attributes={"customer": "7 of 9"})).result("20s")
    await (await client.start(child, "b", id="b", attributes={"customer": "8"})).result("20s")
    with pytest.raises(RunFailed):
        await (await client.start(failing, "c", id="c")).result("20s")
    assert runs_of(await text_of(get, "/?status=failed")) == ["c"]
    assert runs_of(await text_of(get, "/?status=failed&status=completed")) == ["c", "b", "a"]
    assert runs_of(await text_of(get, "/?workflow=ui-child")) == ["b", "a"]
    assert runs_of(await text_of(get, "/?attribute=customer%3D7+of+9&workflow=&attribute=")) == ["a"]
    page = await text_of(get, "/?attribute=customer%3D8&status=completed")
    assert 'value="customer=8"' in page and 'value="completed" checked' in page and "all runs" in page


@pytest.mark.parametrize(
    ("query", "told"), [("status=lost", "pending, running"), ("attribute=x", "key=value"), ("page=x", "malformed")]
)
async def test_an_address_that_means_nothing_is_told(get: Get, query: str, told: str) -> None:
    answer = await get(f"/?{query}")
    assert answer.status == 400 and told in answer.body.decode()


async def test_pages_of_the_list_follow_each_other_without_gaps(
    get: Get, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime_service.ui.filters.RUNS_PER_PAGE", 2)
    for name in "abcde":
        await (await client.start(child, name, id=name)).result("20s")
    seen, path = [], "/?workflow=ui-child"
    while path:
        page = await text_of(get, path)
        assert len(runs_of(page)) <= 2
        seen += runs_of(page)
        older = re.search(r'<a href="\./(\?[^"]+)" rel="next">', page)
        path = f"/{unescape(older[1])}" if older else ""
    assert seen == list("edcba")


async def test_a_run_is_shown_with_all_that_belongs_to_it(get: Get, client: Client) -> None:
    run = await client.start(tour, "tour:2", id="whole")
    await eventually(lambda: _is_open(get, "/runs/whole", "tour:2"))
    page = await text_of(get, "/runs/whole")
    assert "waits for a value" in page and 'data-live="../runs/whole/live?after=' in page
    await client.resume("tour:2", "done")
    await run.result("20s")
    page = await text_of(get, "/runs/whole")
    assert "It waits for nothing." in page and "data-live" not in page
    assert re.search(r"<h2>Input</h2><pre>\[\n  &#34;tour:2&#34;\n\]</pre>", page)
    assert re.search(r"<h2>Output</h2><pre>&#34;done&#34;</pre>", page)
    for kind in ("step_retrying", "wait_completed", "hook_received", "attributes_set", "run_completed"):
        assert f'<td class="kind">{kind}</td>' in page
    for bar in ("failed", "backoff", "done", "sleep", "hook"):
        assert f'<rect class="{bar}"' in page
    (child_id,) = re.findall(r'<a class="id" href="../runs/(run_[^"]+)"', page)
    child_page = await text_of(get, f"/runs/{child_id}")
    assert '<dt>parent</dt><dd><a class="id" href="../runs/whole">whole</a>' in child_page


async def _is_open(get: Get, path: str, token: str) -> bool:
    return f"holdfast resume {token}" in await text_of(get, path)


async def test_a_failed_run_shows_its_error_with_its_causes(get: Get, client: Client) -> None:
    with pytest.raises(RunFailed):
        await (await client.start(failing, "abc", id="failed")).result("20s")
    page = await text_of(get, "/runs/failed")
    assert page.count("caused by") >= 2 and "declined: abc" in page
    assert "ValueError" in page and "traceback" in page and "version 7" in page


async def test_a_long_log_is_shown_in_pages(get: Get, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "EVENTS_PER_PAGE", 20)
    await (await client.start(long, 12, id="long")).result("20s")
    seen, path = [], "/runs/long"
    while path:
        page = await text_of(get, path)
        seen = [int(seq) for seq in re.findall(r'id="seq-(\d+)"', page)] + seen
        older = re.search(r'href="\.\.(/runs/long\?after=\d+)">← older', page)
        path = older[1] if older else ""
    assert seen == sorted(seen) and set(seen) == set(range(1, max(seen) + 1)) and max(seen) > 30
    page = await text_of(get, "/runs/long?after=5")
    assert 'id="seq-6"' in page and "newer →" in page and "← older" in page


async def test_a_long_value_is_cut_and_says_so(get: Get, client: Client) -> None:
    await (await client.start(child, "x" * 100_000, id="large")).result("20s")
    page = await text_of(get, "/runs/large")
    assert len(page) < 60_000
    assert "cut: the whole has 100,002 characters" in page


async def test_nothing_that_a_run_says_becomes_markup(get: Get, client: Client) -> None:
    run = await client.start(tour, MARKUP, id="marked", attributes={"<b>": MARKUP})
    await eventually(lambda: client_hook_is_open(client))
    with pytest.raises(RunFailed):
        await (await client.start(failing, MARKUP, id="broken")).result("20s")
    for path in ("/", "/runs/marked", "/runs/broken", "/?attribute=%3Cscript%3E%3D1", f"/?workflow={MARKUP[:8]}"):
        page = await text_of(get, path)
        assert "<script>" not in page and "<b><b>" not in page
    assert "&lt;script&gt;" in await text_of(get, "/runs/marked")
    answer = await get("/?status=%3Cscript%3E")
    assert answer.status == 400 and b"<script>" not in answer.body
    await run.cancel("<script>enough</script>")
    await eventually(lambda: _has_ended(get))
    assert "<script>" not in await text_of(get, "/runs/marked") + await text_of(get, "/")


async def client_hook_is_open(client: Client) -> bool:
    return any([run.status == 2 async for run in client.runs(workflow="ui-tour")]) and bool(
        (await client.run("marked").describe()).open_hooks
    )


async def _has_ended(get: Get) -> bool:
    return "was cancelled" in await text_of(get, "/runs/marked")


async def test_definitions_are_shown_with_their_schemas(get: Get) -> None:
    page = await text_of(get, "/definitions")
    assert 'id="ui-tour"' in page and "Does a little of everything." in page
    assert 'id="ui.flaky"' in page and "&#34;type&#34;: &#34;string&#34;" in page


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/runs/nobody", 404, "There is no such run"),
        ("/runs/nobody?after=7", 404, "There is no such run"),
        ("/runs/no%20body", 400, "run_id"),
        ("/runs/nobody/live", 404, "There is no such run"),
        ("/ui/nothing.css", 404, "not here"),
    ],
)
async def test_what_is_not_there_is_told_in_words(get: Get, path: str, status: int, told: str) -> None:
    answer = await get(path)
    assert answer.status == status and told in answer.body.decode()


async def test_a_position_beyond_the_log_is_told(get: Get, client: Client) -> None:
    await (await client.start(child, "a", id="short")).result("20s")
    assert (await get("/runs/short?after=999")).status == 400


async def test_a_run_that_this_runtime_does_not_know_says_that_it_is_blocked(
    get: Get, client: Client, runtime: RunningRuntime
) -> None:
    created = event_pb2.RunCreated(workflow_name="of-another-time", wake_queue="runs")
    event = event_pb2.Event(run_created=created)
    await runtime.worker.store.create(store_service_pb2.CreateEventRequest(run_id="stuck", event=event))
    # Each may be read while the run is tried again, when it is not blocked.
    await eventually(lambda: _says(get, "/", '<span class="state blocked">'))
    await eventually(lambda: _says(get, "/runs/stuck", "is blocked (NotRegistered)"))


async def _says(get: Get, path: str, words: str) -> bool:
    return words in await text_of(get, path)
