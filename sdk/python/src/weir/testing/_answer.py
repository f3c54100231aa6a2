"""The answers of services in a test."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from weir._failure import CallError, ErrorKind
from weir._message import Message, message_of


@dataclass
class Answer:
    """The answer of a service: several parts, an error, or both. For an answer in one part, return the value itself.

        kit.answer("model", lambda request: {"score": 0.9})
        kit.answer("model", weir.testing.Answer.of_parts("one", "two"))
        kit.answer("model", weir.testing.Answer.of_error("timeout", "no reply within 5000 ms"))
    """

    parts: list[Message] = field(default_factory=list)
    error: CallError | None = None

    @classmethod
    def of(cls, value: Any) -> Answer:
        """An answer in one part, unless the value is an `Answer` already."""
        return replace(value, parts=list(value.parts)) if isinstance(value, Answer) else cls([message_of(value)])

    @classmethod
    def of_parts(cls, *parts: Any) -> Answer:
        """An answer in parts, in this order."""
        return cls([message_of(part) for part in parts])

    @classmethod
    def of_error(cls, kind: ErrorKind | str, reason: str = "", *, after: Iterable[Any] = ()) -> Answer:
        """An error for an answer, after the parts if there are any: `timeout`, `unavailable`, `failed` (the reason is the service's error)
        or `invalid`."""
        return cls([message_of(part) for part in after], CallError(kind, reason or f"the test answers with {kind}"))
