"""Where to cut: what plugins/splitter does in Rust with the crate text-splitter, piece by piece the same."""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import takewhile

import boundaries

#: Pieces of one text, at most: more would only mean that the size is a mistake.
MAX_PIECES = 20_000
MIN_SIZE, MAX_SIZE = 16, 1_000_000

#: Represents two line breaks that are no better than the end of a sentence, and counts as two characters.
NEXT_LINE = "\x85"
#: White space as Unicode has it; `str.strip` knows some more.
BLANK = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"

_GAP = re.compile("[\n\r][\n\r \t]*")
_CONTINUING = "\"'(“‘„«"
_BREAKS = re.compile("[\n\r]+")
_BREAK = re.compile("\r\n|\n|\r")

#: How much behind a place decides about a boundary there.
_LOOK_AHEAD = 100

#: A part of a text: where it begins, and where it ends.
Section = tuple[int, int]


class TooManyPieces(Exception):
    """The text would fall into too many pieces."""

    def __str__(self) -> str:
        return f"field `text` produces more than {MAX_PIECES} chunks: increase parameter `size`, or split the document first"


@dataclass(frozen=True)
class Settings:
    """How to split."""

    size: int
    overlap: int
    border: str

    def __post_init__(self) -> None:
        if not MIN_SIZE <= self.size <= MAX_SIZE:
            raise ValueError(f"parameter `size` is {self.size}; it must be {MIN_SIZE} to {MAX_SIZE} characters")
        if not 0 <= self.overlap <= self.size // 2:
            raise ValueError(f"parameter `overlap` is {self.overlap}; it must be at most half of `size`, which is {self.size}")


def pieces(text: str, settings: Settings) -> list[Section]:
    """Splits a text. White space between pieces and around them belongs to none; a text of nothing else is one empty piece.

    Raises:
        TooManyPieces: There are more than 20,000.
    """
    shown, joined = _with_borders(text, settings.border)
    found: list[Section] = []
    at = 0
    while at < len(shown):
        window = shown[at : at + 8 * settings.size]
        cut, following = _cut(window, at + len(window) == len(shown), settings)
        found += [(at + start, at + end) for start, end in cut]
        if len(found) > MAX_PIECES:
            raise TooManyPieces
        at += following
    # Each of these was two characters of the text.
    return [(start + bisect_left(joined, start), end + bisect_left(joined, end)) for start, end in found] or [(0, 0)]


def _with_borders(text: str, border: str) -> tuple[str, list[int]]:
    """The text with line breaks where they separate something, and nowhere else; and where two characters became one."""
    joined: list[int] = []

    def shown(gap: re.Match[str]) -> str:
        blanks = gap.group()
        lines = max(blanks.count("\n"), blanks.count("\r"))
        if lines >= 2:
            if border == "paragraph":
                return "\n\n" + " " * (len(blanks) - 2)
            joined.append(gap.start() - len(joined))
            return NEXT_LINE + " " * (len(blanks) - 2)
        following = text[gap.end() : gap.end() + 1]
        if following and (_is_alphanumeric(following) or following in _CONTINUING):
            return " " * len(blanks)
        return "\n" + " " * (len(blanks) - 1)

    return _GAP.sub(shown, text), joined


def _is_alphanumeric(character: str) -> bool:
    return character.isalpha() or character.isnumeric()


def _cut(window: str, is_last: bool, settings: Settings) -> tuple[list[Section], int]:
    """The pieces of a window that do not depend on what comes behind it, and where to go on."""
    cut = list(_Chunks(window, settings))
    if is_last:
        return cut, len(window)
    decided = max(len(window) - 1 - 2 * settings.size, 0)
    for index, (start, _) in enumerate(cut):
        if start > decided:
            return cut[:index], start
    return cut, len(window)


class _Chunks:
    """The chunks of a text: as many of the largest parts as there is room for."""

    def __init__(self, text: str, settings: Settings) -> None:
        self._text, self._size, self._overlap = text, settings.size, settings.overlap
        self._breaks = [
            (len(_BREAK.findall(found.group())), found.start(), found.end()) for found in _BREAKS.finditer(text)
        ]
        self._at = 0

    def __iter__(self) -> Iterator[Section]:
        covered = 0
        while self._at < len(self._text):
            start = self._at
            sections = self._sections()
            end = self._end_of_chunk(start, sections)
            self._at = self._go_on(start, end, sections)
            trimmed = self._trimmed(start, end)
            # What the overlap repeats may be all that the next chunk has room for.
            if trimmed[0] < trimmed[1] and trimmed[1] > covered:
                covered = trimmed[1]
                yield trimmed

    def _trimmed(self, start: int, end: int) -> Section:
        part = self._text[start:end]
        left = len(part) - len(part.lstrip(BLANK))
        return start + left, start + max(len(part.rstrip(BLANK)), left)

    def _measure(self, start: int, end: int) -> int:
        start, end = self._trimmed(start, end)
        return end - start + self._text.count(NEXT_LINE, start, end)

    def _end_of_chunk(self, start: int, sections: list[Section]) -> int:
        end = sections[0][1]
        for _, candidate in sections[1:]:
            if self._measure(start, candidate) > self._size:
                break
            end = candidate
        return end

    def _go_on(self, cursor: int, end: int, sections: list[Section]) -> int:
        """Where the next chunk begins: some sections before the end of this one, if they fit into the overlap."""
        start = end
        if not self._overlap:
            return start
        low, high = 0, bisect_left([section[1] for section in sections], end)
        while low <= high:
            middle = low + (high - low) // 2
            offset = sections[middle][0]
            size = self._measure(offset, end)
            if size <= self._overlap and cursor < offset < start:
                start = offset
            if size < self._overlap and middle > 0:
                high = middle - 1
            else:
                low = middle + 1
        return start

    def _sections(self) -> list[Section]:
        """The sections that the next chunk is made of: of the largest kind of which the first one fits."""
        following = [found for found in self._breaks if found[1] >= self._at]
        levels = sorted({level for level, _, _ in following})
        by_level = [partial(self._between, following, level) for level in levels]
        kind, limit = self._largest(by_level)
        if kind is None:
            kind, lower = self._by_unicode()
            limit = min(bound for bound in (limit, lower, len(self._text)) if bound is not None)
        found: list[Section] = []
        for section in takewhile(lambda section: limit is None or section[0] <= limit, kind()):
            found.append(section)
            if self._measure(self._at, section[1]) > self._size:
                break
        return found

    def _by_unicode(self) -> tuple[Callable[[], Iterable[Section]], int | None]:
        """The same for sentences, words and characters, of which each is made of the next: the largest is tried first."""
        limit = None
        for kind in (boundaries.sentences, boundaries.words, boundaries.characters):
            rest = self._text[self._at :] if limit is None else self._text[self._at : limit + _LOOK_AHEAD]
            _, end = next(self._of(kind, rest))
            if self._measure(self._at, end) <= self._size:
                return partial(self._of, kind, rest), limit
            limit = end
        return lambda: ((at, at + 1) for at in range(self._at, len(self._text))), limit

    def _largest(self, kinds: list[Callable[[], Iterable[Section]]]) -> tuple[Callable[[], Iterable[Section]] | None, int | None]:
        """The last kind of which the first section fits, and the end of the first section that does not."""
        firsts = [(kind, next(iter(kind()), None)) for kind in kinds]
        ends = [(kind, first[1]) for kind, first in firsts if first is not None]
        # A larger kind with a shorter section represents both.
        kept = [ends[index] for index in range(len(ends)) if index + 1 == len(ends) or ends[index][1] < ends[index + 1][1]]
        best = None
        for kind, end in kept:
            if self._measure(self._at, end) > self._size:
                return best, end
            best = kind
        return best, None

    def _between(self, breaks: list[tuple[int, int, int]], level: int) -> Iterator[Section]:
        at = self._at
        for found, start, end in breaks:
            if found >= level:
                if start > at:
                    yield at, start
                yield start, end
                at = end
        if at < len(self._text):
            yield at, len(self._text)

    def _of(self, ends_of: Callable[[str], Iterator[int]], rest: str) -> Iterator[Section]:
        at = self._at
        for end in ends_of(rest):
            yield at, self._at + end
            at = self._at + end
