"""A child program's loop, in a thread of this process."""

import os
import select
import threading

from downloader.models import Attempt, AttemptResult
from downloader.strategies import frames
from downloader.strategies.child import Child


def test_a_result_does_not_wait_for_the_attempt_behind_it():
    """It would wait for company otherwise, which comes when that attempt ends."""
    told, facts = os.pipe()
    release = threading.Event()

    class Worker:
        def run(self, attempt, _tell):
            if attempt.id:
                release.wait(60)
            return AttemptResult(attempt.id)

    child = Child(Worker(), os.fdopen(facts, "wb"))
    for number in (0, 1):
        child.attempts.put(Attempt(number, f"http://h/{number}", str(number)))
    threading.Thread(target=child.run, daemon=True).start()

    with os.fdopen(told, "rb") as pipe:
        assert select.select([pipe], [], [], 20)[0]
        message = frames.decode(frames.facts_decoder, frames.receive(pipe))
        assert [result.attempt_id for result in message.results] == [0]
        release.set()
        assert frames.receive(pipe)
