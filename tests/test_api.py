import asyncio
import itertools
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import FIRST_COMPLETED, as_completed, wait

import pytest
from driver_rig import Script
from strategy_rig import side_by_side

from downloader import Downloader, InvalidSettings, Request, Settings, UsageError, fetch
from downloader import api as module
from downloader.errors import StrategyError
from downloader.models import Status
from downloader.policy import breaker, frontier

pytestmark = pytest.mark.usefixtures("workdir")
STRATEGIES = pytest.mark.parametrize("strategy", ["threads", "asyncio"])


def paths(folder):
    """The files below a folder, without the record."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and ".downloader" not in path.parts
    )


# fetch


def test_fetch_takes_a_list_and_gives_a_report(odd, workdir):
    report = fetch([odd.url("ok/10"), odd.url("status/404")], output="out")

    assert [row.status for row in report] == [Status.OK, Status.FAILED]
    assert not report.ok
    assert paths(workdir / "out") == [next(iter(report)).path]


@pytest.mark.parametrize("kind", [list, tuple, iter, dict.fromkeys])
def test_fetch_takes_any_iterable(odd, kind):
    report = fetch(kind([odd.url("ok/1"), odd.url("ok/2")]))

    assert [row.bytes for row in report] == [1, 2]


def test_fetch_takes_one_text(odd):
    assert [row.status for row in fetch(odd.url("ok/1"))] == [Status.OK]


def test_fetch_takes_one_request_and_names_its_source(odd):
    report = fetch(Request("nonsense", "my list:7"))

    (row,) = report
    assert (row.error, row.url) == ("invalid_url", "nonsense")
    assert row.detail.startswith("my list:7: ")


@STRATEGIES
def test_what_is_too_long_only_as_it_is_sent_is_a_row_and_ends_no_run(odd, strategy):
    location = b"http://127.0.0.1/" + "é".encode() * 6000
    answer = b"HTTP/1.1 302 Found\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n"
    with Script(answer % location) as server:
        urls = [odd.url("ok/1"), "http://h/" + "é" * 6000, server.url, odd.url("ok/2")]
        report = fetch(urls, strategy=strategy)

    assert [row.error for row in report] == [None, "invalid_url", "blocked", None]


def test_a_body_of_no_interest_that_stalls_does_not_change_the_answer(odd):
    head = b"HTTP/1.1 %b\r\nContent-Length: 50\r\n\r\nno"
    redirect = b"302 Found\r\nLocation: " + odd.url("ok/10").encode()

    def check(strategy):
        with (
            Script(head % b"404 Not Found", then_silence=True) as missing,
            Script(head % redirect, then_silence=True) as moved,
        ):
            urls = [missing.url, moved.url]
            report = fetch(urls, strategy=strategy, output=strategy, timeout=4)

        assert [(row.error, row.bytes) for row in report] == [
            ("http_404", 0),
            (None, 10),
        ]
        assert [row.attempts for row in report] == [1, 1]

    side_by_side(check, ["threads", "asyncio"])


@pytest.mark.parametrize("start", [fetch, lambda _, **given: Downloader(**given)])
def test_a_report_that_nobody_would_write_is_refused(workdir, start):
    with pytest.raises(InvalidSettings, match=r"write_json\(path\)"):
        start([], report="r.json")


def test_fetch_of_nothing_is_a_report_of_nothing():
    report = fetch([])

    assert (len(report), report.ok) == (0, True)


def test_fetch_raises_what_its_iterable_raises(odd):
    def broken():
        yield odd.url("ok/1")
        raise LookupError("the database is gone")

    with pytest.raises(LookupError, match="the database is gone"):
        fetch(broken())


def test_fetch_refuses_what_is_no_url_at_all():
    with pytest.raises(UsageError, match=r"urls\[0\] is a int"):
        fetch([1])


def test_an_unknown_keyword_is_refused_with_a_suggestion():
    with pytest.raises(InvalidSettings, match=r"worker.*workers"):
        fetch([], worker=3)
    with pytest.raises(InvalidSettings, match="worker"):
        Downloader(worker=3)


def test_settings_and_keywords_do_not_mix():
    with pytest.raises(UsageError, match="not both"):
        Downloader(Settings.make(), workers=3)


def test_fetch_works_where_an_event_loop_runs(odd):
    async def cell():
        return fetch([odd.url("ok/1")])

    assert asyncio.run(cell()).ok


def test_fetch_works_from_standard_input(odd):
    program = f"from downloader import fetch; print(fetch({odd.url('ok/1')!r}).ok)"
    child = subprocess.run(
        [sys.executable, "-"], input=program, capture_output=True, text=True, check=True
    )

    assert child.stdout == "True\n"


# submit


@STRATEGIES
def test_a_future_is_done_when_its_file_is_there(odd, strategy):
    with Downloader(strategy=strategy) as downloader:
        future = downloader.submit(odd.url("stall-head"))
        odd.wait_for(lambda server: server.hits["/stall-head"])
        before = future.done()
        odd.release()
        outcome = future.result(60)

        assert (before, future.done()) == (False, True)
        assert outcome.url == odd.url("stall-head")


def test_a_future_runs_and_cannot_be_cancelled(odd):
    with Downloader() as downloader:
        future = downloader.submit(odd.url("ok/1"))

        assert not future.cancel()
        assert future.result(60).bytes == 1


def test_a_failed_download_is_a_result_and_no_exception(odd):
    with Downloader() as downloader:
        outcome = downloader.submit(odd.url("status/404")).result(60)

    assert (outcome.status, outcome.error) == (Status.FAILED, "http_404")


@STRATEGIES
def test_futures_suit_the_functions_of_concurrent_futures(odd, strategy):
    with Downloader(strategy=strategy) as downloader:
        futures = [downloader.submit(odd.url(f"ok/{n}")) for n in range(1, 21)]
        first, _ = wait(futures, 60, FIRST_COMPLETED)
        sizes = {future.result().bytes for future in as_completed(futures, 60)}

    assert first
    assert sizes == set(range(1, 21))


def test_a_callback_is_called_with_its_future(odd):
    told = threading.Event()
    seen = []
    with Downloader() as downloader:
        future = downloader.submit(odd.url("ok/3"))
        future.add_done_callback(lambda done: (seen.append(done), told.set()))

        assert told.wait(60)
    assert seen == [future]


def test_a_callback_may_submit_more(odd):
    more = []
    with Downloader() as downloader:
        first = downloader.submit(odd.url("ok/1"))
        first.add_done_callback(
            lambda _: more.append(downloader.submit(odd.url("ok/2")))
        )
        first.result(60)
        # The callback is run before or after `result` returns.
        while not more:
            threading.Event().wait(0.01)

    assert more[0].result(60).bytes == 2


def called_back(odd, call):
    """What a call brings in the callback of a future of a `Downloader`'s that it gets."""
    brought = []

    def note(_):
        try:
            brought.append(call(downloader))
        except UsageError as error:
            brought.append(error)

    with Downloader() as downloader:
        future = downloader.submit(odd.url("slow/10/0.3"))
        future.add_done_callback(note)
        assert future.result(60).bytes == 10
    return brought


def test_a_callback_may_close(odd):
    assert called_back(odd, Downloader.close) == [None]


def test_a_callback_cannot_wait_for_the_report(odd):
    (error,) = called_back(odd, lambda downloader: downloader.report)

    assert isinstance(error, UsageError)


def test_a_callback_that_exits_ends_nothing_but_itself(odd, caplog):
    with Downloader() as downloader:
        first = downloader.submit(odd.url("slow/10/0.3"))
        first.add_done_callback(lambda _: sys.exit(3))
        second = downloader.submit(odd.url("slow/11/1"))

        assert [first.result(60).bytes, second.result(60).bytes] == [10, 11]
    assert "SystemExit(3)" in caplog.text


def test_the_same_url_twice_is_requested_once_and_answers_both(odd):
    with Downloader() as downloader:
        first = downloader.submit(odd.url("ok/1"))
        second = downloader.submit(odd.url("ok/1#part"))

        assert first.result(60) == second.result(60)
        assert downloader.submit(odd.url("ok/1")).result(60) == first.result()
    assert odd.hits == {"/ok/1": 1}
    assert downloader.report.summary.duplicates == 2


@pytest.mark.parametrize("times", [1, 2])
def test_a_future_knows_of_the_checksum_that_it_alone_asks_for(odd, times):
    wrong = "0" * 64
    with Downloader() as downloader:
        first = downloader.submit(odd.url("ok/1")).result(60)
        asks = [Request(odd.url("ok/1"), checksum=wrong) for _ in range(times)]
        others = [downloader.submit(one).result(60) for one in asks]
        right = downloader.submit(Request(odd.url("ok/1"), checksum=first.sha256))

        assert first.error is None
        assert [one.error for one in others] == ["checksum"] * times
        assert right.result(60).error is None
    assert odd.hits == {"/ok/1": 1}


def test_what_never_begins_takes_nothing_from_a_generator(tmp_path):
    (tmp_path / "file").touch()
    urls = iter(["http://h/1", "http://h/2"])

    for settings in ({"workers": -1}, {"output": str(tmp_path / "file")}):
        with pytest.raises(UsageError):
            fetch(urls, **settings)
    assert list(urls) == ["http://h/1", "http://h/2"]


def test_another_spelling_is_requested_once_and_has_a_row_of_its_own(odd):
    other = odd.url("%6Fk/1")
    with Downloader() as downloader:
        first = downloader.submit(odd.url("ok/1"))
        second = downloader.submit(other)

        assert second.result(60) == first.result(60)
    assert [(row.url, row.status) for row in downloader.report] == [
        (odd.url("ok/1"), Status.OK),
        (other, Status.SKIPPED),
    ]
    assert sum(odd.hits.values()) == 1


def test_many_threads_may_submit(odd):
    futures = []

    def submit_some(downloader, first):
        urls = (odd.url(f"ok/{n}") for n in range(first, first + 20))
        futures.extend([downloader.submit(url) for url in urls])

    with Downloader() as downloader:
        threads = [
            threading.Thread(target=submit_some, args=(downloader, 1 + 20 * n))
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert {future.result().bytes for future in futures} == set(range(1, 81))


def test_leaving_the_block_waits_for_all(odd):
    with Downloader() as downloader:
        futures = [downloader.submit(odd.url(f"slow/10/0.3?{n}")) for n in range(5)]

    assert [future.done() for future in futures] == [True] * 5
    assert all(future.result().is_there for future in futures)


def test_a_closed_downloader_takes_no_more_and_may_be_closed_again(odd):
    with Downloader() as downloader:
        pass
    downloader.close()

    with pytest.raises(UsageError, match="closed"):
        downloader.submit(odd.url("ok/1"))
    assert downloader.report.ok


def test_what_is_no_url_is_refused_at_once_and_breaks_nothing(odd):
    with Downloader() as downloader:
        with pytest.raises(UsageError, match="is a int"):
            downloader.submit(1)

        assert downloader.submit(odd.url("ok/1")).result(60).is_there


@STRATEGIES
def test_an_exception_in_the_block_stops_what_is_under_way(odd, strategy):
    downloader = Downloader(strategy=strategy)
    future = downloader.submit(odd.url("stall-head"))
    odd.wait_for(lambda server: server.hits["/stall-head"])
    with pytest.raises(LookupError), downloader:
        raise LookupError

    assert future.result(60).error == "interrupted"
    assert not downloader.report.ok


def test_stop_gives_every_future_its_outcome_and_its_row(odd):
    with Downloader(per_host=1) as downloader:
        futures = [downloader.submit(odd.url(f"stall-head/{n}")) for n in range(1500)]
        odd.wait_for(lambda server: server.hits)
        downloader.stop()
    errors = [future.result(60).error for future in futures]

    assert errors.count("interrupted") == 1
    assert errors.count("not_tried") == 1499
    assert len(downloader.report) == 1500


def test_the_report_waits_for_the_end_and_has_every_row(odd):
    downloader = Downloader()
    for n in range(1, 4):
        downloader.submit(odd.url(f"ok/{n}"))

    assert [row.bytes for row in downloader.report] == [1, 2, 3]


def test_a_broken_setting_of_the_run_is_raised_at_once(workdir):
    (workdir / "out").write_bytes(b"")

    with pytest.raises(UsageError, match="choose another path"):
        Downloader(output="out")


# stream


@STRATEGIES
def test_a_stream_gives_an_outcome_for_each_url(odd, strategy):
    urls = [odd.url(f"ok/{n}") for n in range(1, 51)]
    with Downloader(strategy=strategy) as downloader:
        sizes = sorted(outcome.bytes for outcome in downloader.stream(urls))

    assert sizes == list(range(1, 51))


def test_a_stream_counts_repeated_urls_as_often_as_they_come(odd):
    with Downloader() as downloader:
        outcomes = list(downloader.stream([odd.url("ok/1")] * 3))

    assert [outcome.bytes for outcome in outcomes] == [1, 1, 1]


def test_an_endless_stream_is_read_only_some_way_ahead(odd, monkeypatch):
    monkeypatch.setattr(module, "STREAM_AHEAD", 20)
    given = itertools.count(1)
    with Downloader() as downloader:
        stream = downloader.stream(odd.url(f"ok/{n}") for n in given)
        taken = list(itertools.islice(stream, 50))
        downloader.close()

    assert len(taken) == 50
    # A batch of up to 20 may have been handed over and not asked for yet.
    assert next(given) <= 50 + 20 + 20 + 2


def test_a_slow_consumer_stops_no_transfer(odd):
    with Downloader() as downloader:
        stream = downloader.stream(odd.url(f"ok/{n}") for n in range(1, 31))
        next(stream)
        odd.wait_for(lambda server: sum(server.hits.values()) == 30)

        assert len(list(stream)) == 29


def test_two_streams_and_a_future_may_run_at_once(odd):
    with Downloader() as downloader:
        future = downloader.submit(odd.url("ok/9"))
        one = downloader.stream([odd.url("ok/1"), odd.url("ok/2")])
        two = downloader.stream([odd.url("ok/3")])

        assert [outcome.bytes for outcome in two] == [3]
        assert sorted(outcome.bytes for outcome in one) == [1, 2]
        assert future.result(60).bytes == 9


def test_what_a_streams_iterable_raises_comes_behind_its_outcomes(odd):
    def broken():
        yield odd.url("ok/1")
        raise LookupError("the database is gone")

    seen = []
    with Downloader() as downloader:
        with pytest.raises(LookupError, match="the database is gone"):
            seen.extend(downloader.stream(broken()))

        assert downloader.submit(odd.url("ok/2")).result(60).is_there


def test_a_stream_of_nothing_ends_at_once():
    with Downloader() as downloader:
        assert list(downloader.stream([])) == []


@pytest.mark.timeout(60)
def test_a_stream_after_the_end_is_a_usage_error(odd):
    with Downloader() as downloader:
        pass

    with pytest.raises(UsageError, match="closed"):
        list(downloader.stream([odd.url("ok/1")]))


@pytest.mark.timeout(60)
def test_a_stream_that_is_overtaken_by_the_end_is_a_usage_error(odd):
    with Downloader() as downloader:
        stream = downloader.stream(odd.url(f"ok/{n}") for n in itertools.count(1))
        next(stream)
        downloader.close()

        with pytest.raises(UsageError, match="closed"):
            list(stream)


def test_an_async_stream_gives_an_outcome_for_each_url(odd):
    async def collect():
        with Downloader() as downloader:
            urls = (odd.url(f"ok/{n}") for n in range(1, 51))
            return [outcome.bytes async for outcome in downloader.astream(urls)]

    assert sorted(asyncio.run(collect())) == list(range(1, 51))


def test_an_async_stream_leaves_the_event_loop_free(odd):
    async def collect(downloader):
        urls = [odd.url("stall-head")]
        return [outcome.url async for outcome in downloader.astream(urls)]

    async def main(downloader):
        collecting = asyncio.create_task(collect(downloader))
        # Were the loop blocked, this could not end: nothing else lets the server go on.
        await asyncio.to_thread(odd.wait_for, lambda server: server.hits)
        odd.release()
        return await collecting

    with Downloader() as downloader:
        assert asyncio.run(main(downloader)) == [odd.url("stall-head")]


def test_an_async_stream_raises_what_its_iterable_raises(odd):
    def broken():
        yield odd.url("ok/1")
        raise LookupError("the database is gone")

    async def collect(downloader):
        async for _ in downloader.astream(broken()):
            pass

    with Downloader() as downloader, pytest.raises(LookupError):
        asyncio.run(collect(downloader))


def test_an_async_stream_may_be_left_early(odd, caplog):
    async def first(downloader):
        urls = [odd.url("ok/1"), odd.url("stall-head/1"), odd.url("stall-head/2")]
        stream = downloader.astream(urls)
        outcome = await anext(stream)
        await stream.aclose()
        return outcome

    with Downloader() as downloader:
        outcome = asyncio.run(first(downloader))
        odd.release()

    assert outcome.bytes == 1
    assert caplog.records == []


# Leaving early


def test_an_async_block_waits_for_all_and_leaves_the_event_loop_free(odd):
    async def main():
        async with Downloader() as downloader:
            future = downloader.submit(odd.url("stall-head"))
            # Were the loop blocked at the block's end, nobody could release it.
            releasing = asyncio.create_task(release())
        return future.done(), releasing.done()

    async def release():
        await asyncio.to_thread(odd.wait_for, lambda server: server.hits)
        odd.release()

    assert asyncio.run(main()) == (True, True)


def test_an_exception_in_an_async_block_stops_what_is_under_way(odd):
    async def main(futures):
        async with Downloader() as downloader:
            futures.append(downloader.submit(odd.url("stall-head")))
            await asyncio.to_thread(odd.wait_for, lambda server: server.hits)
            raise LookupError

    futures = []
    with pytest.raises(LookupError):
        asyncio.run(main(futures))

    assert futures[0].result(60).error == "interrupted"


def feeders():
    """The threads that read the iterables of streams."""
    return [t for t in threading.enumerate() if t.name == "downloader-stream"]


def leave_stream(downloader, urls):
    stream = downloader.stream(urls)
    next(stream)
    (feeder,) = feeders()
    stream.close()
    return feeder


def leave_astream(downloader, urls):
    async def leave():
        stream = downloader.astream(urls)
        await anext(stream)
        (feeder,) = feeders()
        await stream.aclose()
        return feeder

    return asyncio.run(leave())


@pytest.mark.parametrize("leave", [leave_stream, leave_astream])
def test_a_stream_that_is_left_reads_its_endless_iterable_no_further(
    odd, monkeypatch, leave
):
    monkeypatch.setattr(module, "STREAM_AHEAD", 20)
    given = itertools.count(1)
    with Downloader() as downloader:
        feeder = leave(downloader, (odd.url(f"ok/{n}") for n in given))
        feeder.join(60)
        is_reading = feeder.is_alive()
        later = downloader.submit(odd.url("ok/9999")).result(60)

    assert not is_reading
    assert later.bytes == 9999
    # Up to 20 under way, a batch that was handed over, and one that was read too much.
    assert next(given) <= 20 + 20 + 2


def test_futures_beyond_what_memory_holds_end_with_their_host(workdir, monkeypatch):
    """They were given up in bulk, and nobody told them before the run's end."""
    monkeypatch.setattr(frontier, "HOST_SHARE", 4)
    monkeypatch.setattr(breaker, "COOL_DOWN_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with Downloader(strategy="threads", backoff_seconds=0.01) as downloader:
        asked = [downloader.submit(f"http://127.0.0.1:{port}/{n}") for n in range(300)]
        done, pending = wait(asked, timeout=30)

        assert not pending
    assert {future.result().error for future in done} == {"connect"}


@pytest.mark.parametrize("strategy", ["threads", "subprocess", "processes"])
def test_a_result_does_not_wait_for_the_next_attempt(odd, strategy):
    options = {"workers": 1, "per_host": None, "timeout": 30}
    with Downloader(strategy=strategy, **options) as downloader:
        quick = [downloader.submit(odd.url(f"ok/{size}")) for size in (1, 2)]
        slow = downloader.submit(odd.url("stall-head/1"))
        outcomes = [one.result(15) for one in quick]

        assert [one.error for one in outcomes] == [None, None]
        assert not slow.done()
        downloader.stop()


INTERRUPTED = """
    import sys, threading, time
    from downloader import fetch

    try:
        fetch(sys.argv[2:], strategy=sys.argv[1], timeout=60)
    except KeyboardInterrupt:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            own = [t.name for t in threading.enumerate() if t.name.startswith("downl")]
            if not own:
                break
            time.sleep(0.05)
        print("left", own)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
@pytest.mark.parametrize("strategy", ["serial", "threads", "asyncio", "curl"])
def test_ctrl_c_in_a_script_ends_what_is_under_way(odd, workdir, strategy):
    urls = [odd.url(f"stall-body/{size}") for size in (70_000, 70_001)]
    script = workdir / "script.py"
    script.write_text(textwrap.dedent(INTERRUPTED))
    with subprocess.Popen(
        [sys.executable, script, strategy, *urls],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        odd.wait_for(
            lambda counts: counts.in_flight == (1 if strategy == "serial" else 2)
        )
        process.send_signal(signal.SIGINT)
        said, error = process.communicate(timeout=60)

    assert said.strip() == "left []", error


def test_whoever_is_cancelled_while_leaving_does_not_wait_for_the_rest(odd):
    async def leave():
        async with Downloader(timeout=60) as downloader:
            futures.append(downloader.submit(odd.url("stall-head/1")))

    futures = []
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(leave(), 1.0))

    assert futures[0].result(15).error == "interrupted"


@pytest.mark.parametrize("limit", [0, 2])
def test_threads_that_are_not_to_be_had(odd, monkeypatch, limit):
    begun, start = [], threading.Thread.start

    def refuse(thread):
        if thread.name.startswith("downloader_"):
            if len(begun) >= limit:
                raise RuntimeError("can't start new thread")
            begun.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    urls = [odd.url(f"ok/{size}") for size in range(20)]
    if limit:
        assert fetch(urls, strategy="threads").summary.ok == len(urls)
    else:
        with pytest.raises(StrategyError, match="can't start new thread"):
            fetch(urls, strategy="threads")
