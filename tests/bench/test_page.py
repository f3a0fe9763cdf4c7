import msgspec
import pytest
from bench_figures import cells, whole_result
from page_reader import Reader

from downloader.bench.page import as_page
from downloader.bench.result import Word
from downloader.bench.statistics import estimate
from downloader.bench.verdicts.words import figure, verdict


@pytest.fixture(scope="module")
def page():
    return Reader(as_page(whole_result()))


def test_a_single_value_has_no_interval():
    single = msgspec.structs.replace(
        whole_result(),
        cells=tuple(cells({"serial": [1.0], "threads": [0.5]})),
        verdicts=(verdict(1, Word.HOLDS, "so", [figure("pairs", estimate([2.0]))]),),
        crossings=(),
    )
    page = Reader(as_page(single))

    (told,) = page.blocks[
        "1. For IO-bound work threads, processes and asyncio all speed up downloads."
    ]
    assert told == {"figure": "pairs", "value": "2", "unit": "times"}
    assert all("from" not in row for row in page.blocks["Times as fast as serial"])
    assert "pairs" in page.labels


def test_its_head_has_the_machine_the_claims_and_the_warnings(page):
    assert page.facts["cores"] == "2 of 2"
    assert page.facts["load"] == "0.1 to 1.0"
    assert page.facts["claims that hold"]
    assert "the moon was full" in page.notes


def test_each_claim_has_its_figures(page):
    figures = page.blocks[
        "1. For IO-bound work threads, processes and asyncio all speed up downloads."
    ]

    assert all(float(row["from"]) <= float(row["value"]) for row in figures)
    assert {row["unit"] for row in figures} == {"times", "s"}


def test_a_strategy_is_shown_with_the_workers_that_suit_it_best(page):
    assert page.blocks["Over the number of workers"][0] == {
        "files a second, by workers": "serial",
        "1": "10",
        "4": "-",
        "16": "-",
        "64": "-",
        "100": "-",
    }
    fastest = {row["strategy"]: row for row in page.blocks["Times as fast as serial"]}
    assert [fastest[name]["workers"] for name in ("curl", "threads")] == ["64", "64"]
    assert fastest["processes"]["workers"] == "4"


def test_the_turn_names_its_crossing(page):
    rows = page.blocks["Files a second, over the CPU work a file"]

    assert [*rows[0]] == [
        "files/s, by CPU work",
        "0 ms",
        "2 ms",
        "5 ms",
        "10 ms",
        "30 ms",
    ]
    assert any("pass" in label for label in page.labels)


def test_memory_and_where_time_went_are_there(page):
    assert page.blocks["Latency"][0]["MiB in all"] == "90"
    phases = page.blocks["Latency: the workers' time by phase"][0]
    assert float(phases["first byte"]) == pytest.approx(85.7)
    assert [*phases] == ["per cent, by strategy", "connect", "first byte", "body"]
    assert "programs, ms" in page.blocks["Latency: CPU time a file"][0]
