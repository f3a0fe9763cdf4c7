import contextlib
import hashlib
import os
import socket
import stat
import subprocess
import sys
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downloader.errors import DiskError, PartLost, TargetExists
from downloader.transfer import folder as folder_module
from downloader.transfer.folder import Folder
from downloader.transfer.part_file import PartFile, remove_part

NOBODY = 65534
SECRET = b"not ours"


@pytest.fixture(params=["openat", "paths"])
def kind(request, monkeypatch):
    """The tests run with the system's openat, and as on a system without it."""
    if request.param == "paths":
        monkeypatch.setattr(folder_module, "_HAS_OPENAT", False)
    return request.param


@pytest.fixture
def out(tmp_path):
    path = tmp_path / "out"
    path.mkdir()
    return path


@pytest.fixture
def outside(tmp_path):
    """A folder that a link may point to, with a file that nobody may touch."""
    path = tmp_path / "outside"
    path.mkdir()
    (path / "secret").write_bytes(SECRET)
    return path


@pytest.fixture
def folder(kind, out):
    with contextlib.closing(Folder(str(out))) as folder:
        yield folder


@pytest.fixture
def small_disk(out):
    """The output folder is a file system of 64 KiB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(out)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode:
        pytest.skip("only root may mount a small file system")
    yield out
    subprocess.run(["umount", "--lazy", str(out)], check=True)


@pytest.fixture
def unprivileged_folder(out):
    """A folder where nobody may write, as seen without root's rights."""
    (out / "h").mkdir(mode=0o555)
    with contextlib.closing(Folder(str(out))) as folder:
        if os.getuid() == 0:
            os.seteuid(NOBODY)
        yield folder
        os.seteuid(os.getuid())


def written(folder, path, chunks, offset):
    part = PartFile(folder, path)
    part.open(offset)
    part.catch_up()
    for chunk in chunks:
        part.write(chunk)
    return part


def save(folder, path, *chunks, offset=0):
    part = written(folder, path, chunks, offset)
    modified_ns = part.commit()
    return part.digest, modified_ns


def keep(folder, path, *chunks, offset=0):
    return written(folder, path, chunks, offset).keep()


def open_and_commit(part, offset):
    part.open(offset)
    part.catch_up()
    part.commit()


def digest(content):
    return hashlib.sha256(content).hexdigest()


def tree(path):
    return sorted(str(found.relative_to(path)) for found in path.rglob("*"))


def is_untouched(outside):
    return tree(outside) == ["secret"] and (outside / "secret").read_bytes() == SECRET


# The plain way


def test_a_file_has_its_bytes_digest_and_time(folder, out):
    sha256, modified_ns = save(folder, "h/a/b.txt", b"one ", b"", b"two")

    assert (out / "h/a/b.txt").read_bytes() == b"one two"
    assert sha256 == digest(b"one two")
    assert (out / "h/a/b.txt").stat().st_mtime_ns == modified_ns
    assert tree(out) == ["h", "h/a", "h/a/b.txt"]


def test_a_file_may_stand_in_the_output_folder_itself(folder, out):
    save(folder, "b.txt", b"x")

    assert tree(out) == ["b.txt"]


def test_an_empty_body_is_an_empty_file(folder, out):
    sha256, _ = save(folder, "h/empty")

    assert (out / "h/empty").read_bytes() == b""
    assert sha256 == digest(b"")


def test_until_commit_the_final_name_is_not_there(folder, out):
    part = PartFile(folder, "h/a")
    part.open(0)
    part.write(b"x")

    assert tree(out) == ["h", "h/a.part"]
    part.discard()


def test_a_file_of_the_final_name_is_replaced_only_at_commit(folder, out):
    (out / "a").write_bytes(b"old")
    part = PartFile(folder, "a")
    part.open(0)
    part.write(b"new")

    assert (out / "a").read_bytes() == b"old"
    part.commit()
    assert (out / "a").read_bytes() == b"new"


def test_discard_leaves_nothing_and_may_be_called_again(folder, out):
    part = PartFile(folder, "a")
    part.open(0)
    part.write(b"x")
    part.discard()
    part.discard()

    assert tree(out) == []


def test_a_kept_part_is_gone_on_with_and_hashed_whole(folder, out):
    assert keep(folder, "h/a", b"first ") == 6

    sha256, _ = save(folder, "h/a", b"second", offset=6)

    assert (out / "h/a").read_bytes() == b"first second"
    assert sha256 == digest(b"first second")


def test_resuming_earlier_than_the_parts_end_cuts_it_there(folder, out):
    keep(folder, "a", b"0123456789")

    sha256, _ = save(folder, "a", b"abc", offset=4)

    assert (out / "a").read_bytes() == b"0123abc"
    assert sha256 == digest(b"0123abc")


def test_a_part_shorter_than_the_offset_is_refused_and_not_stretched(folder, out):
    keep(folder, "a", b"0123")

    with pytest.raises(DiskError, match="its part has become shorter"):
        PartFile(folder, "a").open(5)
    assert (out / "a.part").read_bytes() == b"0123"


def test_a_part_that_is_gone_is_not_gone_on_with(folder):
    with pytest.raises(PartLost, match="its part is gone"):
        PartFile(folder, "a").open(5)


LOCKER = """
    import sys
    from downloader.transfer.folder import Folder
    from downloader.transfer.part_file import PartFile
    part = PartFile(Folder(sys.argv[1]), "a")
    part.open(0)
    part.write(b"theirs")
    print(flush=True)
    sys.stdin.read()
    try:
        part.commit()
    except Exception as error:
        print(error)
"""


def test_a_part_that_another_process_writes_is_not_gone_on_with(folder, out):
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(LOCKER), str(out)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        other.stdout.readline()
        with pytest.raises(PartLost, match="another run writes its part"):
            PartFile(folder, "a").open(3)
        part = PartFile(folder, "a")
        part.open(0)
        part.write(b"ours")
        said, _ = other.communicate("")
    part.commit()

    assert said == "cannot finish a: its part was taken away\n"
    assert (out / "a").read_bytes() == b"ours"


def test_a_file_that_may_not_be_replaced_stays(folder, out):
    (out / "a").write_bytes(b"theirs")
    part = PartFile(folder, "a")
    part.open(0)
    part.write(b"ours")
    with pytest.raises(TargetExists):
        part.commit(replaces=False)
    part.discard()

    assert tree(out) == ["a"]
    assert (out / "a").read_bytes() == b"theirs"


def test_looking_for_a_file_makes_no_folder(folder, out):
    with pytest.raises(FileNotFoundError):
        folder.find("h/a/b")

    assert folder.stamp("h/a/b") is None
    assert tree(out) == []


def test_a_stamp_tells_a_file_from_its_successor(folder, out):
    save(folder, "h/a", b"one")
    first = folder.stamp("h/a")
    save(folder, "h/a", b"two")

    assert first.size_bytes == folder.stamp("h/a").size_bytes == 3
    assert first != folder.stamp("h/a")


@pytest.mark.parametrize(
    "make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/etc", path)]
)
def test_what_is_no_plain_file_has_no_stamp_and_is_not_read(folder, out, make):
    make(out / "a")

    assert folder.stamp("a") is None
    with pytest.raises(DiskError):
        folder.open_file("a")


def test_syncing_names_takes_every_folder_above_them(folder, monkeypatch):
    save(folder, "h/a/b", b"x")
    save(folder, "h/a/c", b"x")
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    folder.sync(["h/a/b", "h/a/c"])

    assert len(synced) == (3 if folder_module._HAS_OPENAT else 0)


def test_starting_afresh_forgets_a_kept_part(folder, out):
    keep(folder, "a", b"a long forgotten beginning")

    sha256, _ = save(folder, "a", b"new")

    assert (out / "a").read_bytes() == b"new"
    assert sha256 == digest(b"new")


def test_the_same_part_file_can_be_opened_again(folder, out):
    part = PartFile(folder, "a")
    part.open(0)
    part.write(b"0123")
    part.keep()
    part.open(2)
    part.catch_up()
    part.write(b"x")
    part.commit()

    assert part.digest == digest(b"01x")


def test_names_of_250_bytes_have_room_for_their_part(folder, out):
    name = "n" * 250
    save(folder, f"{name}/{name}", b"x")

    assert (out / name / name).read_bytes() == b"x"


def test_a_name_too_long_is_a_disk_error(folder):
    with pytest.raises(DiskError, match="name too long"):
        PartFile(folder, "n" * 252).open(0)


def test_many_deep_folders_are_made_and_no_descriptor_stays(kind, out):
    before = len(os.listdir("/proc/self/fd"))
    folder = Folder(str(out))
    for number in range(1000):
        save(folder, f"h/{number % 200}/deep/{number}", b"x")
    during = len(os.listdir("/proc/self/fd"))
    folder.close()

    assert during - before <= 16 + 1
    assert len(os.listdir("/proc/self/fd")) == before
    assert sum(path.is_file() for path in out.rglob("*")) == 1000


def test_a_forgotten_part_file_closes_itself_and_stays(folder, out):
    save(folder, "h/first", b"x")
    before = len(os.listdir("/proc/self/fd"))
    part = PartFile(folder, "h/a")
    part.open(0)
    part.write(b"x")
    del part

    assert len(os.listdir("/proc/self/fd")) == before
    assert (out / "h/a.part").read_bytes() == b"x"


def test_a_closed_folder_makes_no_file(folder, out):
    part = PartFile(folder, "a")
    part.open(0)
    folder.close()

    with pytest.raises(DiskError, match="the run has ended"):
        part.commit()
    with pytest.raises(DiskError, match="the run has ended"):
        save(folder, "h/b", b"x")
    assert tree(out) == ["a.part"]


def test_refusals_leave_no_descriptor_open(folder, out, outside):
    (out / "link").symlink_to(outside)
    (out / "folder").mkdir()
    (out / "b.part").write_bytes(b"short")
    before = len(os.listdir("/proc/self/fd"))
    for path, offset in (("link/a", 0), ("x/y/z", 9), ("folder", 0), ("b", 9)):
        part = PartFile(folder, path)
        with pytest.raises(DiskError):
            open_and_commit(part, offset)

    # The walk to x/y was all right, and that folder stays at hand.
    assert len(os.listdir("/proc/self/fd")) <= before + 1


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o027])
def test_modes_follow_the_umask(folder, out, mask):
    before = os.umask(mask)
    try:
        save(folder, "h/a", b"x")
    finally:
        os.umask(before)

    assert stat.S_IMODE((out / "h").stat().st_mode) == 0o777 & ~mask
    assert stat.S_IMODE((out / "h/a").stat().st_mode) == 0o666 & ~mask


def test_the_output_folder_may_be_a_link(kind, out, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(out)
    with contextlib.closing(Folder(str(link))) as folder:
        save(folder, "h/a", b"x")

    assert (out / "h/a").read_bytes() == b"x"


def test_a_missing_output_folder_is_a_disk_error(tmp_path):
    with pytest.raises(DiskError, match="No such file"):
        Folder(str(tmp_path / "missing"))


# What others plant


def test_a_link_at_the_target_is_refused_and_not_followed(folder, out, outside):
    (out / "a").symlink_to(outside / "secret")

    with pytest.raises(DiskError, match="a symbolic link has its name"):
        save(folder, "a", b"evil")
    assert is_untouched(outside)


def test_a_dangling_link_at_the_target_makes_no_file(folder, out, outside):
    (out / "a").symlink_to(outside / "new")

    with pytest.raises(DiskError, match="a symbolic link"):
        save(folder, "a", b"evil")
    assert is_untouched(outside)


@pytest.mark.parametrize("target", ["secret", "new"])
def test_a_link_at_the_part_is_refused_and_not_followed(folder, out, outside, target):
    (out / "a.part").symlink_to(outside / target)

    with pytest.raises(DiskError, match="a symbolic link has its name"):
        save(folder, "a", b"evil")
    assert is_untouched(outside)


def test_a_link_at_the_part_is_not_gone_on_with(out, outside):
    (out / "a.part").symlink_to(outside / "secret")
    with contextlib.closing(Folder(str(out))) as folder, pytest.raises(DiskError):
        save(folder, "a", b"evil", offset=3)

    assert is_untouched(outside)


@pytest.mark.parametrize("path", ["h/a", "h/deep/a", "ok/h/a"])
def test_a_link_in_place_of_a_parent_is_refused(folder, out, outside, path):
    place = out / path[: path.index("h") + 1]
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(outside)

    with pytest.raises(DiskError, match=r"a link|a symbolic link"):
        save(folder, path, b"evil")
    assert is_untouched(outside)


def test_a_parent_that_becomes_a_link_is_not_followed(folder, out, outside):
    save(folder, "h/deep/a", b"x")
    (out / "h").rename(out / "moved")
    (out / "h").symlink_to(outside)
    for path in ("h/deep/b", "h/c", "h/deep/d"):
        with contextlib.suppress(DiskError):
            save(folder, path, b"evil")

    assert is_untouched(outside)


def test_a_parent_that_becomes_a_link_before_the_commit_is_not_followed(
    folder, out, outside
):
    part = PartFile(folder, "h/secret")
    part.open(0)
    part.write(b"evil")
    (out / "h").rename(out / "moved")
    (out / "h").symlink_to(outside)
    with contextlib.suppress(DiskError):
        part.commit()

    assert is_untouched(outside)


def test_a_target_that_becomes_a_link_before_the_commit_is_refused(
    folder, out, outside
):
    part = PartFile(folder, "a")
    part.open(0)
    part.write(b"evil")
    (out / "a").symlink_to(outside / "secret")

    with pytest.raises(DiskError, match="a symbolic link has its name"):
        part.commit()
    assert is_untouched(outside)


def test_a_discard_behind_a_link_removes_nothing(folder, out, outside):
    (outside / "a.part").write_bytes(b"also not ours")
    (out / "h").symlink_to(outside)
    PartFile(folder, "h/a").discard()

    assert tree(outside) == ["a.part", "secret"]


def test_a_leftover_with_another_name_is_unlinked_and_not_truncated(
    folder, out, outside
):
    (out / "a.part").hardlink_to(outside / "secret")
    save(folder, "a", b"new")

    assert is_untouched(outside)
    assert (out / "a").read_bytes() == b"new"


def test_a_part_with_another_name_is_not_gone_on_with(folder, out, outside):
    (out / "a.part").hardlink_to(outside / "secret")

    with pytest.raises(DiskError, match="its part is no plain file"):
        save(folder, "a", b"evil", offset=3)
    assert is_untouched(outside)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("offset", [0, 3])
def test_a_fifo_at_the_part_is_never_waited_for(folder, out, offset):
    os.mkfifo(out / "a.part")

    with pytest.raises(DiskError, match=r"a special file|no plain file"):
        save(folder, "a", b"x", offset=offset)
    assert stat.S_ISFIFO((out / "a.part").lstat().st_mode)


@pytest.mark.timeout(30)
def test_a_fifo_at_the_target_stays(folder, out):
    os.mkfifo(out / "a")

    with pytest.raises(DiskError, match="a special file has its name"):
        save(folder, "a", b"x")
    assert stat.S_ISFIFO((out / "a").lstat().st_mode)


@pytest.mark.timeout(30)
def test_a_fifo_in_place_of_a_parent_is_never_waited_for(folder, out):
    os.mkfifo(out / "h")

    with pytest.raises(DiskError, match="a file is in its place"):
        save(folder, "h/a", b"x")


def test_a_socket_at_the_part_stays(folder, out, monkeypatch):
    monkeypatch.chdir(out)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("a.part")
        with pytest.raises(DiskError, match="a special file has its name"):
            save(folder, "a", b"x")

    assert stat.S_ISSOCK((out / "a.part").lstat().st_mode)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a device")
@pytest.mark.parametrize("name", ["a", "a.part"])
def test_a_device_stays_and_nothing_is_written_to_it(folder, out, name):
    os.mknod(out / name, stat.S_IFCHR | 0o666, os.makedev(1, 7))  # /dev/full

    with pytest.raises(DiskError, match="a special file has its name"):
        save(folder, "a", b"x")
    assert stat.S_ISCHR((out / name).lstat().st_mode)


@pytest.mark.parametrize("name", ["a", "a.part"])
def test_a_folder_with_the_files_name_is_refused(folder, out, name):
    (out / name).mkdir()
    (out / name / "inside").write_bytes(b"x")

    with pytest.raises(DiskError, match="a folder has its name"):
        save(folder, "a", b"x")
    assert (out / name / "inside").read_bytes() == b"x"


def test_a_file_with_a_folders_name_is_refused(folder, out):
    (out / "h").write_bytes(b"x")

    with pytest.raises(DiskError, match="a file is in its place"):
        save(folder, "h/a", b"x")
    assert (out / "h").read_bytes() == b"x"


# Another run in the same folder


def test_a_part_that_was_exchanged_does_not_get_the_final_name(folder, out):
    (out / "a").write_bytes(b"old")
    part = PartFile(folder, "a")
    part.open(0)
    part.write(b"mine")
    (out / "a.part").unlink()
    (out / "a.part").write_bytes(b"theirs")

    with pytest.raises(DiskError, match="cannot finish a: its part was taken away"):
        part.commit()
    part.discard()
    assert (out / "a").read_bytes() == b"old"
    assert (out / "a.part").read_bytes() == b"theirs"


def test_a_part_that_is_gone_cannot_be_finished(folder, out):
    part = PartFile(folder, "a")
    part.open(0)
    (out / "a.part").unlink()

    with pytest.raises(DiskError, match="its part was taken away"):
        part.commit()
    part.discard()
    assert tree(out) == []


FOREIGN = {
    "file": lambda path, outside: path.write_bytes(b"theirs"),
    "link": lambda path, outside: path.symlink_to(outside / "secret"),
    "fifo": lambda path, outside: os.mkfifo(path),
    "folder": lambda path, outside: path.mkdir(),
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("foreign", FOREIGN)
def test_discard_leaves_what_is_not_its_own(folder, out, outside, foreign):
    part = PartFile(folder, "h/a")
    part.open(0)
    (out / "h/a.part").unlink()
    FOREIGN[foreign](out / "h/a.part", outside)
    before = (out / "h/a.part").lstat()
    part.discard()

    assert (out / "h/a.part").lstat() == before
    assert is_untouched(outside)


def test_a_dead_workers_part_is_removed(folder, out):
    keep(folder, "h/a", b"x")
    remove_part(folder, "h/a")
    remove_part(folder, "h/a")

    assert tree(out) == ["h"]


@pytest.mark.timeout(30)
@pytest.mark.parametrize("foreign", ["link", "fifo", "folder"])
def test_only_a_regular_file_is_removed_as_a_part(folder, out, outside, foreign):
    FOREIGN[foreign](out / "a.part", outside)
    remove_part(folder, "a")

    assert os.path.lexists(out / "a.part")
    assert is_untouched(outside)


# The disk refuses


def test_without_permission_it_is_a_disk_error(out, unprivileged_folder):
    with pytest.raises(DiskError, match="cannot write h/a: Permission denied"):
        save(unprivileged_folder, "h/a", b"x")


def test_a_full_disk_is_a_disk_error_and_room_comes_back(kind, small_disk):
    with contextlib.closing(Folder(str(small_disk))) as folder:
        part = PartFile(folder, "a")
        part.open(0)
        with pytest.raises(DiskError, match="cannot write a: No space left on device"):
            part.write(b"x" * (1 << 20))
        part.discard()

        assert tree(small_disk) == []
        assert save(folder, "a", b"x" * 4096)[0] == digest(b"x" * 4096)


def test_a_read_only_disk_is_a_disk_error(kind, small_disk):
    mount = ["mount", "-o", "remount,ro", str(small_disk)]
    subprocess.run(mount, check=True)
    with contextlib.closing(Folder(str(small_disk))) as folder:
        with pytest.raises(DiskError, match="Read-only file system"):
            save(folder, "a", b"x")
        with pytest.raises(DiskError, match="cannot create folder h"):
            save(folder, "h/a", b"x")


def test_a_file_over_the_limit_of_its_size_is_a_disk_error(out):
    program = """
        import resource, sys
        from downloader.errors import DiskError
        from downloader.transfer.folder import Folder
        from downloader.transfer.part_file import PartFile
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        part = PartFile(Folder(sys.argv[1]), "a")
        part.open(0)
        part.write(b"x" * 900)
        try:
            part.write(b"x" * 200)
        except DiskError as error:
            print(error, part.size_bytes)
    """
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(out)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert child.stdout == "cannot write a: File too large 900\n"


# Any way of cutting


@settings(max_examples=60, deadline=None)
@given(
    content=st.binary(max_size=2000),
    cuts=st.lists(st.integers(0, 2000), max_size=8),
    kept=st.sets(st.integers(0, 8)),
    step_back=st.integers(0, 50),
)
def test_any_chunks_and_resumptions_give_the_same_file(
    tmp_path_factory, content, cuts, kept, step_back
):
    out = tmp_path_factory.mktemp("cut")
    bounds = sorted({0, len(content), *(min(cut, len(content)) for cut in cuts)})
    with contextlib.closing(Folder(str(out))) as folder:
        part = PartFile(folder, "a")
        part.open(0)
        for number, end in enumerate(bounds):
            part.write(content[part.size_bytes : end])
            if number in kept:
                part.open(max(0, part.keep() - step_back))
                part.catch_up()
        part.write(content[part.size_bytes :])
        part.commit()

    assert (out / "a").read_bytes() == content
    assert part.digest == digest(content)
