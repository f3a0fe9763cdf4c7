from datetime import UTC, datetime

import msgspec
import pytest
from bench_figures import MACHINE, cells, computing, workload

from downloader.bench.result import (
    BenchResult,
    Crossing,
    Mode,
    Word,
    read_json,
    write_json,
)
from downloader.bench.statistics import estimate
from downloader.bench.text import as_text
from downloader.bench.verdicts import Evidence, judge
from downloader.bench.verdicts.words import figure
from downloader.bench.verdicts.words import verdict as verdict_of


@pytest.fixture
def result():
    fast = [0.1, 0.1, 0.1]
    seconds = {"threads": fast, "processes": fast, "asyncio": fast}
    found = tuple(cells({"serial": [1, 1, 1], **seconds}))
    return BenchResult(
        mode=Mode.QUICK,
        started_at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        seconds=50.0,
        seed=7,
        machine=MACHINE,
        workloads=(
            workload(server_files_per_second=5000.0, server_mib_per_second=1.0),
        ),
        cells=found,
        crossings=(
            Crossing(
                workload="stage-parse",
                before="threads",
                after="processes",
                stage_seconds=0.0123,
            ),
        ),
        verdicts=judge(Evidence(cores=2, cells=found, computing=computing())),
        warnings=("the moon was full",),
    )


def test_the_text_has_machine_table_verdicts_and_warnings(result):
    text = as_text(result)

    for clue in (
        "2026-01-02 03:04 UTC, 50 s, seed 7",
        "2 of 2 cores, load 0.1 to 1.0",
        "CPython 3.13.0 with the GIL",
        "LATENCY (100 files; 3 repeats): made up",
        "bare sockets get 5,000 files/s",
        "processes overtakes threads from 12.3 ms",
        "1. For IO-bound work",
        "HOLDS HERE. While one waits",
        "! the moon was full",
    ):
        assert clue in text


def single(mode=Mode.FULL, repeats=1, **changes):
    found = tuple(cells({"serial": [1.0] * repeats, "threads": [0.5] * repeats}))
    return BenchResult(
        mode=mode,
        started_at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        seconds=50.0,
        seed=7,
        machine=MACHINE,
        workloads=(workload(),),
        cells=found,
        crossings=(),
        verdicts=changes.get("verdicts", ()),
        warnings=(),
    )


def legend(result):
    return " ".join(as_text(result).partition("\n\n")[0].split())


def test_a_single_value_has_no_interval_and_no_legend_for_one():
    told = figure("once", estimate([0.063]), "s")
    verdict = verdict_of(1, Word.UNDECIDED, "why", [told])
    text = as_text(single(verdicts=(verdict,)))

    assert "once 0.063 s\n" in f"{text}\n"
    assert "(0.063" not in text
    assert "Single values, not medians." in text
    assert "brackets" not in text


@pytest.mark.parametrize(
    ("repeats", "told"),
    [
        (
            2,
            "In brackets the range of all repeats, which holds the true median (50 % of two).",
        ),
        (5, "which holds the true median (94 % of five)."),
        (6, "In brackets where the true median lies: with 95 % from six repeats on. "),
    ],
)
def test_the_legend_quotes_the_confidence_of_the_repeats_made(repeats, told):
    assert told in legend(single(repeats=repeats))


def test_the_legend_has_what_verdicts_rest_on_beside():
    verdict = verdict_of(
        1, Word.HOLDS, "why", [figure("it", estimate([1.0, 2.0, 3.0]), "s")]
    )

    assert "from six repeats on, below that the range of all repeats" in legend(
        single(repeats=6, verdicts=(verdict,))
    )
    assert "(75 % of three)" in legend(single(repeats=6, verdicts=(verdict,)))


def test_of_start_up_the_legend_says_where_it_is(result):
    started = tuple(
        msgspec.structs.replace(cell, startup_seconds=cell.seconds)
        for cell in result.cells
    )

    assert "Start" not in legend(result)
    assert "it is in no other figure" in legend(
        msgspec.structs.replace(result, cells=started)
    )
    assert "Starting the workers is in all times." in legend(single(Mode.LIST))


def test_a_row_has_medians_with_their_ends(result):
    rows = as_text(result).splitlines()
    row = next(one for one in rows if one.startswith("  threads "))

    assert row.split()[:6] == ["threads", "4", "1,000", "(1,000", "to", "1,000)"]
    assert "10 (10 to 10)" in row


def test_columns_without_any_figure_are_left_out(result):
    heading = next(one for one in as_text(result).splitlines() if "x serial" in one)

    assert "start s" not in heading
    assert "stage ms" not in heading


def test_where_time_went_is_told_in_per_cent_of_workers_time(result):
    phases = {"connect": 0.5, "first_byte": 1.5}
    told = tuple(
        msgspec.structs.replace(cell, phase_seconds=phases) for cell in result.cells[1:]
    )
    text = as_text(msgspec.structs.replace(result, cells=told))

    assert "where workers' time went" in text
    assert "strategy workers connect first byte" in " ".join(text.split())
    assert "threads 4 25 75" in " ".join(text.split())


def test_a_result_survives_its_file(result, tmp_path):
    write_json(result, tmp_path / "bench.json")

    assert read_json(tmp_path / "bench.json") == result
    assert [one.name for one in tmp_path.iterdir()] == ["bench.json"]


def test_something_else_is_no_result(tmp_path):
    (tmp_path / "bench.json").write_text("{}")

    with pytest.raises(msgspec.ValidationError):
        read_json(tmp_path / "bench.json")
