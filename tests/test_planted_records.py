"""What somebody else put into `.downloader`: it is never written through, run or believed."""

import contextlib
import hashlib
import json
import os
import signal
import sqlite3
import struct
import subprocess
import sys
import textwrap
import threading

import pytest
from odd_exchange import body
from strategy_rig import facts_until_results, opened, wait_until

from downloader import fetch, manifest_schema
from downloader.errors import ManifestError
from downloader.manifest import Manifest
from downloader.models import Attempt, Partial
from downloader.record_folder import RecordFolder
from downloader.transfer import folder as folder_module

pytestmark = pytest.mark.usefixtures("workdir")
each_driver = pytest.mark.parametrize("strategy", ["threads", "asyncio", "curl"])
as_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away"
)

DIGEST = "ab" * 32
WITH_BREAKS = (
    '"v"\r\nX: 1\r\n\r\nPOST /planted HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nX: 1'
)


@pytest.fixture
def records(workdir):
    folder = workdir / "downloads/.downloader"
    folder.mkdir(parents=True)
    return folder


@contextlib.contextmanager
def planted(records):
    """The manifest, open for somebody who may write what they like into it."""
    with contextlib.closing(
        sqlite3.connect(records / "manifest.sqlite", isolation_level=None)
    ) as manifest:
        yield manifest


def plant_rows(records, rows):
    with contextlib.closing(Manifest(RecordFolder(str(records.parent)))):
        pass
    with planted(records) as manifest:
        manifest.executemany(manifest_schema.SAVE, rows)


def row(path, url, /, **changes):
    """A row of a file of three bytes, as a run writes it but for the changes."""
    values = {
        "path": path,
        "url": url,
        "status": "ok",
        "http_status": 200,
        "error": None,
        "recorded_at": 1.7e9,
        "size_bytes": 3,
        "digest": DIGEST,
        "length_known": 1,
        "etag": '"v"',
        "last_modified": None,
        "modified_ns": 17,
        "final_url": None,
    }
    return tuple((values | changes).values())


# Links and folders that take the place of the record's


SWAPPED = """
import os, sys
from downloader import fetch
from downloader.errors import DownloaderError

url, outside = sys.argv[1:]
STEPS = ("open", "os.mkdir", "os.remove", "os.rename", "sqlite3.connect")
left, is_armed = 0, False

def swap(event, _):
    global left, is_armed
    if not is_armed or event not in STEPS:
        return
    left -= 1
    if left >= 0:
        return
    is_armed = False
    try:
        os.rename("downloads/.downloader", f"downloads/aside-{count}")
    except FileNotFoundError:
        pass
    os.symlink(outside, "downloads/.downloader")

sys.addaudithook(swap)
count = 0
while not is_armed:
    left, is_armed = count, True
    try:
        fetch([f"{url}/{count + 1}"], strategy="serial", retries=0)
    except DownloaderError:
        pass
    if is_armed:
        break  # the run had fewer steps
    if os.path.islink("downloads/.downloader"):
        os.unlink("downloads/.downloader")
    count += 1
print(count)
"""


def test_a_link_that_takes_the_folders_place_at_any_step_is_not_written_through(
    odd, workdir
):
    outside = workdir / "outside"
    outside.mkdir()
    for name in ("holder.json", "lock", "gap"):
        (outside / name).write_bytes(b"not ours")
    done = subprocess.run(
        [sys.executable, "-c", SWAPPED, odd.url("ok"), outside],
        capture_output=True,
        text=True,
        check=True,
    )

    assert int(done.stdout) > 20
    assert sorted(os.listdir(outside)) == ["gap", "holder.json", "lock"]
    assert {path.read_bytes() for path in outside.iterdir()} == {b"not ours"}


def test_sqlite_opens_no_file_by_a_path_that_may_lead_elsewhere(workdir):
    """Its own steps raise no event that a test could wait for."""
    folder = RecordFolder(str(workdir))
    (workdir / ".downloader").rename(workdir / "aside")
    (workdir / "outside").mkdir()
    (workdir / ".downloader").symlink_to(workdir / "outside")
    with contextlib.closing(Manifest(folder)) as manifest:
        manifest.intend("h/a", None)
        manifest.flush()
        beside = sorted(os.listdir(workdir / "aside"))

    assert beside == [f"manifest.sqlite{end}" for end in ("", "-shm", "-wal")]
    assert os.listdir(workdir / "outside") == []
    assert os.listdir(workdir / "aside") == ["manifest.sqlite"]


def test_without_proc_a_file_of_another_folder_is_closed_again(workdir, monkeypatch):
    monkeypatch.setattr("downloader.database._takes_names_as_they_stand", lambda: False)
    folder = RecordFolder(str(workdir))
    (workdir / ".downloader").rename(workdir / "aside")
    other = RecordFolder(str(workdir))
    for one in (folder, other):
        os.close(one.open("manifest.sqlite", os.O_RDWR | os.O_CREAT))

    with pytest.raises(ManifestError, match="its folder was replaced"):
        Manifest(folder)
    assert (workdir / ".downloader/manifest.sqlite").read_bytes() == b""
    with contextlib.closing(Manifest(other)) as manifest:
        assert manifest.is_blank


@as_root
def test_another_users_folder_is_refused(odd, records):
    os.chown(records, 12_345, 12_345)

    with pytest.raises(ManifestError, match=r"another user \(id 12345, .* remove it"):
        fetch([odd.url("ok/1")])
    assert os.listdir(records) == []


@as_root
@pytest.mark.parametrize("name", ["lock", "manifest.sqlite", "manifest.sqlite-wal"])
def test_another_users_file_is_refused(odd, records, name):
    (records / name).write_bytes(b"theirs")
    os.chown(records / name, 12_345, 12_345)

    with pytest.raises(ManifestError, match=rf"{name}: it belongs to another user"):
        fetch([odd.url("ok/1")])
    assert (records / name).read_bytes() == b"theirs"


def test_a_file_system_may_choose_the_owner_of_all_files(records, monkeypatch):
    monkeypatch.setattr(folder_module.os, "geteuid", lambda: 12_345)
    RecordFolder(str(records.parent))

    assert os.listdir(records) == []


def test_a_folder_that_others_may_write_to_is_closed_to_them(odd, records):
    records.chmod(0o777)
    fetch([odd.url("ok/1")])

    assert records.stat().st_mode & 0o777 == 0o700


# Hard links


@pytest.mark.parametrize("end", ["", "-wal", "-shm", "-journal"])
def test_a_further_name_of_another_file_is_not_written_to(odd, workdir, records, end):
    victim = workdir / "victim"
    with contextlib.closing(sqlite3.connect(victim)) as other:
        other.execute("CREATE TABLE theirs (value)")
    before = victim.read_bytes()
    os.link(victim, records / f"manifest.sqlite{end}")

    with pytest.raises(
        ManifestError, match=rf"manifest.sqlite{end}: it has 2 names \(hard links\)"
    ):
        fetch([odd.url("ok/1")])
    assert victim.read_bytes() == before


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_who_holds_the_folder_is_written_to_a_new_file(odd, workdir, records, link):
    victim = workdir / "victim"
    victim.write_bytes(b"not ours")
    link(victim, records / "holder.json")
    fetch([odd.url("ok/1")])

    assert victim.read_bytes() == b"not ours"
    assert json.loads((records / "holder.json").read_text())["pid"] == os.getpid()


def test_a_map_that_is_another_file_as_well_is_made_anew(odd, workdir, records):
    size = 3_000_000
    url, path = odd.url(f"versioned/{size}"), f"127.0.0.1_{odd.port}/versioned/{size}~f"
    content = body(f"/versioned/{size}#1", size)
    plant_part(records, path, url, content[:-1], validator='"1"', total_bytes=size)
    victim = workdir / "victim"
    victim.write_bytes(struct.pack("<7q", 0x50414D32, 0, size, 0, 0, size, 0))
    before = victim.read_bytes()
    os.link(victim, record_of(records, path).with_suffix(".map"))
    change_record(records, path, is_divided=True)
    (saved,) = fetch([url], segments=2)

    assert victim.read_bytes() == before
    assert (workdir / "downloads" / saved.path).read_bytes() == content


# Manifests that do something


def test_a_journal_cannot_have_a_file_removed(odd, workdir, records):
    """SQLite removes the master journal that a hot journal names, whatever it is."""
    plant_rows(records, [])
    victim = workdir / "victim"
    victim.write_bytes(b"not ours\n")
    name = os.fsencode(victim)
    mark = bytes.fromhex("d9d505f920a163d7")
    pages = (records / "manifest.sqlite").stat().st_size // 4096
    head = (mark + struct.pack(">5I", 0, 0, pages, 512, 4096)).ljust(512, b"\0")
    master = struct.pack(">I", (1 << 30) // 4096 + 1) + name
    (records / "manifest.sqlite-journal").write_bytes(
        head + master + struct.pack(">2I", len(name), sum(name)) + mark
    )
    fetch([odd.url("ok/1")])

    assert victim.read_bytes() == b"not ours\n"


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
FILES = "path, url, status, http_status, error, recorded_at, size_bytes, digest, "
FILES += "length_known, etag, last_modified, modified_ns, final_url"
AS_VIEW = f"""
    ALTER TABLE files RENAME TO stored;
    CREATE VIEW files ({FILES}) AS {ENDLESS} SELECT 'h/' || i, 'http://h/' || i, 'ok',
        200, NULL, 1.0, 3, '{DIGEST}', 1, NULL, NULL, 17, NULL FROM n;
"""
PLANTS = {
    "a trigger": f"""CREATE TRIGGER planted AFTER INSERT ON files BEGIN
        INSERT INTO facts SELECT i, i FROM ({ENDLESS} SELECT i FROM n); END;""",
    "a trigger on runs": f"""CREATE TRIGGER planted AFTER INSERT ON facts BEGIN
        INSERT INTO files (path, url, status, recorded_at)
        SELECT i, i, 'ok', i FROM ({ENDLESS} SELECT i FROM n); END;""",
    "a view in place of the files": AS_VIEW,
    "a view beside them": "CREATE VIEW more AS SELECT * FROM files;",
    "an index": "CREATE UNIQUE INDEX more ON files (status, url);",
    "a column that is computed": "ALTER TABLE files ADD COLUMN more AS (hex(path));",
    "a column with a check": """ALTER TABLE files ADD COLUMN more
        CHECK (length(randomblob(100000000)) > 0);""",
    "a further table": "CREATE TABLE more (value);",
    "a missing table": "DROP TABLE facts;",
    "another version": "PRAGMA user_version = -1;",
    "no version": "PRAGMA user_version = 0;",
    "a huge number of runs": f"INSERT INTO facts VALUES ('runs', {(1 << 63) - 1});",
    "no number of runs": "INSERT INTO facts VALUES ('runs', 'many'), ('gap_ns', x'00');",
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_a_manifest_that_is_more_than_ours_is_none(odd, workdir, plant):
    urls = [odd.url(f"ok/{size}") for size in (1, 2)]
    fetch(urls)
    records = workdir / "downloads/.downloader"
    with planted(records) as manifest:
        manifest.executescript(plant.replace("INSERT INTO", "INSERT OR REPLACE INTO"))
    report = fetch([*urls, odd.url("ok/3")])

    assert [one.error for one in report] == [None, None, None]
    assert [one.status for one in report][2] == "ok"
    assert report.summary.manifest_complete
    with planted(records) as manifest:
        names = {name for (name,) in manifest.execute("SELECT name FROM sqlite_master")}
        (rows,) = manifest.execute("SELECT count(*) FROM files").fetchone()
    assert names == {"files", "intents", "facts"}
    assert rows == 3


@pytest.mark.parametrize(
    "plant",
    [
        "UPDATE facts SET value = CAST(x'ff' AS TEXT)",
        """PRAGMA writable_schema = ON;
        UPDATE sqlite_master SET sql = replace(sql, 'etag', 'eta' || CAST(x'ff' AS TEXT))
        """,
        """PRAGMA writable_schema = ON;
        UPDATE sqlite_master SET sql = sql || CAST(x'ff' AS TEXT)""",
    ],
    ids=["fact", "column", "syntax"],
)
def test_a_manifest_with_texts_that_are_no_utf_8_ends_no_run(odd, workdir, plant):
    urls = [odd.url(f"ok/{size}") for size in (1, 2)]
    fetch(urls)
    with planted(workdir / "downloads/.downloader") as manifest:
        manifest.executescript(plant)
    report = fetch(urls)

    assert [one.error for one in report] == [None, None]
    assert report.summary.manifest_complete


@pytest.mark.parametrize("digest", ["digest", "sha256"])
def test_a_manifest_of_an_earlier_version_is_no_plant(odd, workdir, digest, caplog):
    """Comments and blanks of the statements that made it are as they were then."""
    records = workdir / "downloads/.downloader"
    fetch([odd.url("ok/1")])
    with planted(records) as manifest:
        manifest.executescript(
            f"ALTER TABLE files RENAME COLUMN digest TO {digest};"
            f"PRAGMA user_version = {2 if digest == 'sha256' else 3};"
        )
        manifest.execute("PRAGMA writable_schema = ON")
        manifest.execute(
            "UPDATE sqlite_master SET sql = replace(sql, '-- relative', '-- seen\n--')"
        )
    (again,) = fetch([odd.url("ok/1")])

    assert again.status == "skipped"
    assert caplog.text == ""


def test_rows_of_a_damaged_manifest_are_taken_over_within_bounds(records, monkeypatch):
    rows = [row(f"h/{n}", f"http://h/{n}") for n in range(1_000)]
    plant_rows(
        records,
        [
            *rows,
            row("../outside", "http://h/outside"),
            row("/etc/passwd", "http://h/root"),
            row(".downloader/manifest.sqlite", "http://h/own"),
            row("h/size", "http://h/size", size_bytes=-1),
            row("h/digest", "http://h/digest", digest="ab' OR 1"),
        ],
    )
    with planted(records) as manifest:
        manifest.execute("CREATE VIEW more AS SELECT 1")
        manifest.execute(
            "UPDATE files SET etag = CAST(x'ff' AS TEXT) WHERE path = 'h/1'"
        )
        assert len(list(manifest_schema.salvage(manifest, 1_000))) < 100
        assert len(list(manifest_schema.salvage(manifest, 1 << 30))) == len(rows)
    with contextlib.closing(Manifest(RecordFolder(str(records.parent)))) as rebuilt:
        assert rebuilt.record("h/1").digest == DIGEST
        assert rebuilt.record("../outside") is None


def test_a_stop_is_heeded_while_the_manifest_is_opened(records, monkeypatch):
    class Stop(Exception):
        """What a signal's handler raises."""

    def stop(signum, frame):
        raise Stop

    def endless(connection):
        os.kill(os.getpid(), signal.SIGUSR1)
        connection.execute(f"{ENDLESS} SELECT max(i) FROM n").fetchone()

    monkeypatch.setattr(manifest_schema, "check", endless)
    before = signal.signal(signal.SIGUSR1, stop)
    try:
        with pytest.raises(Stop):
            Manifest(RecordFolder(str(records.parent)))
    finally:
        signal.signal(signal.SIGUSR1, before)

    names = ("downloader-manifest",)
    wait_until(lambda: not [one for one in threading.enumerate() if one.name in names])


# Rows and records that say what cannot be


ODD_VALUES = [
    ("etag", b'"v"'),
    ("last_modified", b"now"),
    ("size_bytes", -1),
    ("size_bytes", 3.5),
    ("size_bytes", "three"),
    ("modified_ns", "soon"),
    ("modified_ns", None),
    ("modified_ns", b"\0"),
    ("digest", 7.5),
    ("digest", b"\xff"),
    ("digest", "no digest"),
    ("digest", "blake3:../../etc"),
    ("length_known", "perhaps"),
    ("final_url", b"http://h/"),
    ("final_url", "file:///etc/passwd"),
    ("final_url", "http://h/\r\nX: 1"),
    ("url", b"http://h/"),
]


@pytest.mark.parametrize("wishes", [{}, {"refresh": True}, {"verify": True}])
def test_rows_with_values_of_other_kinds_are_none_of_ours(
    odd, workdir, records, wishes
):
    rows, urls = [], []
    for number, (column, value) in enumerate(ODD_VALUES):
        path = workdir / f"downloads/127.0.0.1_{odd.port}/ok/{number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"ab\n")
        urls.append(odd.url(f"ok/{number}.bin"))
        name = str(path.relative_to(workdir / "downloads"))
        facts = {"modified_ns": path.stat().st_mtime_ns, column: value}
        rows.append(row(name, urls[-1], **facts))
    plant_rows(records, rows)
    with planted(records) as manifest:  # no UTF-8
        manifest.execute(
            "UPDATE files SET etag = CAST(x'22ff22' AS TEXT) WHERE path LIKE '%/0.bin'"
        )
    report = fetch(urls, strategy="serial", **wishes)

    assert report.summary.manifest_complete
    assert {one.error for one in report} == {"exists"}


def test_intents_with_values_of_other_kinds_are_none_of_ours(odd, workdir, records):
    plant_rows(records, [])
    urls = []
    with planted(records) as manifest:
        for number, values in enumerate(
            [(-1, 2, 3), ("a", 2, 3), (1, b"", 3), (1, 2, 3.5), (1, None, None)]
        ):
            path = workdir / f"downloads/127.0.0.1_{odd.port}/ok/{number}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"abc")
            urls.append(odd.url(f"ok/{number}.bin"))
            name = str(path.relative_to(workdir / "downloads"))
            manifest.execute(
                "INSERT INTO intents VALUES (?, 1, ?, ?, ?)", (name, *values)
            )

    assert {one.error for one in fetch(urls)} == {"exists"}


def record_of(records, path):
    hashed = hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return records / f"parts/{hashed}.json"


def plant_part(records, path, url, content, /, **changes):
    """A part of a file, and a record of it."""
    part = records.parent / f"{path}.part"
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(content)
    record = {"path": path, "url": url, "validator": '"1"', "total_bytes": 1_000}
    (records / "parts").mkdir(exist_ok=True)
    record_of(records, path).write_text(json.dumps(record | {"boot": ""} | changes))


def change_record(records, path, **changes):
    record = json.loads(record_of(records, path).read_text())
    record_of(records, path).write_text(json.dumps(record | changes))


ODD_RECORDS = [
    {"validator": WITH_BREAKS},
    {"validator": '"v"\0'},
    {"validator": "v"},
    {"validator": ""},
    {"validator": 'W/"v"'},
    {"validator": "Tue, 01 Dec 2026 00:00:00 GMT\r\nX: 1"},
    {"validator": "Tue, 01 Dec 2026 00:00:00 GMT\n"},
    {"url": "http://h/\r\nX: 1"},
    {"url": "file:///etc/passwd"},
    {"total_bytes": -1},
    {"total_bytes": 1 << 70},
    {"total_bytes": None, "is_divided": True},
]


@each_driver
def test_a_record_with_values_of_other_kinds_is_of_no_part(odd, records, strategy):
    urls = []
    for number, changes in enumerate(ODD_RECORDS, 900):
        urls.append(odd.url(f"ok/{number}"))
        path = f"127.0.0.1_{odd.port}/ok/{number}~f"
        plant_part(records, path, urls[-1], b"x" * 100, **changes)
    report = fetch(urls, strategy=strategy)

    assert [one.error for one in report] == [None] * len(urls)
    assert len(odd.requests) == len(urls)
    assert not [fields for _, fields in odd.requests if "range" in fields]


@pytest.mark.parametrize(
    "path",
    ["../../victim", "/etc/passwd", "a\0b", "a//b", ".downloader/lock", "\ud800"],
)
def test_a_record_speaks_of_no_path_outside(odd, records, path):
    (records / "parts").mkdir()
    record = {
        "path": path,
        "url": odd.url("ok/1"),
        "validator": '"v"',
        "total_bytes": 9,
    }
    record_of(records, path).write_text(json.dumps(record | {"boot": ""}))
    (one,) = fetch([odd.url("ok/1")])

    assert one.error is None
    assert os.listdir(records / "parts") == []


@each_driver
def test_no_control_character_is_sent_whoever_asked_for_it(odd, workdir, strategy):
    """Past all checks of records, as a fault of ours might bring it there."""
    url = odd.url("ok/9.bin")
    partial = Partial(5, WITH_BREAKS, 9, url)
    with opened(strategy, workdir) as running:
        running.start([Attempt(1, url, "9.bin", partial=partial)])
        *_, result = facts_until_results(running, 1)

    assert result.failure.kind == "blocked"
    assert "If-Range" in result.failure.detail
    assert odd.requests == []


def test_who_holds_the_folder_may_be_written_down_in_any_way(odd, workdir, capsys):
    from downloader.cli import main

    program = """
        import sys
        from downloader.folder_lock import FolderLock
        from downloader.record_folder import RecordFolder
        lock = FolderLock("downloads", RecordFolder("downloads"))
        print("held", flush=True)
        sys.stdin.read()
    """
    (workdir / "downloads").mkdir()
    holder = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout.readline() == b"held\n"
    said = []
    for since, host in (
        ("0001-01-01T00:00:00+14:00", "h"),
        ("2026-01-01T00:00:00Z", "\x1b[2J"),
    ):
        (workdir / "downloads/.downloader/holder.json").write_text(
            json.dumps({"pid": 1, "host": host, "since": since})
        )
        assert main(["fetch", odd.url("ok/1")]) == 75
        said.append(capsys.readouterr().err)
    holder.communicate()

    assert "by whom is not written down" in said[0]
    assert "\x1b" not in said[1]
