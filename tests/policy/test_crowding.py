import random

import pytest

from downloader.policy import crowding as module
from downloader.policy.crowding import Crowding


def queue(workers, service_seconds, requests):
    """Samples of a host that serves one after another, asked by so many at once."""
    samples, sent, free_at = [], [n * 1e-6 for n in range(workers)], 0.0
    for _ in range(requests):
        at = min(sent)
        sent.remove(at)
        free_at = max(free_at, at) + service_seconds
        samples.append((at, free_at - at))
        sent.append(free_at)
    return samples


def apart(workers, waits):
    """Samples of a host that serves all at once, each for as long as `waits` say."""
    samples, sent = [], [n * 1e-6 for n in range(workers)]
    for wait in waits:
        at = min(sent)
        sent.remove(at)
        samples.append((at, wait))
        sent.append(at + wait)
    return samples


def worst(*hosts):
    crowding = Crowding()
    for number, samples in enumerate(hosts):
        for sent_at, waited in samples:
            crowding.add(f"h{number}:80", sent_at, waited)
    return crowding.worst()


def test_without_samples_nothing_is_crowded() -> None:
    assert Crowding().worst() is None
    assert worst([]) is None


@pytest.mark.parametrize("workers", [4, 8, 16, 100])
def test_a_queue_is_seen(workers) -> None:
    crowd = worst(queue(workers, 0.01, 4 * workers))

    assert crowd is not None
    assert (crowd.host, crowd.at_once) == ("h0:80", workers)
    assert crowd.crowd_seconds == pytest.approx(workers * 0.01, rel=0.01)
    assert crowd.rest_seconds < crowd.crowd_seconds / 2


def test_answers_that_all_take_as_long_are_no_queue() -> None:
    assert worst(apart(8, [0.1] * 80)) is None


@pytest.mark.parametrize("seed", range(40))
def test_answers_that_take_long_by_chance_are_no_queue(seed) -> None:
    chance = random.Random(seed)
    waits = [chance.lognormvariate(-3, 0.7) for _ in range(200)]

    assert worst(apart(16, waits)) is None


def test_a_host_that_is_slow_at_first_is_no_queue() -> None:
    assert worst(apart(8, [0.5] * 8 + [0.1] * 80)) is None


def test_what_is_sent_in_the_same_moment_has_no_order() -> None:
    samples = [(round(at, 3), waited) for at, waited in queue(8, 0.01, 80)]

    assert worst(samples) is None


def test_with_few_at_once_nothing_can_be_seen() -> None:
    assert worst(queue(3, 0.01, 60)) is None


def test_with_one_wave_nothing_can_be_seen() -> None:
    assert worst(queue(8, 0.01, 9)) is None


def test_hosts_that_queue_count_if_they_had_most_of_the_time() -> None:
    slow, quick = queue(8, 0.1, 40), apart(8, [0.05] * 40)
    calm = apart(8, [9.0] * 40)

    crowd = worst(quick, slow)
    assert crowd is not None
    assert crowd.host == "h1:80"
    assert worst(calm, slow) is None


def test_the_host_with_most_time_is_named() -> None:
    crowd = worst(queue(8, 0.01, 40), queue(8, 0.1, 40), queue(8, 0.02, 40))

    assert crowd is not None
    assert crowd.host == "h1:80"


def test_memory_has_a_bound(monkeypatch) -> None:
    monkeypatch.setattr(module, "MOST_HOSTS", 2)
    monkeypatch.setattr(module, "MOST_SAMPLES", 3)
    crowding = Crowding()
    for number in range(10):
        crowding.add(f"h{number % 5}:80", number, 1.0)
        crowding.add("h0:80", number, 1.0)

    assert crowding.hosts == 2
    assert max(map(len, crowding._hosts.values())) == 3
