import msgspec
import pytest

from downloader.policy.bound import Bound, classify
from downloader.policy.crowding import Crowd
from downloader.policy.figures import Figures

# Sixteen threads that wait for answers: the network, and nothing else.
WAITING = Figures(
    strategy="threads",
    is_loop=False,
    loop="curl",
    is_chosen=False,
    has_processes=False,
    workers=16,
    per_host=None,
    hosts=1,
    cores=2,
    is_durable=False,
    hash="sha256",
    seconds=10.0,
    start_seconds=0.0,
    attempts=1000,
    refused=0,
    busy_seconds=160.0,
    list_seconds=0.0,
    limits_seconds=0.0,
    pauses_seconds=0.0,
    network_seconds=154.0,
    first_byte_seconds=150.0,
    paused_seconds=0.0,
    rate_share=0.0,
    hash_seconds=0.0,
    store_seconds=2.0,
    commit_seconds=0.0,
    cpu_seconds=1.0,
    worker_cpu_seconds=0.0,
    worker_start_cpu_seconds=0.0,
    worker_processes=0,
    ready_seconds=0.2,
    worker_ready_seconds=0.0,
    crowd=None,
)
CHILDREN = {"strategy": "processes", "has_processes": True, "worker_processes": 2}
STORING = {"network_seconds": 30.0, "store_seconds": 125.0}
CROWD = Crowd("h:80", 0.021, 0.16, 8)


def bound(**changes):
    changes.setdefault("is_loop", changes.get("strategy") in {"curl", "asyncio"})
    found = classify(msgspec.structs.replace(WAITING, **changes))
    assert found is not None
    return found


def word(**changes):
    return bound(**changes).word


def advice(**changes):
    return bound(**changes).advice


def test_a_run_that_chose_for_itself_is_given_no_advice_on_that() -> None:
    assert advice(is_chosen=True) is None
    assert advice(is_chosen=True, cpu_seconds=9.5) is None
    assert advice(is_chosen=True, refused=200) is not None


def test_a_bound_reads_as_a_line() -> None:
    assert Bound("mixed", "CPU 3 %").text == "mixed: CPU 3 %"
    assert Bound("IO-bound", "all", "-j 9").text == "IO-bound: all; -j 9"


class TestTooShort:
    @pytest.mark.parametrize(
        "changes",
        [
            {"seconds": 0.49},
            {"attempts": 9, "seconds": 4.9},
            {"attempts": 0},
        ],
    )
    def test_nothing_is_said_of_so_little(self, changes) -> None:
        assert classify(msgspec.structs.replace(WAITING, **changes)) is None

    def test_few_attempts_that_take_long_say_enough(self) -> None:
        assert word(attempts=1, seconds=10.0) == "IO-bound"

    def test_a_run_that_hardly_began_says_so(self) -> None:
        found = bound(**CHILDREN, start_seconds=6.5)

        assert found.word == "IO-bound"
        assert found.evidence.endswith(", once it had begun, 65 % into the run")
        assert found.advice == "a strategy without processes would begin sooner"

    def test_a_slow_list_is_no_matter_of_the_strategy(self) -> None:
        assert advice(start_seconds=6.5) is None


class TestNetwork:
    def test_waiting_for_it_is_the_evidence(self) -> None:
        assert bound().evidence == (
            "waiting on the network 96 % of worker time, CPU 10 % of one core"
        )

    def test_more_workers_are_advised_as_far_as_the_cpu_goes(self) -> None:
        assert advice() == (
            "--workers 90 or --strategy curl would help, more processes would not"
        )
        assert advice(strategy="curl") == (
            "--workers 90 would help, more processes would not"
        )

    def test_never_more_than_eight_times_as_many(self) -> None:
        found = advice(strategy="curl", cpu_seconds=0.01, ready_seconds=0.0)

        assert found == "--workers 100 would help, more processes would not"

    def test_hosts_must_allow_as_many(self) -> None:
        found = advice(strategy="curl", per_host=16, hosts=2)

        assert found == (
            "--workers 90 with -x 45, where hosts allow it, would help, "
            "more processes would not"
        )

    def test_many_hosts_allow_as_many_by_themselves(self) -> None:
        assert "-x" not in (advice(strategy="curl", per_host=8, hosts=32) or "")

    def test_a_full_line_may_carry_no_more(self) -> None:
        found = advice(strategy="curl", first_byte_seconds=10.0)

        assert found == "--workers 90 may help, more processes would not"

    def test_one_at_a_time_needs_another_strategy(self) -> None:
        found = advice(strategy="serial", workers=1, cpu_seconds=0.5)

        assert found == "--strategy curl would help, more processes would not"

    def test_processes_are_a_costly_way_to_wait(self) -> None:
        found = advice(**CHILDREN, worker_cpu_seconds=1.0)

        assert found == "--strategy curl would help, and costs less than more processes"

    def test_at_the_hosts_limit_no_strategy_has_more_at_once(self) -> None:
        found = advice(per_host=8, hosts=2)

        assert found == (
            "--workers 90 with -x 45, where hosts allow it, would help, "
            "more processes would not"
        )
        assert "--strategy curl" in (advice(per_host=9, hosts=2) or "")

    def test_one_at_a_time_at_a_host_needs_both(self) -> None:
        found = advice(strategy="serial", workers=1, per_host=1, cpu_seconds=0.5)

        assert found == (
            "--strategy curl with -x 8, where hosts allow it, would help, "
            "more processes would not"
        )

    def test_no_more_workers_are_advised_than_the_list_has_lines(self) -> None:
        found = advice(strategy="curl", per_host=16, attempts=40)

        assert found == (
            "--workers 40 with -x 40, where hosts allow it, would help, "
            "more processes would not"
        )

    def test_a_list_of_no_more_than_the_workers_needs_no_more(self) -> None:
        assert advice(attempts=31) is None

    def test_a_busy_loop_has_no_room_for_more(self) -> None:
        assert advice(strategy="curl", cpu_seconds=5.0) is None


class TestCpu:
    def test_one_interpreter_has_one_core(self) -> None:
        found = bound(cpu_seconds=9.0)

        assert found.word == "CPU-bound"
        assert found.evidence == (
            "CPU 90 % of one core, waiting on the network 96 % of worker time"
        )
        assert found.advice == "--strategy multicore would help, more workers would not"

    def test_a_machine_of_one_core_has_no_more(self) -> None:
        found = advice(cpu_seconds=9.0, cores=1)

        assert found == "more workers would not help, a faster machine would"

    def test_a_loop_that_is_kept_from_the_core_wants_it_all_the_same(self) -> None:
        found = bound(strategy="curl", cpu_seconds=2.5, ready_seconds=9.0)

        assert found.word == "CPU-bound"
        assert "CPU 25 % of one core and ready for 75 % more" in found.evidence
        assert found.advice == "other programs had the cores"

    def test_what_was_wanted_is_said_where_it_decided(self) -> None:
        found = bound(strategy="curl", cpu_seconds=6.0, ready_seconds=1.5)

        assert found.word == "CPU-bound"
        assert "CPU 60 % of one core and ready for 15 % more" in found.evidence
        assert "ready" not in bound(strategy="curl", cpu_seconds=8.0).evidence

    def test_threads_may_keep_each_other_from_the_cores(self) -> None:
        found = bound(cpu_seconds=4.0, ready_seconds=6.0)

        assert "CPU 40 % of one core and ready for 60 % more" in found.evidence
        assert found.advice is None

    def test_processes_that_are_kept_from_cores_say_how_many_they_wanted(self) -> None:
        starved = {"worker_cpu_seconds": 5.0, "worker_ready_seconds": 12.0}
        found = bound(**CHILDREN, **starved)

        assert "CPU 0.6 of 2 cores and ready for 1.2 more" in found.evidence
        assert found.advice == "other programs had the cores"

    @pytest.mark.parametrize(
        ("used", "names"),
        [
            ("sha256", "blake3, xxh3 or none"),
            ("blake3", "xxh3 or none"),
            ("xxh3", "none"),
        ],
    )
    def test_a_cheaper_digest_is_named_where_hashing_is_much(self, used, names) -> None:
        found = advice(cpu_seconds=8.0, hash_seconds=2.0, hash=used, cores=1)

        assert found == (
            f"--hash {names} would help; "
            "more workers would not help, a faster machine would"
        )

    def test_no_digest_is_named_for_little_or_without_a_choice(self) -> None:
        assert "--hash" not in (advice(cpu_seconds=8.0, hash_seconds=1.9) or "")
        assert "--hash" not in (
            advice(cpu_seconds=8.0, hash_seconds=4.0, hash=None) or ""
        )

    def test_a_run_that_chose_for_itself_did_not_choose_the_digest(self) -> None:
        found = advice(cpu_seconds=8.0, hash_seconds=4.0, is_chosen=True)

        assert found == "--hash blake3, xxh3 or none would help"

    def test_a_loop_that_only_waits_wants_little_whatever_keeps_it_from_that(
        self,
    ) -> None:
        found = word(strategy="curl", cpu_seconds=1.0, ready_seconds=6.0)

        assert found == "IO-bound"

    def test_threads_that_only_wait_want_little_as_well(self) -> None:
        assert word(cpu_seconds=2.0, ready_seconds=20.0) == "IO-bound"

    def test_threads_that_share_one_lock_want_one_core(self) -> None:
        assert word(cpu_seconds=4.0, ready_seconds=6.0) == "CPU-bound"

    def test_threads_that_are_all_ready_all_the_time_want_it(self) -> None:
        assert word(cpu_seconds=2.0, ready_seconds=120.0) == "CPU-bound"

    def test_threads_that_stand_idle_want_nothing(self) -> None:
        idle = {"busy_seconds": 4.0, "network_seconds": 3.0, "pauses_seconds": 156.0}

        found = word(**idle, cpu_seconds=0.5, ready_seconds=4.0)
        assert found == "politeness-bound"

    def test_a_loop_that_is_never_idle_wants_a_core_whatever_it_gets(self) -> None:
        never_idle = {"cpu_seconds": 1.0, "ready_seconds": 8.5}

        assert word(strategy="curl", **never_idle) == "CPU-bound"

    def test_processes_have_all_cores(self) -> None:
        found = bound(**CHILDREN, worker_cpu_seconds=16.0)

        assert found.word == "CPU-bound"
        assert found.evidence.startswith("CPU 1.7 of 2 cores, waiting")
        assert found.advice == "more workers would not help, more cores would"

    def test_a_process_that_is_kept_from_its_core_wants_it(self) -> None:
        starved = {"worker_cpu_seconds": 5.0, "worker_ready_seconds": 12.0}

        assert word(**CHILDREN, **starved) == "CPU-bound"

    def test_processes_that_are_never_idle_want_all_whatever_they_get(self) -> None:
        never_idle = {"worker_cpu_seconds": 3.0, "worker_ready_seconds": 15.5}

        assert word(**CHILDREN, **never_idle) == "CPU-bound"

    def test_what_processes_take_to_start_is_not_their_work(self) -> None:
        starting = {"worker_cpu_seconds": 16.0, "worker_start_cpu_seconds": 14.0}

        assert word(**CHILDREN, **starting) == "IO-bound"

    def test_with_cores_to_spare_more_processes_help(self) -> None:
        found = advice(**CHILDREN | {"cores": 8}, worker_cpu_seconds=16.0)

        assert found == "--workers 8 would help"

    def test_fewer_processes_than_cores_are_told_of(self) -> None:
        found = bound(**CHILDREN | {"cores": 8}, worker_cpu_seconds=16.0)

        assert found.evidence.startswith("CPU 1.7 of 8 cores by 2 worker processes, ")

    def test_a_short_list_has_no_work_for_more_processes(self) -> None:
        few = CHILDREN | {"cores": 8, "attempts": 2}

        assert advice(**few, worker_cpu_seconds=16.0) == (
            "more workers would not help, more cores would"
        )

    def test_more_processes_than_cores_have_only_the_cores(self) -> None:
        many = CHILDREN | {"worker_processes": 16, "worker_cpu_seconds": 16.0}

        assert word(**many) == "CPU-bound"

    def test_the_parent_may_be_what_is_at_its_end(self) -> None:
        found = bound(**CHILDREN | {"cores": 8}, cpu_seconds=9.0)

        assert found.word == "CPU-bound"
        assert found.evidence.startswith("CPU of the parent 90 % of one core, ")
        assert found.advice == "the parent, through which all goes, has no more to give"

    def test_processes_on_one_core_have_that(self) -> None:
        found = bound(**CHILDREN | {"cores": 1}, worker_cpu_seconds=8.0)

        assert found.evidence.startswith("CPU 90 % of one core, ")

    def test_before_they_were_met_workers_have_used_nothing(self) -> None:
        assert word(**CHILDREN | {"worker_processes": 0}) == "IO-bound"


class TestDisk:
    def test_workers_that_wait_for_it(self) -> None:
        found = bound(**STORING)

        assert found.word == "disk-bound"
        assert found.evidence == ("storing 78 % of worker time, CPU 10 % of one core")
        assert found.advice == "a faster disk would help, more workers would not"

    def test_what_lies_there_while_the_record_is_committed(self) -> None:
        busy = {"network_seconds": 20.0, "store_seconds": 40.0}

        assert word(**busy) == "mixed"
        assert word(**busy, commit_seconds=5.0) == "disk-bound"

    def test_who_stores_without_a_core_does_not_wait_for_the_disk(self) -> None:
        unpacking = {"cpu_seconds": 3.0, "ready_seconds": 100.0}
        storing = {"network_seconds": 3.0, "store_seconds": 17.0, "busy_seconds": 20.0}

        assert word(**storing, **unpacking | {"workers": 2}) == "CPU-bound"
        assert word(**storing, cpu_seconds=3.0, ready_seconds=6.0) == "CPU-bound"
        assert word(**storing, cpu_seconds=1.0, ready_seconds=6.0) == "disk-bound"

    def test_a_loop_that_is_kept_from_a_core_has_many_waiting_for_the_disk(
        self,
    ) -> None:
        storing = {"network_seconds": 3.0, "store_seconds": 5.0, "busy_seconds": 8.0}
        found = word(**storing, strategy="curl", is_durable=True, ready_seconds=6.0)

        assert found == "disk-bound"

    def test_what_is_stored_by_the_cpu_is_the_evidence_of_that(self) -> None:
        storing = {"network_seconds": 2.0, "store_seconds": 8.0, "busy_seconds": 10.0}
        found = bound(**storing, workers=1, cpu_seconds=4.0, ready_seconds=0.0)

        assert found.evidence == (
            "CPU 40 % of one core, hashing and storing 80 %, "
            "waiting on the network 20 % of worker time"
        )
        assert found.advice == "--strategy multicore would help, more workers would not"

    def test_syncing_is_a_choice(self) -> None:
        found = advice(**STORING, is_durable=True)

        assert found == "without --durable nothing would wait for the disk"

    @pytest.mark.parametrize("strategy", ["curl", "asyncio"])
    def test_a_loop_that_stores_does_nothing_else(self, strategy) -> None:
        found = bound(strategy=strategy, store_seconds=7.0)

        assert found.word == "disk-bound"
        assert found.evidence.startswith("storing 70 % of the time")

    def test_a_loop_has_others_sync(self) -> None:
        assert word(strategy="curl", store_seconds=7.0, is_durable=True) == "IO-bound"

    @pytest.mark.parametrize("strategy", ["curl", "threads"])
    def test_hashing_does_not_wait_for_it(self, strategy) -> None:
        keeping = {"hash_seconds": 120.0, "store_seconds": 5.0, "busy_seconds": 160.0}
        found = bound(**keeping, strategy=strategy, network_seconds=35.0)

        assert found.word == "mixed"
        assert "hashing 75 %" in found.evidence
        assert found.advice == "--hash blake3, xxh3 or none would help"

    def test_the_record_may_hold_all_up(self) -> None:
        found = bound(commit_seconds=6.2)

        assert found.word == "disk-bound"
        assert found.evidence.startswith("waiting for the manifest 62 % of the time")

    def test_hashing_without_a_pause_is_the_cpus(self) -> None:
        assert word(**STORING, cpu_seconds=9.5) == "CPU-bound"


class TestServer:
    def test_refusals(self) -> None:
        found = bound(refused=200)

        assert found.word == "server-bound"
        assert found.evidence == "20 % of the attempts were answered 429 or 503"
        assert found.advice == (
            "fewer requests at once (a smaller -x or -j) would be refused less often"
        )

    def test_refusals_count_though_the_cpu_is_busy_with_them(self) -> None:
        assert word(cpu_seconds=20.0) == "CPU-bound"
        assert word(cpu_seconds=20.0, refused=200) == "server-bound"

    def test_some_refusals_are_none(self) -> None:
        assert word(refused=199) == "IO-bound"

    def test_a_queue(self) -> None:
        found = bound(crowd=CROWD)

        assert found.word == "server-bound"
        assert found.evidence == (
            "h:80 began to answer within 21 ms when little was asked of it, and within "
            "160 ms with 8 requests at once"
        )
        assert found.advice == "more workers would not help"

    def test_a_host_from_a_list_does_no_harm_to_a_terminal(self) -> None:
        found = bound(crowd=CROWD._replace(host="\x1b[2J"))

        assert "\x1b" not in found.evidence

    def test_a_queue_that_little_time_went_to(self) -> None:
        assert word(crowd=CROWD, first_byte_seconds=20.0) == "IO-bound"

    def test_a_queue_before_a_long_pause(self) -> None:
        assert word(crowd=CROWD, pauses_seconds=1e3) == "politeness-bound"

    def test_behind_a_hosts_limit(self) -> None:
        assert word(crowd=CROWD, limits_seconds=1e3) == "server-bound"


class TestPoliteness:
    def test_hosts_limits(self) -> None:
        found = bound(limits_seconds=640.0, per_host=8)

        assert found.word == "politeness-bound"
        assert found.evidence == (
            "the limit for each host kept 80 % of worker slots idle, "
            "CPU 10 % of one core"
        )
        assert found.advice == "-x 16 would help where hosts allow it"

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"workers": 12}, "-x 12 would help where hosts allow it"),
            ({"attempts": 10}, "-x 10 would help where hosts allow it"),
            ({"attempts": 8}, None),
        ],
    )
    def test_no_more_at_a_host_than_there_is_to_do(self, changes, told) -> None:
        assert advice(limits_seconds=640.0, per_host=8, **changes) == told

    def test_pauses(self) -> None:
        found = bound(pauses_seconds=640.0)

        assert found.word == "politeness-bound"
        assert found.evidence.startswith(
            "pauses and back-off kept 80 % of worker slots"
        )
        assert found.advice is not None

    def test_a_rate(self) -> None:
        found = bound(paused_seconds=130.0, network_seconds=20.0)

        assert found.word == "politeness-bound"
        assert (
            found.evidence
            == "the rate limit, of which 0 % was used, held transfers back 81 % of worker time"
        )
        assert found.advice == "a higher --limit-rate would help"

    def test_a_rate_that_is_used_up_whatever_else_took_time_meanwhile(self) -> None:
        found = bound(paused_seconds=80.0, network_seconds=70.0, rate_share=0.97)

        assert found.word == "politeness-bound"
        assert found.evidence == (
            "the rate limit, of which 97 % was used, held transfers back 50 % of "
            "worker time"
        )

    def test_all_of_them_together(self) -> None:
        assert word(limits_seconds=200.0, pauses_seconds=100.0) == "politeness-bound"


class TestMixed:
    def test_what_had_a_part_is_said(self) -> None:
        found = bound(limits_seconds=150.0)

        assert found.word == "mixed"
        assert found.evidence == (
            "waiting on the network 50 %, idle by hosts' limits 48 % of worker time, "
            "CPU 10 % of one core"
        )
        assert found.advice is None

    def test_hashing_that_nobody_waits_for_is_no_matter(self) -> None:
        assert advice(limits_seconds=150.0, hash_seconds=0.9) is None

    def test_a_slow_list_has_no_word_of_its_own(self) -> None:
        found = bound(list_seconds=400.0)

        assert found.word == "mixed"
        assert "idle for want of lines 71 %" in found.evidence

    def test_a_run_of_nothing_in_particular_has_its_cpu_time(self) -> None:
        nothing = dict.fromkeys(
            ("busy_seconds", "network_seconds", "first_byte_seconds", "store_seconds"),
            0.0,
        )

        assert bound(**nothing).evidence == "CPU 10 % of one core"
