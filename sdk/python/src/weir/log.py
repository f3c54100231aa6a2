"""The log. Processor, flow, component and message are added to each line; printed output is logged too.

    weir.log.info("text seen", words=12)

The `logging` module of the standard library writes to the same log: `logging.getLogger(__name__).info("seen %d words", 12)`.
"""

from __future__ import annotations

import contextlib
import logging as _logging
from collections.abc import Callable, Iterator

from weir._host import current

LEVELS = ("trace", "debug", "info", "warn", "error")


def enabled(level: str) -> bool:
    """Whether lines of a level are written; use it to avoid building lines that are not."""
    here = current()
    return here is not None and here.log_enabled(_checked(level))


def write(level: str, message: str, /, **fields: object) -> None:
    """Logs a line of a level: `trace`, `debug`, `info`, `warn` or `error`."""
    here = current()
    if here is not None and here.log_enabled(_checked(level)):
        here.log_write(level, str(message), [(name, str(value)) for name, value in fields.items()])


def trace(message: str, /, **fields: object) -> None:
    """Logs a line for tracing every step."""
    write("trace", message, **fields)


def debug(message: str, /, **fields: object) -> None:
    """Logs a line for debugging."""
    write("debug", message, **fields)


def info(message: str, /, **fields: object) -> None:
    """Logs a line about a normal event."""
    write("info", message, **fields)


def warn(message: str, /, **fields: object) -> None:
    """Logs a line about an unexpected but harmless event."""
    write("warn", message, **fields)


def error(message: str, /, **fields: object) -> None:
    """Logs a line about a problem that an operator must solve."""
    write("error", message, **fields)


class Handler(_logging.Handler):
    """Writes what the `logging` module logs to the log of the host. In a component, one is installed at the root."""

    def emit(self, record: _logging.LogRecord) -> None:
        level = level_of(record.levelno)
        if not enabled(level):
            return
        fields: dict[str, object] = {} if record.name == "root" else {"logger": record.name}
        try:
            message = record.getMessage()
        except Exception as fault:
            # As the standard library does, a line that cannot be formatted must not fail the message.
            message, fields["fault"] = str(record.msg), f"the log line cannot be formatted: {fault}"
        if record.exc_info and record.exc_info[1] is not None:
            from weir._faults import described

            fields["exception"] = described(record.exc_info[1])
        write(level, message, **fields)


def level_of(number: int) -> str:
    """The level for a number of the `logging` module."""
    if number >= _logging.ERROR:
        return "error"
    if number >= _logging.WARNING:
        return "warn"
    if number >= _logging.INFO:
        return "info"
    return "debug" if number >= _logging.DEBUG else "trace"


def install() -> None:
    """Puts a `Handler` at the root of the `logging` module."""
    root = _logging.getLogger()
    if not any(isinstance(handler, Handler) for handler in root.handlers):
        root.addHandler(Handler())
    root.setLevel(_logging.INFO)


def _checked(level: str) -> str:
    if level not in LEVELS:
        raise ValueError(f"log level {level!r} does not exist; must be one of: {', '.join(LEVELS)}")
    return level


@contextlib.contextmanager
def attached(handler: Handler) -> Iterator[None]:
    """Lets the `logging` module write to the host for a while: in tests, where the root's handlers are the test's."""
    root = _logging.getLogger()
    if any(isinstance(other, Handler) for other in root.handlers):
        yield
        return
    before = root.level
    root.addHandler(handler)
    root.setLevel(min(before, _logging.INFO) if before else _logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before)


def follow(is_kept: Callable[[str], bool]) -> None:
    """Lets the `logging` module make only the lines that the host keeps."""
    lowest = next((level for level in LEVELS if is_kept(level)), "error")
    numbers = {"trace": 1, "debug": _logging.DEBUG, "info": _logging.INFO, "warn": _logging.WARNING, "error": _logging.ERROR}
    _logging.getLogger().setLevel(numbers[lowest])
