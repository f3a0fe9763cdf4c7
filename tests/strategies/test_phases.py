"""Every strategy tells alike where an attempt's time went."""

import pytest
from strategy_rig import facts_until_results, named_proxies, opened, side_by_side
from tunnel import Tunnel

from downloader.models import Attempt, AttemptResult
from downloader.strategies.contract import NAMES

every_strategy = pytest.mark.parametrize("name", NAMES)


def phases(name, root, urls, **plan):
    """Those of an attempt for each URL, one after another by one worker."""
    with opened(name, root, 1, **plan) as strategy:
        return [phases_of(strategy, n, url) for n, url in enumerate(urls)]


def phases_of(strategy, number, url):
    strategy.start([Attempt(number, url, f"file-{number}")])
    facts = facts_until_results(strategy, 1)
    (result,) = (fact for fact in facts if isinstance(fact, AttemptResult))
    return result.phases


@every_strategy
def test_a_connection_is_made_once_and_costs_nothing_when_it_is_used_again(
    name, odd, tmp_path
):
    paths = ["ok/10", "ok/10", "redirect/1", "status/404"]
    first, *others = phases(name, tmp_path, map(odd.url, paths))

    assert odd.peak_connections == 1
    assert first.connect_seconds > 0
    assert [one.connect_seconds for one in others] == [0, 0, 0]
    assert [one.tls_seconds for one in (first, *others)] == [0, 0, 0, 0]


@every_strategy
def test_a_handshake_is_told_apart_from_connecting(name, odd_tls, tmp_path):
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(odd_tls.ca_pem)
    urls = [odd_tls.url("ok/10"), odd_tls.url("ok/20")]
    first, second = phases(name, tmp_path, urls, cacert=str(ca_file))

    assert first.connect_seconds > 0
    assert first.tls_seconds > 0
    assert (second.connect_seconds, second.tls_seconds) == (0, 0)


@every_strategy
def test_a_handshake_in_a_proxys_tunnel_is_told_apart_as_well(name, odd_tls, tmp_path):
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(odd_tls.ca_pem)
    urls = [odd_tls.url("ok/10"), odd_tls.url("ok/20")]
    with Tunnel() as proxy:
        plan = {"cacert": str(ca_file), "proxies": named_proxies(https=proxy.url)}
        first, second = phases(name, tmp_path, urls, **plan)

    assert proxy.tunnels == 1
    assert first.connect_seconds > 0
    assert first.tls_seconds > 0
    assert (second.connect_seconds, second.tls_seconds) == (0, 0)


@every_strategy
def test_each_part_of_a_good_attempt_takes_some_time(name, odd, tmp_path):
    (one,) = phases(name, tmp_path, [odd.url("slow/3000/0.2")])

    assert one.first_byte_seconds > 0
    assert one.body_seconds > 0
    assert one.hash_seconds > 0
    assert one.store_seconds > 0
    assert one.paused_seconds == 0


def phases_side_by_side(root, url, check, **plan):
    """Let each strategy wait for the same, all at once, and check its phases."""

    def check_one(name):
        (root / name).mkdir()
        (one,) = phases(name, root / name, [url], **plan)
        check(one)

    side_by_side(check_one)


def test_waiting_for_the_head_is_not_waiting_for_the_body(site, tmp_path):
    # Four seconds: of a machine that stands still for one or two of them, either phase
    # may have those.
    def check(one):
        assert one.first_byte_seconds > one.body_seconds

    phases_side_by_side(tmp_path, f"{site.url}/n/1?latency=4", check)


def test_waiting_for_the_body_is_not_waiting_for_the_head(odd, tmp_path):
    def check(one):
        assert one.body_seconds > one.first_byte_seconds

    phases_side_by_side(tmp_path, odd.url("slow/1/40"), check)


def test_a_body_that_does_not_come_is_not_waiting_for_the_head(odd, tmp_path):
    def check(one):
        assert one.body_seconds > one.first_byte_seconds

    phases_side_by_side(tmp_path, odd.url("stall-body"), check, timeout_seconds=4)


@every_strategy
def test_large_files_tell_what_their_hash_took(name, odd, tmp_path):
    urls = [odd.url(f"ok/{8 << 20}")]
    with_hash = phases(name, tmp_path, 3 * urls)
    without = phases(name, tmp_path, 3 * urls, hash="none")
    # The best of three: in any one of them the machine may have stood still.
    hashing, not_hashing = (
        min(one.hash_seconds for one in three) for three in (with_hash, without)
    )

    assert hashing > 3 * not_hashing
    assert min(one.store_seconds for one in without) > not_hashing


def test_a_rates_pauses_are_told_apart_from_the_body(site, tmp_path):
    def check(one):
        assert one.paused_seconds > 0

    url = f"{site.url}/s/100000"
    phases_side_by_side(tmp_path, url, check, bytes_per_second=100_000)


def test_a_failure_tells_what_it_waited_for(odd, tmp_path):
    def check(one):
        assert one.first_byte_seconds > one.connect_seconds
        assert (one.body_seconds, one.store_seconds) == (0, 0)

    phases_side_by_side(tmp_path, odd.url("stall-head"), check, timeout_seconds=3)
