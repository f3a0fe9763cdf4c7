"""Claim 9: one set of questions to the futures of both executors."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import (
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    as_completed,
)

from downloader.bench.experiments.findings import Futures

__all__ = ["measure"]

_SECONDS = 0.25


def measure() -> Futures:
    """The answers of a thread pool's futures and of a process pool's."""
    context = multiprocessing.get_context("spawn")
    with ThreadPoolExecutor(1) as threads:
        answers = {"threads": _ask(threads)}
    with ProcessPoolExecutor(1, mp_context=context) as processes:
        answers["processes"] = _ask(processes)
    return Futures(answers=answers)


def _ask(pool: Executor) -> dict[str, str]:
    waiting = pool.submit(_double_later, 21)
    answers = {
        "done() at once": str(waiting.done()),
        "result(timeout=0.01) at once": _raised(waiting, 0.01),
        "result()": str(waiting.result()),
        "done() after it": str(waiting.done()),
        "exception() after it": str(waiting.exception()),
    }
    failing = pool.submit(_fail)
    answers["result() of a failure"] = _raised(failing, None)
    answers["exception() of a failure"] = type(failing.exception()).__name__
    answers["as_completed"] = type(next(as_completed([waiting]))).__name__
    return answers


def _raised(future: Future[int], timeout_seconds: float | None) -> str:
    try:
        return str(future.result(timeout_seconds))
    except Exception as error:  # noqa: BLE001 - which one it is, is the answer
        return type(error).__name__


def _double_later(number: int) -> int:
    time.sleep(_SECONDS)
    return number * 2


def _fail() -> int:
    raise LookupError("as asked")
