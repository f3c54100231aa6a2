"""Why a message could not be handled."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import ClassVar

_MAX_MS = 0xFFFF_FFFF


class Verdict(StrEnum):
    """How to treat a message that could not be handled."""

    RETRY = "retry"
    BUSY = "busy"
    REJECT = "reject"


class Failure(Exception):
    """Raised by a handler: why a message could not be handled. `Retry`, `Busy` and `Reject` determine how it is treated. Messages
    sent to the flow's queues in the meantime are discarded."""

    verdict: ClassVar[Verdict] = Verdict.RETRY

    def __init__(self, reason: object, *, delay: float | timedelta | None = None) -> None:
        super().__init__(str(reason))
        #: For the people who read it in the dead letters.
        self.reason = str(reason)
        #: The least time until the next attempt, in seconds.
        self.delay = delay.total_seconds() if isinstance(delay, timedelta) else delay
        milliseconds(self.delay, "delay")


class Retry(Failure):
    """Something failed that may succeed next time: retried with the deployment's attempts and waits, then dead-lettered. Any
    other exception does the same, with its traceback as the reason. `delay` is the minimum time until the next attempt, in seconds."""


class Busy(Failure):
    """Nothing is wrong with the message: something that the processor needs is not ready, such as a service with a rate limit. Retried
    later without using up an attempt. `delay` is the minimum time until then, in seconds."""

    verdict = Verdict.BUSY


class Reject(Failure):
    """This message can never be handled: dead-lettered at once. Name the field and the fix in the reason."""

    verdict = Verdict.REJECT

    def __init__(self, reason: object) -> None:
        super().__init__(reason)


class ErrorKind(StrEnum):
    """What a caller can do about a call that failed."""

    #: No (further) reply within the time. May work later.
    TIMEOUT = "timeout"
    #: Cannot be done now and may work later.
    UNAVAILABLE = "unavailable"
    #: The other side had the request and answered with an error.
    FAILED = "failed"
    #: Can never work: no such output or request, a limit exceeded, a property of the host's, a call at the wrong time.
    INVALID = "invalid"


class CallError(Exception):
    """A `send`, `request` or `reply` failed. A handler that does not catch it fails: `invalid` is a reject, the other kinds a retry.

        try:
            score = weir.request("model", text)
        except weir.CallError as error:
            if error.kind != "timeout":
                raise
            score = None
    """

    def __init__(self, kind: ErrorKind | str, reason: str) -> None:
        super().__init__(reason)
        self.kind = ErrorKind(kind)
        #: For people; of `failed`, the other side's own words.
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


def milliseconds(seconds: float | timedelta | None, name: str) -> int | None:
    """A time in the units of the contract; longer times are capped.

    Raises:
        TypeError, ValueError: It is not a time.
    """
    if seconds is None:
        return None
    if isinstance(seconds, timedelta):
        seconds = seconds.total_seconds()
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"`{name}` is {seconds!r}; it must be a number of seconds")
    if not seconds >= 0:
        raise ValueError(f"`{name}` is {seconds!r}; it must be a number of seconds, not negative")
    return min(int(min(seconds, _MAX_MS) * 1000), _MAX_MS)
