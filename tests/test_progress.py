from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import termios
import threading

import pytest

from downloader import progress
from downloader.models import Outcome, Status

OK = Outcome(seq=0, url="http://h/a", status=Status.OK)
FAILED = Outcome(
    seq=1,
    url="http://h/gone",
    status=Status.FAILED,
    error="http_404",
    detail="the server answered 404 Not Found",
)
MIB = 2**20


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Terminal:
    """A real pseudo-terminal, and what stands on its screen."""

    def __init__(self, columns=80, lines=24):
        self._master, slave = pty.openpty()
        self.stream = os.fdopen(slave, "w", encoding="utf-8")
        self.resize(columns, lines)
        self._pieces = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def resize(self, columns, lines=24):
        termios.tcsetwinsize(self.stream.fileno(), (lines, columns))

    def _read(self):
        try:
            while piece := os.read(self._master, 65536):
                self._pieces.append(piece)
        except OSError:
            return  # the other side is closed, which Linux calls an error

    def close(self):
        self.stream.close()
        self._reader.join(30)
        os.close(self._master)

    def output(self):
        """Everything that was written; closes the terminal."""
        self.close()
        return b"".join(self._pieces).decode()

    def screen(self):
        """The lines that are left to see; closes the terminal."""
        return rendered(self.output())


def rendered(output):
    """The screen's lines after `output`, as a terminal of any size shows them."""
    lines, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[[0-9]*[A-Z]|.", output, re.DOTALL):
        if token == "\r":
            column = 0
        elif token == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif token == "\x1b[A":
            row -= 1
        elif token == "\x1b[K":
            lines[row] = lines[row][:column]
        elif token == "\x1b[J":
            lines[row:] = [lines[row][:column]]
        else:
            assert token >= " ", f"unexpected control {token!r}"
            line = lines[row].ljust(column)
            lines[row] = line[:column] + token + line[column + 1 :]
            column += 1
    return [line.rstrip() for line in lines if line.strip()]


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    yield terminal
    if not terminal.stream.closed:
        terminal.close()


@pytest.fixture
def bars(terminal, clock):
    bars = progress.make(False, True, terminal.stream, clock=clock)
    yield bars
    bars.close()


@pytest.fixture
def text():
    return io.StringIO()


@pytest.fixture
def lines(text, clock):
    return progress.make(False, True, text, clock=clock)


def draw(display, clock, seconds=0.25, in_flight=0, waits=""):
    clock.now += seconds
    display.tick(in_flight, lambda: waits)


# Which display


def test_a_terminal_gets_bars(terminal):
    assert isinstance(progress.make(False, True, terminal.stream), progress.Bars)


def test_a_dumb_terminal_gets_lines(terminal, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")

    assert isinstance(progress.make(False, True, terminal.stream), progress.Lines)


def test_what_is_no_terminal_gets_lines(text):
    assert isinstance(progress.make(False, True, text), progress.Lines)


@pytest.mark.parametrize(("quiet", "show"), [(True, True), (False, False)])
def test_quiet_or_not_to_be_shown_is_silent(quiet, show, terminal):
    made = progress.make(quiet, show, terminal.stream)

    assert isinstance(made, progress.Silent)


def test_without_a_stream_it_is_silent():
    assert isinstance(progress.make(False, True, None), progress.Silent)


def test_a_closed_stream_is_silent(text):
    text.close()

    assert isinstance(progress.make(False, True, text), progress.Silent)


def test_silent_takes_every_event():
    silent = progress.Silent()

    silent.grow(1)
    silent.moved(1, "a", 1, None)
    silent.ended(1)
    silent.outcome(OK, 1)
    silent.note("hello")
    silent.tick(1)
    silent.close()


# Lines


def test_a_run_of_less_than_ten_seconds_prints_no_line(lines, text, clock):
    lines.outcome(OK, 10)
    draw(lines, clock, seconds=9.9)
    lines.close()

    assert text.getvalue() == ""


def test_every_ten_seconds_there_is_one_line(lines, text, clock):
    for _ in range(1234):
        lines.outcome(OK, 100_000)
    lines.outcome(FAILED, 0)
    draw(lines, clock, seconds=10, in_flight=4)
    draw(lines, clock, seconds=9.9)

    assert text.getvalue() == (
        "1,235 done, 1 failed, 4 in flight, 117.7 MiB, 11.8 MiB/s\n"
    )


def test_a_line_says_how_many_wait_of_how_many(lines, text, clock):
    lines.grow(40)
    lines.outcome(FAILED, 0)
    lines.outcome(FAILED, 0)
    draw(lines, clock, seconds=10, in_flight=3)

    assert text.getvalue().startswith(
        "2 of 40 done, 2 failed, 3 in flight, 35 waiting, "
    )


def test_a_line_says_what_the_run_waits_for(lines, text, clock):
    draw(lines, clock, 10, waits="h asked for a pause: 9 s left (5 files)")

    assert text.getvalue().endswith(", h asked for a pause: 9 s left (5 files)\n")


def test_a_line_s_rate_is_of_the_last_ten_seconds(lines, text, clock):
    lines.outcome(OK, 100 * MIB)
    draw(lines, clock, seconds=10)
    lines.outcome(OK, 10 * MIB)
    draw(lines, clock, seconds=10)

    assert text.getvalue().splitlines()[1] == (
        "2 done, 0 failed, 0 in flight, 110.0 MiB, 1.0 MiB/s"
    )


def test_bytes_of_a_transfer_in_flight_count_from_where_it_was_first_seen(
    lines, text, clock
):
    lines.moved(1, "resumed", 50 * MIB, 100 * MIB)
    lines.moved(1, "resumed", 60 * MIB, 100 * MIB)
    draw(lines, clock, seconds=10)

    assert text.getvalue() == "0 done, 0 failed, 0 in flight, 10.0 MiB, 1.0 MiB/s\n"


def test_a_transfer_that_ended_in_a_retry_gives_no_negative_rate(lines, text, clock):
    lines.moved(1, "a", 0, None)
    lines.moved(1, "a", 50 * MIB, None)
    draw(lines, clock, seconds=10)
    lines.ended(1)
    draw(lines, clock, seconds=10)

    assert text.getvalue().splitlines()[1].endswith(", 0 B, 0 B/s")


def test_a_note_is_a_line_at_the_next_tick(lines, text, clock):
    lines.note("headers go to http://u:secret@h only\x1b[2J")
    draw(lines, clock, seconds=0)

    assert text.getvalue() == "headers go to http://u:***@h only\\x1b[2J\n"


def test_a_note_without_a_tick_is_written_on_closing(lines, text):
    lines.note("retry")
    lines.close()
    lines.close()

    assert text.getvalue() == "retry\n"


def test_letters_that_the_stream_cannot_encode_are_replaced(clock):
    raw = io.BytesIO()
    lines = progress.Lines(io.TextIOWrapper(raw, "ascii"), clock=clock)
    lines.note("größer")
    lines.close()

    assert raw.getvalue() == b"gr??er\n"


def test_a_broken_pipe_turns_the_display_off(clock):
    reader, writer = os.pipe()
    os.close(reader)
    stream = io.TextIOWrapper(io.FileIO(writer, "w"), write_through=True)
    lines = progress.Lines(stream, clock=clock)
    lines.note("nobody reads this")

    draw(lines, clock, seconds=10)
    draw(lines, clock, seconds=10)
    lines.close()
    stream.close()

    assert not lines._screen.is_on


def test_a_stream_closed_in_the_run_turns_the_display_off(lines, text, clock):
    text.close()

    draw(lines, clock, seconds=10)
    lines.close()

    assert not lines._screen.is_on


# Bars


def test_nothing_is_left_on_the_screen_but_what_was_there_before(bars, terminal, clock):
    terminal.stream.write("$ downloader fetch urls.txt\n")
    for number in range(6):
        bars.moved(number, f"file-{number}", MIB, 10 * MIB)
    draw(bars, clock)
    bars.ended(0)
    bars.ended(5)
    bars.outcome(OK, 10)
    draw(bars, clock)
    bars.close()
    bars.close()
    terminal.stream.write("the summary\n")

    assert terminal.screen() == ["$ downloader fetch urls.txt", "the summary"]


def test_the_screen_shows_files_bytes_rates_and_failures(bars, terminal, clock):
    bars.grow(8)
    bars.outcome(OK, 3 * MIB)
    bars.outcome(FAILED, 0)
    draw(bars, clock, seconds=1)

    shown = terminal.screen()
    assert (
        shown[0] == "failed: http://h/gone  http_404: the server answered 404 Not Found"
    )
    assert re.fullmatch(
        r" 25%\|.+\| 2/8 files, 3\.0 MiB, 3\.0 MiB/s, 2 files/s, 1 failed", shown[1]
    )
    assert len(shown) == 2


def test_the_screen_says_what_the_run_waits_for(bars, terminal, clock):
    draw(bars, clock, waits="h asked for a pause: 9 s left (5 files)")

    (shown,) = terminal.screen()
    assert shown.endswith("B/s, h asked for a pause: 9 s left (5 files)")


def test_a_total_known_at_the_start_holds_until_more_lines_are_read(terminal, clock):
    bars = progress.Bars(terminal.stream, total=10, clock=clock)
    bars.grow(4)
    draw(bars, clock)
    bars.grow(20)
    draw(bars, clock)

    output = terminal.output()
    assert "0/10 files" in output
    assert "0/24 files" in output


def test_without_a_total_there_is_no_bar_but_the_figures(bars, terminal, clock):
    bars.outcome(OK, 2048)
    draw(bars, clock, seconds=1)

    assert terminal.screen() == ["1 file, 2.0 KiB, 2.0 KiB/s, 1 files/s"]


def test_the_four_largest_transfers_have_a_bar(bars, terminal, clock):
    for number, size in enumerate([1, 9, 3, 8, 2, 7]):
        bars.moved(number, f"of-{size}-mib", MIB // 2, size * MIB)
    draw(bars, clock)

    shown = terminal.screen()[1:]
    assert [line.split()[0] for line in shown] == [
        "of-9-mib",
        "of-8-mib",
        "of-7-mib",
        "of-3-mib",
    ]


def test_a_transfer_keeps_its_row_when_another_ends(bars, terminal, clock):
    for number, size in enumerate([9, 8, 7]):
        bars.moved(number, f"of-{size}-mib", MIB, size * MIB)
    draw(bars, clock)
    bars.ended(0)
    bars.moved(3, "of-99-mib", MIB, 99 * MIB)
    draw(bars, clock)

    shown = terminal.screen()[1:]
    assert [line.split()[0] for line in shown] == ["of-8-mib", "of-7-mib", "of-99-mib"]


def test_the_row_of_a_transfer_that_ended_is_gone(bars, terminal, clock):
    for number in range(3):
        bars.moved(number, f"file-{number}", MIB, 2 * MIB)
    draw(bars, clock)
    bars.ended(0)
    bars.ended(2)
    draw(bars, clock)

    shown = terminal.screen()[1:]
    assert [line.split()[0] for line in shown] == ["file-1"]


def test_a_transfer_shows_its_share_size_and_rate(bars, terminal, clock):
    bars.moved(1, "big.iso", 2 * MIB, 8 * MIB)
    draw(bars, clock, seconds=1)
    bars.moved(1, "big.iso", 4 * MIB, 8 * MIB)
    draw(bars, clock, seconds=1)

    assert re.fullmatch(
        r"big\.iso +50%\|.+\| 4\.0 MiB/8\.0 MiB, 1\.0 MiB/s", terminal.screen()[1]
    )


def test_a_transfer_without_a_length_shows_how_far_it_is(bars, terminal, clock):
    bars.moved(1, "stream", 5 * MIB, None)
    draw(bars, clock)

    assert re.fullmatch(r"stream +5\.0 MiB, 0 B/s", terminal.screen()[1])


def test_a_long_name_keeps_its_end(bars, terminal, clock):
    bars.moved(1, "folder/" * 20 + "photo.jpg", 0, MIB)
    draw(bars, clock)

    assert re.match(r"…\S*/photo\.jpg +0%", terminal.screen()[1])


def test_of_a_name_that_is_too_long_the_query_goes_first():
    name = "h/archive_file_id=12&token=%2A&expires=20261127~0123456789.iso"

    assert progress._cut_left(name, 30).rstrip() == "h/archive_file~0123456789.iso"
    assert progress._cut_left(name, 80).rstrip() == name


def test_a_name_with_wide_letters_takes_no_more_cells_than_others():
    assert progress._cut_left("日本語日本語.txt", 10) == "…本語.txt "
    assert progress._cut_left("日本", 6) == "日本  "


def test_braces_and_control_characters_in_a_name_are_shown_as_text(
    bars, terminal, clock
):
    bars.moved(1, "{n}\x1b[2J{", 0, MIB)
    draw(bars, clock)

    assert terminal.screen()[1].startswith("{n}\\x1b[2J{ ")


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_no_line_fills_the_window_s_width(columns, terminal, bars, clock):
    terminal.resize(columns)
    bars.grow(123_456)
    bars.moved(1, "folder/" * 40, 4 * MIB, 8 * MIB)
    draw(bars, clock)

    assert max(map(len, terminal.screen())) < columns


def test_a_terminal_that_does_not_know_its_size_is_taken_for_one_of_80_columns(
    terminal, bars, clock
):
    terminal.resize(0, 0)
    bars.grow(300)
    draw(bars, clock)

    assert len(terminal.screen()[0]) == 79


def test_the_first_figures_to_go_when_room_is_short_are_the_least_important(
    terminal, bars, clock
):
    terminal.resize(45)
    bars.grow(300)
    bars.outcome(OK, MIB)
    draw(bars, clock, seconds=1)

    assert terminal.screen()[0].endswith("| 1/300 files, 1.0 MiB/s")


def test_a_low_window_shows_fewer_transfers(terminal, bars, clock):
    terminal.resize(80, lines=4)
    for number in range(4):
        bars.moved(number, f"file-{number}", MIB, 10 * MIB)
    draw(bars, clock)

    assert len(terminal.screen()) == 3


def test_a_resized_window_is_cleared_before_it_is_drawn_on(bars, terminal, clock):
    draw(bars, clock)
    terminal.resize(40)
    draw(bars, clock)
    draw(bars, clock)

    assert terminal.output().count(progress._ERASE) == 2


def test_a_window_resized_before_the_end_is_cleared_first(bars, terminal, clock):
    draw(bars, clock)
    bars.close()

    assert terminal.output().count(progress._ERASE) == 2


def test_a_note_written_on_closing_leaves_no_bar_below_it(bars, terminal, clock):
    bars.moved(1, "a", MIB, 2 * MIB)
    draw(bars, clock)
    bars.note("the last word")
    bars.close()

    assert terminal.screen() == ["the last word"]


def test_frames_are_drawn_at_most_ten_times_a_second(bars, terminal, clock):
    draw(bars, clock)
    for _ in range(100):
        draw(bars, clock, seconds=0.01)

    frames = terminal.output().count("0 files,")
    assert 9 <= frames <= 11


def test_notes_scroll_by_above_the_bars(bars, terminal, clock):
    bars.grow(2)
    draw(bars, clock)
    bars.note("retry 1 in 0.4 s")
    bars.note("retry 2 in 0.9 s")
    draw(bars, clock)

    shown = terminal.screen()
    assert shown[:2] == ["retry 1 in 0.4 s", "retry 2 in 0.9 s"]
    assert "0/2 files" in shown[2]


def test_a_flood_of_failures_is_counted_after_the_first_twenty(bars, terminal, clock):
    for _ in range(1025):
        bars.outcome(FAILED, 0)
    draw(bars, clock)

    shown = terminal.screen()
    assert len(shown) == 22
    assert shown[20] == "failed: 1,005 more"


def test_lines_that_an_interruption_left_untried_do_not_scroll_by(bars, terminal):
    bars.outcome(Outcome(seq=1, url="u", status=Status.FAILED, error="not_tried"), 0)
    bars.close()

    assert terminal.screen() == []


def test_a_long_line_leaves_room_for_the_reason(bars, terminal):
    bars.outcome(
        Outcome(seq=1, url="x" * 9999, status=Status.FAILED, error="invalid_url"), 0
    )
    bars.close()

    assert terminal.output().rstrip() == "failed: " + "x" * 199 + "…  invalid_url"


def test_a_failure_in_a_short_run_is_written_on_closing(bars, terminal):
    bars.outcome(FAILED, 0)
    bars.close()

    assert terminal.screen()[0].startswith("failed: http://h/gone  http_404")


def test_a_terminal_that_went_away_turns_the_bars_off(terminal, bars, clock):
    bars.moved(1, "a", 1, 2)
    draw(bars, clock)
    terminal.close()

    bars.note("nobody reads this")
    draw(bars, clock)
    bars.note("nor this")
    draw(bars, clock)
    bars.close()

    assert not bars._screen.is_on


def test_drawing_starts_no_thread(bars, clock):
    before = set(threading.enumerate())
    draw(bars, clock)

    assert set(threading.enumerate()) == before


def test_variables_for_tqdm_do_not_break_the_bars():
    program = (
        "import sys; from downloader.progress import Bars\n"
        "times = iter([0.0, 1.0]); bars = Bars(sys.stdout, 7, lambda: next(times))\n"
        "bars.tick(0); bars.close()"
    )
    variables = {"TQDM_DISABLE": "1", "TQDM_POSITION": "3", "TQDM_DELAY": "9"}
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | variables | {"PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        check=True,
    )

    output = run.stdout.decode()
    assert "0/7 files" in output
    assert rendered(output) == []


def test_tqdm_is_loaded_by_the_first_frame_only():
    program = (
        "import sys; from downloader import progress\n"
        "bars = progress.Bars(sys.stdout); bars.tick(0); bars.close()\n"
        "print('tqdm' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert run.stdout == "False\n"
