"""A worker that dies between putting a file in place and telling so.

That window is too short to hit for certain with a real kill (`chaos.py` tries), so the
worker here is a stand-in that always dies in it.
"""

import hashlib
import os

import pytest
from odd_exchange import body

from downloader import fetch
from downloader import session as session_module
from downloader.models import AttemptResult, ErrorKind, Failure, WorkerUsage
from downloader.strategies.executors import Serial

pytestmark = pytest.mark.usefixtures("workdir")
LOST = Failure(ErrorKind.WORKER_LOST, "its worker died")


class DiesAfterwards(Serial):
    """Finishes each first try, and loses what came of it."""

    died: list[str] = []  # noqa: RUF012 - emptied by each test

    def start(self, attempts):
        (self._attempt,) = attempts
        super().start(attempts)

    def wait(self, timeout_seconds):
        facts = super().wait(timeout_seconds)
        return [self._lose(fact) for fact in facts]

    def _lose(self, fact):
        if not isinstance(fact, AttemptResult) or self._attempt.path in self.died:
            return fact
        self.died.append(self._attempt.path)
        return AttemptResult(fact.attempt_id, failure=LOST)

    def usage(self):
        return [WorkerUsage(1, 0.0, 0)]


@pytest.fixture(autouse=True)
def dying(monkeypatch):
    DiesAfterwards.died = []
    monkeypatch.setattr(session_module, "load", lambda name: DiesAfterwards)


def test_what_it_had_finished_is_taken_up_and_not_fetched_again(odd):
    report = fetch([odd.url("ok/1000"), odd.url("ok/100000")], strategy="serial")

    assert [row.status for row in report] == ["ok", "ok"]
    assert odd.hits == {"/ok/1000": 1, "/ok/100000": 1}
    for row in report:
        with open(f"downloads/{row.path}", "rb") as stream:
            assert hashlib.sha256(stream.read()).hexdigest() == row.sha256
    assert [row.status for row in fetch([odd.url("ok/1000")])] == ["skipped"]


def test_what_it_had_finished_is_compared_with_its_checksum(odd):
    good = hashlib.md5(body("/ok/1000", 1000)).hexdigest()
    lines = [f"{odd.url('ok/1000')} md5={good}", f"{odd.url('ok/1001')} md5={good}"]
    right, wrong = fetch(lines, strategy="serial")

    assert (right.error, right.digest) == (None, f"md5:{good}")
    assert wrong.error == "checksum"
    assert odd.hits["/ok/1000"] == 1


def test_a_file_that_stood_there_before_is_not_taken_for_its_work(odd):
    report = fetch([odd.url("status/404")], strategy="serial", overwrite=True)
    assert [row.error for row in report] == ["http_404"]

    path = f"downloads/127.0.0.1_{odd.port}/status/503~f"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as stream:
        stream.write("theirs")
    report = fetch(
        [odd.url("status/503")], strategy="serial", overwrite=True, retries=0
    )

    assert [row.error for row in report] == ["http_503"]
    with open(path) as stream:
        assert stream.read() == "theirs"
