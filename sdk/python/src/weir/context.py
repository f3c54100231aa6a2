"""Where this instance runs and what it is working on. Only `remaining` changes while a message is handled.

    if weir.context.remaining() < 1:
        raise weir.Retry(f"out of time in attempt {weir.attempt()}")
"""

from __future__ import annotations

from weir._host import host


def processor() -> str:
    """The processor's name in the flow."""
    return host().processor()


def flow() -> str:
    """The id of the flow; empty if several flows share the entry or another flow service wrote it."""
    return host().flow()


def variant() -> str:
    """The variant of the processor that this instance serves: the key of its entry, usually the flow's id or blueprint."""
    return host().variant()


def deployment() -> str:
    """The running deployment, as `NAME@VERSION`."""
    return host().deployment()


def parameter(name: str) -> str | None:
    """A parameter's value in this flow, as a string: as set in the flow, otherwise the default in weir.toml, otherwise `None`. Handlers receive them
    typed, as keyword-only parameters."""
    return host().parameters().get(name)


def parameters() -> dict[str, str]:
    """All parameters, by name, as strings."""
    return dict(host().parameters())


def outputs() -> list[str]:
    """The outputs that this flow gives a topic, by name. Useful only if weir.toml leaves them open (`*`)."""
    return host().outputs()


def message_id() -> str:
    """The id of the message that is being handled: the same in every attempt and redelivery, so it can serve as an idempotency key.
    Empty in setup."""
    return host().message_id()


def attempt() -> int:
    """Which attempt this is, from 1; may start again at 1 after a crash of the host. 0 in setup."""
    return host().attempt()


def remaining() -> float:
    """The seconds left for this message, including waiting for replies; also 0 when the host is stopping. At 0 the host may end the call
    at any moment."""
    return host().remaining_ms() / 1000


def input_name() -> str:
    """The name of the input that the message came from, as in weir.toml; empty in setup."""
    name: str = host().kept.get("input", "")
    return name
