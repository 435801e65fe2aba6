"""Fragments in both directions (section 6.2)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from codes import EXT, MORE, Close, LwError
from fields import block_end
from wire import Header, frame


@dataclass
class Assembly:
    """A message of which fragments have arrived, but not the last."""

    first: Header
    total: int
    charge: int
    arrived_at: float
    parts: list[bytes] = field(default_factory=list)
    size: int = 0

    def check_continuation(self, header: Header) -> None:
        """Judges a continuation by its header alone (LW-6.8)."""
        if header.length == 0:
            self._bad("an empty continuation")
        if header.ext:
            self._bad("a continuation with EXT")
        if header.code != self.first.code or header.lane != self.first.lane:
            self._bad("a continuation with another code or lane")
        size = self.size + header.length
        if size > self.total or (size == self.total) == header.more:
            self._bad(f"{size} of {self.total} bytes, MORE {'' if header.more else 'not '}set")

    def add(self, data: bytes) -> None:
        if not self.parts and self.first.ext:
            block_end(data)  # the first fragment holds the whole block
        self.parts.append(data)
        self.size += len(data)

    def message(self) -> bytes:
        return b"".join(self.parts)

    def _bad(self, detail: str) -> None:
        raise LwError(Close.BAD_FRAGMENT, "LW-6.8", detail)


def check_first(header: Header, total: int) -> None:
    """Judges a first fragment by its header and its total (LW-6.8)."""
    if header.length - 4 >= total:
        raise LwError(Close.BAD_FRAGMENT, "LW-6.8", "a first fragment leaves nothing for the rest")


class Cutter:
    """Yields the frames of one message, one at a time."""

    def __init__(self, kind: int, flags: int, sequence: int, code: int, block: bytes, body: bytes,
                 max_frame: int) -> None:
        self._kind = kind
        self._flags = flags
        self._sequence = sequence
        self._code = code
        self._block = block
        self._data = block + body
        self._max_frame = max_frame
        self._at = 0
        self._whole = len(self._data) <= max_frame

    @property
    def done(self) -> bool:
        return self._at > 0 and self._at >= len(self._data) or self._at < 0

    def next_frame(self) -> bytes:
        if self._whole:
            self._at = -1
            flags = self._flags | (EXT if self._block else 0)
            return frame(self._kind, self._data, flags=flags, sequence=self._sequence,
                         code=self._code)
        if self._at == 0:
            return self._first()
        piece = self._data[self._at:self._at + self._max_frame]
        self._at += len(piece)
        flags = self._flags | (0 if self.done else MORE)
        return frame(self._kind, piece, flags=flags, sequence=self._sequence, code=self._code)

    def _first(self) -> bytes:
        self._at = min(self._max_frame - 4, len(self._data) - 1)
        flags = self._flags | MORE | (EXT if self._block else 0)
        payload = struct.pack(">I", len(self._data)) + self._data[:self._at]
        return frame(self._kind, payload, flags=flags, sequence=self._sequence, code=self._code)
