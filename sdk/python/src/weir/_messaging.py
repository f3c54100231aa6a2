"""Sending, asking and answering. Topics are named as in weir.toml."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from weir import _json
from weir._failure import Reject, Retry, milliseconds
from weir._host import host
from weir._message import Message, message_of

#: What answers can be read as.
READABLE = (str, bytes, Message)


def send(to: str, message: Any, *, properties: Mapping[str, str] | None = None) -> None:
    """Sends a message to an output: a `str` as text, `bytes` and a `Message` unchanged, everything else as JSON.

    A message to a topic of class `flow` is held until the handler returns; to other classes it is sent immediately. Messages to one
    output keep their order.

    Raises:
        CallError: `invalid` if it can never succeed (no such output, a limit exceeded, a reserved property); for topics that are not
            of class `flow` also `unavailable`.
        TypeError, ValueError: The value cannot be written as JSON.
    """
    host().send(_name(to), message_of(message, properties))


def send_all(to: str, messages: Iterable[Any]) -> None:
    """Sends many messages to an output, in order; each is created only after those before it are sent.

    Raises:
        As `send`; messages sent before are discarded if the handler fails.
    """
    here = host()
    _name(to)
    for message in messages:
        here.send(to, message_of(message))


def request(to: str, message: Any, *, timeout: float | timedelta | None = None, returns: type = object) -> Any:
    """Sends a request, waits for the answer, which must have one part, and returns it parsed as JSON.

    `timeout` is in seconds from the call, capped to the handler's remaining time; `None` uses the one in weir.toml.
    `returns=str`, `bytes` or `weir.Message` returns the answer as that type.

    Raises:
        CallError: `timeout`, `unavailable` (no service), `failed` (the service answered with an error), `invalid`.
        Retry: The answer cannot be read, or comes in several parts.
    """
    check_readable(returns)
    parts = request_parts(to, message, timeout=timeout, returns=Message)
    if len(parts) != 1:
        raise Retry(f"`{to}` answered in {len(parts)} parts instead of one: use `weir.request_parts`")
    return read_part(to, parts[0], returns)


def request_parts(to: str, message: Any, *, timeout: float | timedelta | None = None, returns: type = object) -> list[Any]:
    """As `request`, for an answer in any number of parts.

    Raises:
        As `request`.
    """
    check_readable(returns)
    parts = host().request(_name(to), message_of(message), milliseconds(timeout, "timeout"))
    return [read_part(to, part, returns) for part in parts]


def begin_request(to: str, message: Any, *, timeout: float | timedelta | None = None, returns: type = object) -> Replies:
    """Sends a request without waiting for the answer, so several can be in flight.

        language = weir.begin_request("language", text)
        score = weir.begin_request("model", text)
        return {"language": language.read(), "score": score.read()}

    Raises:
        CallError: The request could not be sent. Later errors are reported by `Replies`.
    """
    check_readable(returns)
    call = host().begin_request(_name(to), message_of(message), milliseconds(timeout, "timeout"))
    return Replies(to, call, returns)


class Replies:
    """The answer to a request in flight, part by part: each step of the iteration waits for the next part. After an error there
    are no more parts. Valid until the handler returns; up to 64 may be in flight."""

    __slots__ = ("_call", "_has_ended", "_returns", "_to")

    def __init__(self, to: str, call: int, returns: type) -> None:
        self._to, self._call, self._returns, self._has_ended = to, call, returns, False

    def __iter__(self) -> Replies:
        return self

    def __next__(self) -> Any:
        part = self._next()
        if part is None:
            raise StopIteration
        return read_part(self._to, part, self._returns)

    def read(self) -> Any:
        """Waits for the answer, which must have one part.

        Raises:
            As `request`.
        """
        part = self._next()
        if part is None:
            raise Retry(f"the answer of `{self._to}` has no parts")
        if self._next() is not None:
            raise Retry(f"`{self._to}` answered in several parts instead of one: iterate over them")
        return read_part(self._to, part, self._returns)

    def _next(self) -> Message | None:
        if self._has_ended:
            return None
        self._has_ended = True
        part = host().next_reply(self._call)
        self._has_ended = part is None
        return part


def reply(message: Any, *, properties: Mapping[str, str] | None = None) -> None:
    """Answers the current request completely: for handlers that continue afterwards; others return the answer.

    Raises:
        CallError: `invalid` if the message is not a request, or was answered completely.
    """
    host().reply(message_of(message, properties), True)


def reply_part(message: Any, *, properties: Mapping[str, str] | None = None) -> None:
    """Sends one part of the answer to the current request; `reply` sends the last one. A part is sent immediately, and
    from then on the request is not retried.

    Raises:
        As `reply`.
    """
    host().reply(message_of(message, properties), False)


def _name(to: Any) -> str:
    if not isinstance(to, str):
        raise TypeError(f"`to` is {to!r}; it must be the name of an output or request, as in weir.toml")
    return to


def check_readable(returns: type) -> None:
    if returns is not object and returns not in READABLE:
        raise TypeError(f"`returns` is {returns!r}; it must be str, bytes or weir.Message; omit it for JSON")


def read_part(to: str, part: Message, returns: type) -> Any:
    """Reads a part of an answer."""
    if returns is Message:
        return part
    if returns is bytes:
        return part.body
    what = f"the answer of `{to}`"
    try:
        return _json.read_text(part.body, what) if returns is str else _json.read(part.body, what)
    except Reject as fault:
        # Not the fault of the message that is being handled.
        raise Retry(fault.reason) from None
