"""Converts any exception to a failure that shows the author's lines."""

from __future__ import annotations

import importlib
import os
import re
import sys
import traceback
from dataclasses import dataclass

from weir._failure import CallError, ErrorKind, Failure, Verdict, milliseconds

#: The folder of the SDK, whose frames are of no use to an author.
_SDK = os.path.dirname(os.path.abspath(__file__)) + os.sep
_IMPORTING = os.path.dirname(importlib.__file__) + os.sep
#: A letter keeps 8 KiB of a reason.
_MAX_CHARACTERS = 6_000
_MAX_FRAMES = 24


@dataclass(frozen=True)
class Failed:
    """A failure, as the contract has it."""

    verdict: Verdict
    reason: str
    delay_ms: int | None = None


def failed(error: BaseException) -> Failed:
    """The failure of a message whose handler raised this."""
    if isinstance(error, Failure):
        return Failed(error.verdict, sendable(error.reason), milliseconds(error.delay, "delay"))
    if isinstance(error, CallError):
        verdict = Verdict.REJECT if error.kind is ErrorKind.INVALID else Verdict.RETRY
        return Failed(verdict, sendable(error.reason + place(error)))
    try:
        return Failed(Verdict.RETRY, described(error))
    except BaseException:  # noqa: BLE001 - out of memory or stack: say at least what it was
        return Failed(Verdict.RETRY, f"{type(error).__name__}, for which no traceback is available")


def refusal(error: BaseException) -> str:
    """The status of a setup that raised this."""
    return failed(error).reason if isinstance(error, (Failure, CallError)) else described(error)


def described(error: BaseException) -> str:
    """An exception in a line, and its traceback."""
    known = traceback.TracebackException.from_exception(error, compact=True)
    _trim(known)
    text = "".join(known.format()).rstrip()
    if len(text) > _MAX_CHARACTERS:
        half = _MAX_CHARACTERS // 2
        text = f"{text[:half]}\n  [...]\n{text[-half:]}"
    first = f"{_headline(error)}{place(error)}"
    _let_go(error)
    # Where all frames were the SDK's the first line says it all.
    return sendable(f"{first}\n{text}" if known.stack else first)


def sendable(text: str) -> str:
    """The text without what UTF-8 cannot carry."""
    return text.encode("utf-8", "backslashreplace").decode()


def _headline(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"the handler ended the process ({_exit(error)}): return, or raise weir.Retry or weir.Reject"
    if isinstance(error, SyntaxError) and error.filename:
        # Its position is reported with the line of the source.
        return f"{type(error).__name__}: {error.msg}"
    if isinstance(error, MemoryError):
        return "MemoryError: out of memory: set a higher limit in weir.toml (`[limits]`, `memory`), or use less memory"
    text = str(error).strip().split("\n")[0][:500]
    name = type(error).__name__
    return f"{name}: {text}" if text else name


def _exit(error: SystemExit) -> str:
    return f"sys.exit({error.code!r})" if error.code is not None else "sys.exit()"


def place(error: BaseException) -> str:
    """The last line of the author's that the exception passed, in parentheses."""
    if isinstance(error, SyntaxError) and error.filename:
        text = f": {error.text.strip()[:120]}" if error.text else ""
        return f" ({shown_path(error.filename)} line {error.lineno}{text})"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_sdk(frame.filename)]
    own = [frame for frame in frames if _is_own(frame.filename)] or frames
    if not own:
        return ""
    frame = own[-1]
    line = f": {frame.line[:120]}" if frame.line else ""
    return f" ({shown_path(frame.filename)} line {frame.lineno} in {frame.name}{line})"


def _trim(known: traceback.TracebackException) -> None:
    chain: list[traceback.TracebackException | None] = [known]
    while chain:
        link = chain.pop()
        if link is None:
            continue
        frames = [frame for frame in link.stack if not _is_sdk(frame.filename)]
        if getattr(link, "filename", None):
            link.filename = shown_path(link.filename)
        if len(frames) > _MAX_FRAMES:
            frames = frames[: _MAX_FRAMES // 2] + frames[-_MAX_FRAMES // 2 :]
        for frame in frames:
            frame.filename = shown_path(frame.filename)
        link.stack = traceback.StackSummary.from_list(frames)
        chain += [link.__cause__, link.__context__]


def _is_sdk(path: str) -> bool:
    """Whether a file is the SDK's, or of what Python does for every import."""
    return path.startswith((_SDK, _IMPORTING, "<frozen importlib"))


def _is_own(path: str) -> bool:
    """Whether a file is the author's: not the standard library's, not a package's."""
    return not path.startswith(("/python/", "/bundled/", "<frozen ")) and "site-packages" not in path


#: Folders of projects, in tests.
roots: set[str] = set()


def shown_path(path: str) -> str:
    """The path as an author knows it, from the project's folder: in a component folders are mounted as `/0`, `/1`."""
    for root in roots:
        if path.startswith(root):
            return path[len(root) :]
    is_mounted = sys.platform == "wasi" or not os.path.exists(path)
    return re.sub(r"^/\d+/", "", path) if is_mounted else path


def _let_go(error: BaseException) -> None:
    """Frees what the frames of the exception hold: it may be most of the memory."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        if link.__traceback__ is not None:
            traceback.clear_frames(link.__traceback__)
        link = link.__cause__ or link.__context__

