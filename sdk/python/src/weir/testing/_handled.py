"""The result of handling a message."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from weir._failure import Failure, Verdict
from weir._message import Message


@dataclass(frozen=True)
class Sent:
    """A message and the name of the output, or of the request, that it was sent to."""

    to: str
    message: Message

    def json(self) -> Any:
        """The message, parsed as JSON."""
        return self.message.json()


@dataclass(frozen=True)
class LogLine:
    """A line of the log."""

    level: str
    message: str
    fields: dict[str, str]


@dataclass(frozen=True)
class HandledFailure:
    """Why a message could not be handled, as a host has it."""

    verdict: Verdict
    reason: str
    #: In seconds.
    delay: float | None


@dataclass
class Handled:
    """The result of `Kit.handle`.

        handled = kit.handle("input", {"text": "a few words"})
        assert handled.json("output") == [{"words": 3}]
        assert handled.log[0].fields == {"bytes": "11"}
    """

    #: `None` if the message was handled.
    failure: HandledFailure | None
    #: What the handler raised.
    exception: BaseException | None
    #: All messages that left, in the order in which they were sent. None if the handler failed.
    sent: list[Sent]
    #: Whether the handler marked the last part of its answer. If it did not, the host ends the answer.
    is_answered: bool
    #: The requests that were sent, in their order, whatever came of them.
    requests: list[Sent]
    #: The lines that were logged, in their order: those of the setup too, if it was called for this message.
    log: list[LogLine]
    _replies: list[Message] = field(repr=False)
    _outputs: list[str] = field(repr=False)

    def outputs(self, output: str = "output") -> list[Message]:
        """The messages sent to an output, in order.

        Raises:
            AssertionError: The handler failed, so nothing was sent; or the output does not exist.
        """
        self._check(f"nothing left for `{output}`")
        if output not in self._outputs:
            raise AssertionError(f"output `{output}` does not exist; must be one of: {', '.join(self._outputs) or 'none'}")
        return [sent.message for sent in self.sent if sent.to == output]

    def json(self, output: str = "output") -> list[Any]:
        """As `outputs`, parsed as JSON."""
        return [_parsed(message, f"message {index} of `{output}`") for index, message in enumerate(self.outputs(output))]

    def text(self, output: str = "output") -> list[str]:
        """As `outputs`, as text."""
        return [message.text() for message in self.outputs(output)]

    def replies(self) -> list[Message]:
        """The sent parts of the answer, in order, including those before a failure, since parts are sent immediately.

        Raises:
            AssertionError: The handler failed before a part was sent.
        """
        if not self._replies:
            self._check("no part of an answer left")
        return list(self._replies)

    def reply_json(self) -> list[Any]:
        """As `replies`, parsed as JSON."""
        return [_parsed(part, f"part {index} of the answer") for index, part in enumerate(self.replies())]

    def _check(self, what: str) -> None:
        if self.failure is not None:
            raise AssertionError(f"{what}, since the handler failed: {self.failure.verdict}: {self.failure.reason}") from self.exception


def _parsed(message: Message, what: str) -> Any:
    try:
        return message.json()
    except Failure as failure:
        raise AssertionError(f"{what} cannot be read: {failure.reason}: it is {_json_free(message)}") from None


def _json_free(message: Message) -> str:
    return message.body[:500].decode("utf-8", "backslashreplace")


__all__ = ["Handled", "HandledFailure", "LogLine", "Sent"]
