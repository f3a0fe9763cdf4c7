"""Whatever cuts, retries, restarts and new versions there are: the file is one version."""

import contextlib
import hashlib
import os

from hypothesis import given, settings
from hypothesis import strategies as st

from downloader.errors import TransportError
from downloader.models import Attempt, Partial
from downloader.policy.headers import HeaderRules
from downloader.policy.naming import part_name
from downloader.transfer import part_record, transfer
from downloader.transfer.folder import Folder
from downloader.transfer.plan import Plan
from downloader.transfer.transfer import Transfer

URL = "http://a.test/file"


def content(version, size):
    return hashlib.shake_128(b"%d" % version).digest(size)


class Server:
    """Answers as RFC 9110 has it, with one of several lies if told so."""

    def __init__(self, size):
        self.size, self.version = size, 1

    def answer(self, fields, lie):
        data, etag = content(self.version, self.size), f'"{self.version}"'
        head = {"etag": etag}
        wanted = fields.get("Range")
        is_same = fields.get("If-Range") == etag or lie == "any range"
        if wanted is None or not is_same:
            return 200, head | {"content-length": str(self.size)}, data
        first = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if first >= self.size or lie == "416":
            return 416, {}, b""
        first += lie == "another range" and first + 1 < self.size
        rest = data[first:]
        carried = f"bytes {first}-{self.size - 1}/{self.size}"
        return (
            206,
            head | {"content-range": carried, "content-length": str(len(rest))},
            rest,
        )


def untold(partial, size, position):
    """What a worker wrote behind a part, of its version, and died before it could tell."""
    if partial is None:
        return b"of no version that is known"
    return content(int(partial.validator.strip('"')), size)[position:]


def attempt_once(folder, plan, before, server, lie, cut, number):
    """One attempt, cut off after so many bytes; its result."""
    partial, without_range = before
    attempt = Attempt(
        number,
        URL,
        "file",
        partial=partial,
        replaces=True,
        without_range=without_range,
    )
    one = Transfer(attempt, plan, folder, lambda size, now: 0.0, lambda moved: None)
    one.patience.asking(0.0)
    status, head, data = server.answer(one.fields(), lie)
    try:
        if not one.head(status, head):
            return one.result
        if one.lead_bytes:
            one.catch_up()
        sent = data[:cut]
        for begin in range(0, len(sent), 97):
            one.chunk(sent[begin : begin + 97])
        if len(sent) < len(data):
            raise TransportError("truncated", "cut")
        return one.end()
    except TransportError as error:
        return one.fail_with(error)


steps = st.tuples(
    st.sampled_from(
        ["go on", "restart", "restart without record", "new version", "longer part"]
    ),
    st.sampled_from([None, "any range", "416", "another range"]),
    st.integers(0, 600),
)


@settings(max_examples=500, deadline=None)
@given(
    size=st.integers(0, 1000),
    small=st.sampled_from([0, 300, 65_536]),
    story=st.lists(steps, max_size=12),
)
def test_the_file_is_one_version_whole(tmp_path_factory, size, small, story):
    root = str(tmp_path_factory.mktemp("cuts"))
    server, before = Server(size), (None, False)
    small_bytes = transfer.SMALL_BYTES
    transfer.SMALL_BYTES = small
    plan = Plan(root=root, headers=HeaderRules())
    try:
        with contextlib.closing(Folder(root)) as folder:
            for number, (event, lie, cut) in enumerate(
                [*story, ("go on", None, 10_000)]
            ):
                if event == "new version":
                    server.version += 1
                elif event.startswith("restart"):
                    if event.endswith("record"):
                        part_record.erase(folder, "file")
                    before = part_record.read(folder, "file"), False
                elif event == "longer part" and os.path.exists(
                    f"{root}/{part_name('file')}"
                ):
                    with open(f"{root}/{part_name('file')}", "ab") as stream:
                        stream.write(untold(before[0], size, stream.tell()))
                result = attempt_once(folder, plan, before, server, lie, cut, number)
                if result.saved is not None:
                    break
                before = result.partial, result.failure.refuses_range
                assert before[0] is None or isinstance(before[0], Partial)
            else:
                result = attempt_once(folder, plan, before, server, None, 10_000, 99)
            assert result.saved is not None, result.failure
            kept = (
                os.listdir(os.path.join(root, *part_record.FOLDER.split("/")))
                if os.path.isdir(os.path.join(root, *part_record.FOLDER.split("/")))
                else []
            )
    finally:
        transfer.SMALL_BYTES = small_bytes
    with open(f"{root}/file", "rb") as stream:
        data = stream.read()

    assert data == content(server.version, size)
    assert result.saved.digest == hashlib.sha256(data).hexdigest()
    assert kept == []
    assert not os.path.exists(f"{root}/{part_name('file')}")
