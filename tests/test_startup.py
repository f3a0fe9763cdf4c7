"""What the command must not load to fetch one small file, and that it ends as it should."""

import gc
import os
import re
import subprocess
import sys

import pytest

from downloader import own_process, patterns, quick_hash
from downloader.transfer.digest import digest_of, new_hash
from downloader.tuples import NamedTuple

# Each of these once took from 1 to 20 ms of a run that had no use for it.
BANISHED = {
    "aiohttp",
    "argparse",
    "asyncio",
    "base64",
    "concurrent.futures",
    "dataclasses",
    "decimal",
    "email.utils",
    "hashlib",
    "importlib.metadata",
    "inspect",
    "ipaddress",
    "logging",
    "multiprocessing",
    "netrc",
    "pathlib",
    "platform",
    "platformdirs",
    "requests",
    "secrets",
    "shutil",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "textwrap",
    "tomllib",
    "tqdm",
    "traceback",
    "typing_extensions",
    "urllib.parse",
    "uuid",
}
# The process ends without taking the interpreter apart, but atexit's functions run.
PROGRAM = """
import atexit, sys
atexit.register(lambda: print(*sys.modules))
from downloader.cli import main
main()
"""


def outside_coverage():
    return {name: value for name, value in os.environ.items() if "COV" not in name}


def run(*argv, program=PROGRAM, cwd=None):
    return subprocess.run(
        [sys.executable, "-c", program, *argv],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=outside_coverage(),
        cwd=cwd,
    )


def test_one_small_file_loads_nothing_in_vain(odd, tmp_path):
    pytest.importorskip("pycurl")
    done = run(
        "fetch", odd.url("/ok/1000"), "-o", str(tmp_path / "out"), "-q", cwd=tmp_path
    )

    assert (done.returncode, done.stderr) == (0, "")
    loaded = set(done.stdout.split())
    assert "downloader.strategies.curl" in loaded
    assert BANISHED & loaded == set()


def test_what_ran_lean_is_whole_again():
    program = """
        from downloader.own_process import prepare
        prepare()
        import decimal, typing_extensions, uuid
        import msgspec.inspect
        decimal.Decimal(1), uuid.uuid4(), typing_extensions.TypedDict
        print(msgspec.inspect.type_info(int))
    """
    done = run(program="\n".join(map(str.strip, program.splitlines())))

    assert (done.stdout, done.stderr) == ("IntType()\n", "") or "IntType" in done.stdout


def test_a_process_that_shares_is_left_alone():
    before = gc.get_threshold()
    own_process.be_ready()

    assert gc.get_threshold() == before


def test_garbage_is_looked_for_again():
    program = """
        import gc
        from downloader.own_process import be_ready, prepare
        prepare()
        print(gc.get_threshold()[0])
        be_ready()
        print(gc.get_threshold()[0] > 0, gc.get_freeze_count() > 1000)
    """
    done = run(program="\n".join(map(str.strip, program.splitlines())))

    assert done.stdout == "0\nTrue True\n"


def test_a_pattern_is_compiled_when_it_is_used():
    pattern = patterns.lazy(r"(a)b", re.IGNORECASE)

    assert vars(pattern).keys() == {"_arguments"}
    assert pattern.fullmatch("AB")[1] == "A"
    assert pattern.pattern == "(a)b"
    assert "fullmatch" in vars(pattern)


class Pair(NamedTuple):
    """Two things.

    Attributes:
        first: One.
    """

    first: int
    second: str = "b"

    @property
    def both(self):
        return f"{self.first}{self.second}"


def test_tuples_are_what_typing_makes_of_them():
    pair = Pair(1)

    assert pair == (1, "b")
    assert (pair.both, pair._replace(first=2).both) == ("1b", "2b")
    assert Pair._fields == ("first", "second")
    assert (Pair.__name__, Pair.__module__) == ("Pair", __name__)
    assert Pair.__doc__.startswith("Two things")
    with pytest.raises(TypeError):
        Pair()


def test_quick_and_usual_hashes_agree():
    usual = new_hash("sha256")
    usual.update(b"abc")

    assert quick_hash.sha256(b"abc").hexdigest() == usual.hexdigest()
    # Of the first files, and of those after them.
    assert {digest_of("sha256", b"abc") for _ in range(40)} == {usual.hexdigest()}
    assert quick_hash.blake2b(b"abc", digest_size=8).hexdigest() == "d8bb14d833d59559"


def test_a_stand_in_gives_way_to_the_real_module_when_more_is_asked_of_it():
    code = """
import sys
from downloader.own_process import _stand_in

sys.modules["decimal"] = _stand_in("decimal", Decimal=int)
from decimal import Decimal, Context
import decimal
print(Decimal is int, Context is decimal.Context, decimal.Decimal is not int)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )

    assert done.stdout.split() == ["True", "True", "True"]
