import pytest
from bench_figures import MIB, cells, computing, noisy, starting

from downloader.bench.experiments.findings import (
    Deadlock,
    Futures,
    Memory,
    Passing,
    Sharing,
)
from downloader.bench.result import Word
from downloader.bench.verdicts import CLAIMS, Evidence, cost, judge, safety, speed

HOLDS, FAILS, UNDECIDED = Word.HOLDS, Word.FAILS, Word.UNDECIDED


@pytest.mark.parametrize(
    ("threads", "processes", "word"),
    [
        (noisy(0.1), noisy(0.4), HOLDS),
        (noisy(0.1), noisy(2.0), FAILS),
        (noisy(0.1), [0.5, 1.0, 2.0], UNDECIDED),
        (noisy(0.1), noisy(0.97), UNDECIDED),
    ],
)
def test_claim_1_needs_all_to_be_faster_than_serial(threads, processes, word):
    others = {"threads": threads, "processes": processes, "asyncio": threads}
    found = cells({"serial": [1, 1, 1], **others})

    (verdict,) = judge(Evidence(cores=2, cells=tuple(found)))

    assert (verdict.number, verdict.word) == (1, word)


def test_claim_1_does_not_hold_for_what_was_not_measured():
    found = cells({"serial": [1, 1, 1], "threads": noisy(0.1), "asyncio": noisy(0.1)})

    (verdict,) = judge(Evidence(cores=2, cells=tuple(found)))

    assert verdict.word is UNDECIDED
    assert "not measured: processes" in verdict.reason


def test_two_repeats_decide_nothing():
    found = cells({"serial": [1, 1], "threads": [0.1, 0.1]})

    assert speed.io_bound(found[1:]).word is UNDECIDED


def test_claim_1_takes_each_strategy_with_the_workers_that_suit_it():
    fine = {"processes": [0.1, 0.1, 0.1], "asyncio": [0.1, 0.1, 0.1]}
    slow = cells({"serial": [1, 1, 1], "threads": [2, 2, 2], **fine})
    fast = cells({"serial": [1, 1, 1], "threads": [0.1, 0.1, 0.1], **fine})

    (verdict,) = judge(Evidence(cores=2, cells=(*slow, *fast)))

    assert verdict.word is HOLDS


@pytest.mark.parametrize(
    ("spawned", "word"),
    [
        ([20.0, 21.0, 20.5], HOLDS),
        ([0.01, 0.01, 0.01], FAILS),
        ([0.01, 20.0, 20.0], UNDECIDED),
    ],
)
def test_claim_2_holds_every_kind_of_process_to_a_thread(spawned, word):
    bytes_by_kind = {
        "thread": [0.02 * MIB] * 3,
        "process by spawn": [size * MIB for size in spawned],
    }

    assert cost.memory(Memory(worker_bytes=bytes_by_kind)).word is word


def test_claim_2_says_where_the_system_is_silent():
    (verdict,) = judge(Evidence(cores=2, memory=Memory(worker_bytes={})))

    assert verdict.word is UNDECIDED
    assert "does not tell" in verdict.reason


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (starting(), HOLDS),
        (starting(process_start=1e-5), FAILS),
        (starting(process_switch=1e-5), UNDECIDED),
    ],
)
def test_claim_3_needs_both_starting_and_switching(found, word):
    assert cost.starting(found).word is word


NEVER, RARELY = [0.0] * 5, [0.9, 0.9, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("found", "cores", "word"),
    [
        (computing(), 2, HOLDS),
        (computing(threads=0.9), 2, FAILS),
        (computing(threads=RARELY), 2, UNDECIDED),
        (computing(processes=NEVER), 2, FAILS),
        (computing(processes=NEVER, others=1.0), 2, UNDECIDED),
        (computing(processes=RARELY), 2, UNDECIDED),
        (computing(processes=[0.02, 0.02, 0.02, 0.0, 0.0], others=1.5), 2, HOLDS),
        (computing(threads=NEVER, processes=NEVER, cores=1.2), 2, FAILS),
        (computing(), 1, UNDECIDED),
    ],
)
def test_claim_4_asks_who_ran_at_the_same_moment(found, cores, word):
    assert speed.one_thread(found, cores, is_gil_enabled=True).word is word


def test_cores_that_are_no_gain_in_time_are_said_to_be():
    gained = speed.one_thread(computing(), 2, is_gil_enabled=True)
    shared = speed.one_thread(computing(gain=1.0), 2, is_gil_enabled=True)

    assert "throttled" not in gained.reason
    assert "throttled" in shared.reason


@pytest.mark.parametrize(
    ("lost", "rounds", "word"),
    [
        ([1, 0, 0], 3, FAILS),
        ([0, 0, 0], 3, HOLDS),
        ([0], 1, UNDECIDED),
    ],
)
def test_claim_5_is_refuted_by_a_single_lost_update(lost, rounds, word):
    none = [0] * rounds
    found = Sharing(
        expected=400_000,
        threads=4,
        lost_bare=none,
        lost_call=lost,
        lost_locked=none,
        seen_by_parent=0,
    )

    assert safety.shared_data(found).word is word
    assert ("accident" in safety.shared_data(found).reason) is (word is FAILS)


@pytest.mark.parametrize(
    ("seconds", "word"),
    [
        (noisy(0.205), HOLDS),
        (noisy(1.0), FAILS),
        ([0.2, 0.3, 0.4], UNDECIDED),
    ],
)
def test_claim_6_asks_how_busy_one_worker_keeps_a_core(seconds, word):
    found = cells({"serial": seconds, "threads": seconds}, name="copy")

    (verdict,) = judge(Evidence(cores=2, cells=tuple(found)))

    assert (verdict.number, verdict.word) == (6, word)


@pytest.mark.parametrize(
    ("process", "word"),
    [
        (noisy(3e-4), HOLDS),
        (noisy(1e-5), FAILS),
        ([1e-5, 3e-5, 3e-4], UNDECIDED),
    ],
)
def test_claim_7_compares_the_cost_of_a_result(process, word):
    found = Passing(
        seconds={"thread": {200: noisy(3e-5)}, "process": {200: process}},
        crossing_bytes={"thread": {200: 0}, "process": {200: 215}},
    )

    assert cost.passing(found).word is word


@pytest.mark.parametrize(("child", "is_said"), [(1e-4, True), (9e-4, False)])
def test_claim_7_blames_the_pipe_for_no_more_than_it_costs(child, is_said):
    seconds = {"thread": 3e-5, "process": 5e-4, "child program": child}
    found = Passing(
        seconds={way: {200: noisy(one)} for way, one in seconds.items()},
        crossing_bytes={way: {200: 0} for way in seconds},
    )

    assert ("bare pipe" in cost.passing(found).reason) is is_said


@pytest.mark.parametrize(
    ("found", "cores", "word"),
    [
        (computing(), 2, HOLDS),
        (computing(children=NEVER, cores=1.6), 2, HOLDS),
        (computing(children=NEVER, cores=1.4), 2, FAILS),
        (computing(children=NEVER, others=1.0), 2, UNDECIDED),
        (computing(children=RARELY), 2, UNDECIDED),
        (computing(), 1, UNDECIDED),
    ],
)
def test_claim_8_wants_one_on_every_core_at_once(found, cores, word):
    assert speed.child_programs(found, cores).word is word


ANSWERS = {"done() at once": "False", "done() after it": "True", "result()": "42"}


@pytest.mark.parametrize(
    ("answers", "word"),
    [
        ({"threads": ANSWERS, "processes": ANSWERS}, HOLDS),
        ({"threads": ANSWERS, "processes": {**ANSWERS, "result()": "41"}}, FAILS),
        ({"threads": ANSWERS}, UNDECIDED),
    ],
)
def test_claim_9_compares_the_answers(answers, word):
    assert safety.futures(Futures(answers=answers)).word is word


@pytest.mark.parametrize(
    ("stuck", "avoided", "word"),
    [(2, 200, HOLDS), (0, 200, FAILS), (2, 150, UNDECIDED)],
)
def test_claim_10_wants_a_lock_up_and_a_way_out(stuck, avoided, word):
    found = Deadlock(
        stuck=stuck,
        waited_seconds=0.5,
        rounds=200,
        same_order_done=200,
        retreating_done=avoided,
    )

    assert safety.deadlock(found).word is word


def test_verdicts_come_by_number_and_only_with_evidence():
    everything = Evidence(
        cores=2,
        cells=tuple(cells({"serial": [1, 1, 1], "threads": [0.1, 0.1, 0.1]})),
        computing=computing(),
        starting=starting(),
        futures=Futures(answers={"threads": ANSWERS}),
    )

    assert [one.number for one in judge(everything)] == [1, 3, 4, 8, 9]
    assert judge(Evidence(cores=2)) == ()
    assert list(CLAIMS) == list(range(1, 11))


@pytest.mark.parametrize(("is_in_memory", "word"), [(False, HOLDS), (True, UNDECIDED)])
def test_claim_6_is_not_decided_without_a_disk(is_in_memory, word):
    found = cells({"serial": [1, 1, 1]}, name="write", cpu_seconds=0.99)
    evidence = Evidence(cores=2, cells=tuple(found), is_in_memory=is_in_memory)

    (verdict,) = judge(evidence)

    assert (verdict.number, verdict.word) == (6, word)
    assert ("TMPDIR" in verdict.reason) is is_in_memory


def test_claim_6_takes_one_worker_that_was_measured():
    found = cells({"serial": [1, 1, 1], "threads": [1, 1, 1]}, name="write")

    assert judge(Evidence(cores=2, cells=tuple(found[1:]))) == ()
