"""Where sentences, words and characters end, by the rules of Unicode (UAX #29)."""

import re
from collections.abc import Iterator
from functools import cache

from uniseg.graphemecluster import grapheme_cluster_boundaries
from uniseg.sentencebreak import sentence_break
from uniseg.wordbreak import word_boundaries

#: A letter for each class of characters, so that the rules become a pattern.
_CLASSES = {
    "CR": "C", "LF": "L", "Sep": "S", "Extend": "E", "Format": "E", "Sp": "P", "Lower": "l", "Upper": "U", "OLetter": "O",
    "Numeric": "N", "ATerm": "A", "SContinue": "c", "STerm": "T", "Close": "Q",
}  # fmt: skip

#: SB3 to SB11: what may end a sentence, and what then shows that it does not.
_END = re.compile(
    r"(?:CL|[CLS])"
    r"|(?:(?P<letter>[Ul]E*)?(?P<point>A)|T)E*(?P<closing>(?:QE*)*)(?P<space>(?:PE*)*)(?P<break>CL|[CLS])?"
)
_IN_LOWER_CASE = re.compile("[^OUlCLSAT]*l")


@cache
def _class(character: str) -> str:
    return _CLASSES.get(sentence_break(character).value, "x")


def sentences(text: str) -> Iterator[int]:
    """The ends of the sentences of a text."""
    classes = "".join(map(_class, text))
    last = 0
    for end in _END.finditer(classes):
        if not _goes_on(classes, end):
            last = end.end()
            yield last
    if last < len(text):
        yield len(text)


def _goes_on(classes: str, end: re.Match[str]) -> bool:
    """Whether what looks like the end of a sentence is none."""
    at = end.end()
    if at == len(classes) or end["break"] or end.group() in ("CL", "C", "L", "S"):
        return False
    if end["point"]:
        is_bare = not end["closing"] and not end["space"]
        if is_bare and (classes[at] == "N" or (end["letter"] and classes[at] == "U")):
            return True
        if _IN_LOWER_CASE.match(classes, at):
            return True
    return classes[at] in "cAT"


def words(text: str) -> Iterator[int]:
    """The ends of the words of a text, and of what lies between them."""
    return (end for end in word_boundaries(text) if end)


def characters(text: str) -> Iterator[int]:
    """The ends of what a reader sees as one character."""
    return (end for end in grapheme_cluster_boundaries(text) if end)
