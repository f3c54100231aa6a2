"""The memory of a component at startup, read from the file."""

from __future__ import annotations

from collections.abc import Iterator

_PAGE_BYTES = 64 << 10
_CORE_MODULE, _MEMORY_SECTION = 1, 5
_HAS_MAXIMUM = 1


def at_start(wasm: bytes) -> int | None:
    """The bytes of all memories together; `None` if the file cannot be read."""
    try:
        return sum(_memories(module) for kind, module in _sections(wasm) if kind == _CORE_MODULE)
    except IndexError:
        return None


def _memories(module: bytes) -> int:
    total_bytes = 0
    for kind, content in _sections(module):
        if kind == _MEMORY_SECTION:
            count, at = _number(content, 0)
            for _ in range(count):
                flags, at = _number(content, at)
                pages, at = _number(content, at)
                total_bytes += pages * _PAGE_BYTES
                if flags & _HAS_MAXIMUM:
                    _, at = _number(content, at)
    return total_bytes


def _sections(wasm: bytes) -> Iterator[tuple[int, bytes]]:
    at = 8
    while at < len(wasm):
        kind = wasm[at]
        size, at = _number(wasm, at + 1)
        yield kind, wasm[at : at + size]
        at += size


def _number(content: bytes, at: int) -> tuple[int, int]:
    """A number in LEB128, and the position after it."""
    number = shift = 0
    while True:
        byte = content[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at
