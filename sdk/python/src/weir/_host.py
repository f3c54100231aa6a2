"""The calls of a host, and the current host: the real one in a component, a fake one in a test, none while modules load."""

from __future__ import annotations

from typing import Any, Protocol

from weir._message import Message


class Host(Protocol):
    """The interfaces of the contract, in the SDK's own types. A call that fails raises `CallError`."""

    #: What the SDK keeps for this instance between messages, such as configuration that was parsed.
    kept: dict[Any, Any]

    def processor(self) -> str: ...
    def flow(self) -> str: ...
    def variant(self) -> str: ...
    def deployment(self) -> str: ...
    def parameters(self) -> dict[str, str]: ...
    def outputs(self) -> list[str]: ...
    def message_id(self) -> str: ...
    def attempt(self) -> int: ...
    def remaining_ms(self) -> int: ...

    def send(self, to: str, message: Message) -> None: ...
    def reply(self, message: Message, is_last: bool) -> None: ...
    def request(self, to: str, message: Message, timeout_ms: int | None) -> list[Message]: ...
    def begin_request(self, to: str, message: Message, timeout_ms: int | None) -> int: ...
    def next_reply(self, call: int) -> Message | None: ...

    def config_get(self, config_type: str, key: str) -> str | None: ...
    def config_keys(self, config_type: str) -> list[str]: ...
    def config_version(self, config_type: str) -> int: ...

    def log_enabled(self, level: str) -> bool: ...
    def log_write(self, level: str, message: str, fields: list[tuple[str, str]]) -> None: ...


#: Why there is no host, for the author who calls it all the same.
OUTSIDE = (
    "no host is available outside a handler or setup: in a test, call the handler with `weir.testing.kit().handle(...)`, and do not call "
    "Weir at the top level of a module, which runs when the component is built"
)

_current: Host | None = None


def host() -> Host:
    """The host.

    Raises:
        RuntimeError: There is none here.
    """
    if _current is None:
        raise RuntimeError(OUTSIDE)
    return _current


def current() -> Host | None:
    """The host, if there is one."""
    return _current


def enter(host: Host | None) -> Host | None:
    """Makes this the host, and returns the one before it."""
    global _current
    before, _current = _current, host
    return before
