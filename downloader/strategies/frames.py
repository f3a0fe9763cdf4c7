"""What passes between a parent and its child processes, and how it is framed.

A frame is four bytes of length, big-endian, and a MessagePack array: about 0.65 µs for an
attempt, where pickle takes 13.5 (measured 2026-11). Secrets travel here, never in argv.

Attempts are encoded one by one: one that cannot be carried fails alone, with words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from downloader.models import (
    Attempt,
    AttemptResult,
    ErrorKind,
    Failure,
    Moved,
    WorkerUsage,
)
from downloader.transfer.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

T = TypeVar("T")
_LENGTH_BYTES = 4
# The first byte of what is encoded: texts as they are, or escaped.
_PLAIN, _ESCAPED = b"\0", b"\1"


class Packed(msgspec.Struct, frozen=True, array_like=True):
    """An attempt on its way to a worker.

    Attributes:
        attempt_id: Its id.
        body: The attempt, encoded.
    """

    attempt_id: int
    body: bytes


class Order(msgspec.Struct, frozen=True, array_like=True):
    """Parent to child: any of these, the rest empty.

    Attributes:
        plan: The run as this child sees it; comes first and once.
        lanes: With it: how many batches run side by side.
        batches: Attempts to run, each batch one after another.
        bytes_per_second: This child's share of the rate, -1 for no change, 0 for none.
        stop: The failure with which everything is to end at once.
    """

    plan: Plan | None = None
    lanes: int = 1
    batches: list[list[Packed]] = []
    bytes_per_second: float = -1.0
    stop: Failure | None = None


class Facts(msgspec.Struct, frozen=True, array_like=True):
    """Child to parent.

    Attributes:
        results: Attempts that ended.
        moved: How far large ones are.
        returned: Attempts given back untried.
        usage: What the child has used so far.
        fault: Why the child ends, if it does so by itself.
    """

    results: list[AttemptResult]
    moved: list[Moved]
    returned: list[int]
    usage: WorkerUsage
    fault: str | None = None


_encoder = msgspec.msgpack.Encoder()
order_decoder = msgspec.msgpack.Decoder(Order)
facts_decoder = msgspec.msgpack.Decoder(Facts)
plan_decoder = msgspec.msgpack.Decoder(Plan)
batch_decoder = msgspec.msgpack.Decoder(list[Packed])
_attempt_decoder = msgspec.msgpack.Decoder(Attempt)


def encode(value: object) -> bytes:
    """Encode a value, whatever its texts hold.

    MessagePack's texts are UTF-8, which has no surrogates; Python keeps a path's bytes
    that are no UTF-8 as such (PEP 383).
    """
    try:
        return _PLAIN + _encoder.encode(value)
    except UnicodeEncodeError:
        return _ESCAPED + _encoder.encode(_with_texts(value, _escape))


def decode(decoder: msgspec.msgpack.Decoder[T], body: bytes) -> T:
    """Decode what `encode` made.

    Raises:
        msgspec.MsgspecError: It is no such value.
    """
    value = decoder.decode(memoryview(body)[1:])
    if body[:1] == _ESCAPED:
        value = _with_texts(value, _unescape)
    return value


def pack(attempts: list[Attempt]) -> list[Packed]:
    """Encode attempts for a worker."""
    return [Packed(attempt.id, encode(attempt)) for attempt in attempts]


def unpack(packed: Packed) -> Attempt | AttemptResult:
    """Decode an attempt; the result of one that cannot be run."""
    try:
        return decode(_attempt_decoder, packed.body)
    except msgspec.MsgspecError as error:
        text = f"a fault of this program: no worker can read the attempt: {error}"
        failure = Failure(ErrorKind.INTERNAL, text)
        return AttemptResult(packed.attempt_id, failure=failure)


def frame(message: Order | Facts) -> bytes:
    """Make a frame of a message."""
    body = encode(message)
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


def send(pipe: IO[bytes], message: Order | Facts) -> None:
    """Write one frame and flush it; blocks while the pipe is full."""
    pipe.write(frame(message))
    pipe.flush()


def receive(pipe: IO[bytes]) -> bytes | None:
    """The next frame's body; None at the end, also inside a frame cut short."""
    head = pipe.read(_LENGTH_BYTES)
    if len(head) < _LENGTH_BYTES:
        return None
    size_bytes = int.from_bytes(head, "big")
    body = pipe.read(size_bytes)
    return body if len(body) == size_bytes else None


def _with_texts(value: Any, change: Callable[[str], str]) -> Any:
    """Copy a value with each of its texts changed."""
    match value:
        case str():
            return change(value)
        case msgspec.Struct():
            names = value.__struct_fields__
            changed = {n: _with_texts(getattr(value, n), change) for n in names}
            return msgspec.structs.replace(value, **changed)
        case list() | tuple():
            return type(value)(_with_texts(one, change) for one in value)
        case dict():
            return {
                _with_texts(key, change): _with_texts(one, change)
                for key, one in value.items()
            }
        case _:
            return value


def _escape(text: str) -> str:
    return text.encode("utf-16-be", "surrogatepass").decode("latin-1")


def _unescape(text: str) -> str:
    return text.encode("latin-1").decode("utf-16-be", "surrogatepass")
