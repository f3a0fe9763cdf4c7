"""However those who share a file are cut, killed and lied to: it is one version, whole."""

import contextlib
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downloader.errors import DiskError, TransportError
from downloader.models import AttemptResult, Entry, ErrorKind, Failure, Moved
from downloader.policy.frontier import Frontier, Limits
from downloader.policy.headers import HeaderRules
from downloader.policy.naming import part_name
from downloader.policy.retry import RetryRules
from downloader.policy.ticket import Finished, Retrying
from downloader.transfer import front_digest, part_record, share, transfer
from downloader.transfer.folder import Folder
from downloader.transfer.plan import Plan
from downloader.transfer.share import release_share
from downloader.transfer.transfer import Transfer

URL = "http://a.test/file"
LEAST_BYTES = 50
KILLED = Failure(ErrorKind.WORKER_LOST, "killed")


def content(version, size):
    return hashlib.shake_128(b"%d" % version).digest(size)


def answer(version, size, fields, lie):
    data, etag = content(version, size), f'"{version}"'
    head = {"etag": etag}
    wanted = fields.get("Range")
    if wanted is None or fields.get("If-Range") != etag or lie == "whole":
        return 200, head | {"content-length": str(size)}, data
    if lie in {"416", "503"}:
        return int(lie), {}, b""
    begin, _, end = wanted.removeprefix("bytes=").partition("-")
    first, last = int(begin), int(end or size - 1)
    if first >= size:
        return 416, {}, b""
    first += lie == "another range" and first < last
    return (
        206,
        head
        | {
            "content-range": f"bytes {first}-{last}/{size}",
            "content-length": str(last + 1 - first),
        },
        data[first : last + 1],
    )


class Worker:
    """One attempt, moved on bit by bit."""

    def __init__(self, attempt, run):
        self.attempt, self.run = attempt, run
        self.facts = []
        self.left = None
        self.settling = None
        self.one = Transfer(
            attempt, run.plan, run.folder, lambda size, now: 0.0, self.facts.append
        )

    def step(self, lie, size):
        """Its next few bytes; its result if it is at its end."""
        one = self.one
        try:
            if one.result is not None or self.settling is not None:
                return one.result or self.settle()
            if self.left is None:
                one.patience.asking(0.0)
                found = answer(self.run.version, self.run.size, one.fields(), lie)
                status, head, data = found
                if one.head(status, head):
                    self.left = data
                    if one.lead_bytes:
                        one.catch_up()
                return one.result
            if self.left and not one.has_enough:
                data, self.left = self.left[:size], self.left[size:]
                one.chunk(data)
                return None  # others may come in before it knows that this was all
            self.left = None
            if one.ended():
                self.settling = self.run.threads.submit(one.settle)
                return None
            return one.end()
        except (DiskError, TransportError) as error:
            return one.fail_with(error)

    def settle(self):
        """Its result if others have written, or left, what it waits for."""
        if not wait([self.settling], 0.002).done:
            return None
        settling, self.settling = self.settling, None
        settling.result()
        return self.one.end()

    def cut(self):
        return self.one.result or self.one.fail_with(TransportError("truncated", "cut"))

    def kill(self):
        """What becomes of its threads and descriptors with the process."""
        share = self.one._share
        if share is not None:
            share.interrupt()
            share._front and share._front.stop()
        if self.settling is not None:
            wait([self.settling])
        self.one._part.keep()


class Run:
    """A frontier with one file, and those who fetch it."""

    def __init__(self, folder, root, size, threads):
        self.threads = threads
        self.folder, self.size, self.version, self.now = folder, size, 1, 0.0
        self.plan = Plan(
            root=root,
            headers=HeaderRules(),
            segments=4,
            min_segment_bytes=LEAST_BYTES,
        )
        rules = RetryRules(
            retries=1_000, total_seconds=1e9, worker_losses=1_000, backoff_seconds=0
        )
        self.frontier = Frontier(Limits(per_host=None, segments=4, retry=rules))
        self.frontier.add(Entry(0, URL, URL, URL, "a.test:80", "file"))
        self.workers = []
        self.saved = []
        self.end = None

    def join(self):
        for attempt in self.frontier.take(self.now, 1):
            self.workers.append(Worker(attempt, self))
            self.hear(self.workers[-1])

    def hear(self, worker):
        for fact in worker.facts:
            attempt_id = worker.attempt.id
            if fact.is_divided and not self.frontier.is_divided(attempt_id):
                partial = part_record.read(self.folder, "file")
                if partial is not None:
                    most = self.size // LEAST_BYTES
                    self.frontier.divide(attempt_id, partial, most)
        worker.facts.clear()

    def act(self, place, event, lie, size):
        self.now += 100.0
        if event == "version":
            self.version += 1
        if event == "join" or not self.workers:
            self.join()
            return
        worker = self.workers[place % len(self.workers)]
        if event == "kill":
            result = self.kill(worker)
        else:
            result = worker.cut() if event == "cut" else worker.step(lie, size)
        self.hear(worker)
        if result is not None:
            self.workers.remove(worker)
            self.take_in(worker, result)

    def kill(self, worker):
        worker.kill()
        if self.frontier.is_shared(worker.attempt.id):
            partial = part_record.read(self.folder, "file")
            if partial is not None and partial.is_divided:
                with contextlib.suppress(Exception):
                    release_share(self.folder, "file", worker.attempt.id, partial)
        return AttemptResult(worker.attempt.id, failure=KILLED)

    def take_in(self, worker, result):
        if result.saved is not None:
            self.saved.append((result.saved, self.version))
        verdict = self.frontier.judge(result, self.now, 0.0)
        if isinstance(verdict, Retrying) and (
            verdict.failure.kind == ErrorKind.WORKER_LOST
        ):
            verdict.ticket.partial = part_record.read(self.folder, "file")
        if isinstance(verdict, Finished):
            self.end = verdict


def test_whoever_helps_tells_how_far_the_file_is(tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "MOVED_SECONDS", 0)
    with contextlib.closing(Folder(str(tmp_path))) as folder:
        run = Run(folder, str(tmp_path), 700, None)
        run.join()
        run.act(0, "step", None, 0)
        run.act(0, "step", None, 50)
        run.join()
        helper = run.workers[1]
        helper.step(None, 0)
        helper.step(None, 30)

    assert helper.facts[-1] == Moved(helper.attempt.id, 80, 700, is_divided=True)


actions = st.tuples(
    st.integers(0, 3),
    st.sampled_from(["step"] * 6 + ["join"] * 3 + ["cut", "kill", "version"]),
    st.sampled_from([None] * 6 + ["whole", "416", "503", "another range"]),
    st.integers(1, 120),
)


@pytest.fixture(autouse=True, scope="module")
def quick_looks():
    """Whoever waits for others looks often: a story has hundreds of waits."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (share, front_digest):
            patch.setattr(module, "_LOOK_SECONDS", 0.001)
        yield


@settings(max_examples=400, deadline=None)
@given(
    size=st.integers(0, 100) | st.integers(100, 700),
    story=st.lists(actions, min_size=20, max_size=80),
)
def test_a_shared_file_is_one_version_whole(tmp_path_factory, size, story):
    root = str(tmp_path_factory.mktemp("shares"))
    with contextlib.closing(Folder(root)) as folder, ThreadPoolExecutor() as threads:
        run = Run(folder, root, size, threads)
        for action in story:
            if run.end is None:
                run.act(*action)
        for turn in range(1_000):
            if run.end is not None and not run.workers:
                break
            run.act(turn, "step", None, 50)
        assert run.end is not None, "it never ends"
        assert run.frontier.is_empty
    assert run.end.failure is None
    with open(f"{root}/file", "rb") as stream:
        data = stream.read()

    assert data in {content(version + 1, size) for version in range(run.version)}
    assert run.end.saved.digest == hashlib.sha256(data).hexdigest()
    assert len(run.saved) == 1
    records = os.path.join(root, *part_record.FOLDER.split("/"))
    assert not os.path.isdir(records) or os.listdir(records) == []
    assert not os.path.exists(f"{root}/{part_name('file')}")
