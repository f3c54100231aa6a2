"""Splits text into overlapping chunks that end where sentences or paragraphs do: the task of plugins/splitter, in Python."""

from typing import Any, Literal

import weir

from splitting import Settings, TooManyPieces, pieces


@weir.setup
def check(*, size: int, overlap: int, border: str) -> None:
    """Shows wrong parameters before the first message does."""
    Settings(size, overlap, border)


@weir.processor
def split(document: dict[str, Any], *, size: int, overlap: int, border: Literal["sentence", "paragraph"]) -> None:
    identity, text = _field(document, "id"), _field(document, "text")
    try:
        found = pieces(text, Settings(size, overlap, border))
    except TooManyPieces as error:
        raise weir.Reject(f"document `{identity}`: {error}") from None
    for index, (start, end) in enumerate(found):
        chunk: dict[str, Any] = {"document": identity}
        if document.get("title") is not None:
            chunk["title"] = document["title"]
        chunk |= {"index": index, "count": len(found), "start": start, "text": text[start:end]}
        try:
            weir.send("output", chunk)
        except weir.CallError as error:
            if error.kind != "invalid":
                raise
            raise weir.Reject(_explained(identity, index, len(found), error.reason)) from None


def _field(document: dict[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str):
        raise weir.Reject(f"field `{name}` is missing or not text")
    return value


def _explained(identity: str, index: int, count: int, refusal: str) -> str:
    return (
        f"document `{identity}` produces {count} chunks, and number {index + 1} exceeds the deployment's limits: {refusal}. A larger "
        "`size` produces fewer chunks, a smaller `overlap` fewer bytes"
    )
