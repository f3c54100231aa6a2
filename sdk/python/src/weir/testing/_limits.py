"""A host's limits on the messages of one call, with the host's errors."""

from __future__ import annotations

from dataclasses import dataclass

from weir._message import Message

#: The body of a message.
MAX_MESSAGE_BYTES = 4 << 20
#: The body of an answer, which goes to a `response` topic.
MAX_ANSWER_BYTES = 64 << 20
#: Requests of one call that have not ended.
MAX_BEGUN_COUNT = 64
_MAX_PROPERTIES_COUNT = 256
_MAX_PROPERTY_NAME_BYTES = 128
_MAX_PROPERTIES_BYTES = 32 << 10


@dataclass
class Limits:
    """The limits of a deployment that the kit applies."""

    sends_count: int = 1_000
    sends_bytes: int = 16 << 20


def is_hosts_own(name: str) -> bool:
    """Whether a property is the host's own: not shown to components and not settable by them."""
    return name.startswith("weir-") or name in ("id", "traceparent", "tracestate")


def shown(text: str, count: int = 80) -> str:
    """The beginning of a text that may be anything, fit for an error message."""
    return "".join(_escaped(character) for character in text[:count])


def _escaped(character: str) -> str:
    named = {"\t": "\\t", "\r": "\\r", "\n": "\\n", "'": "\\'", '"': '\\"', "\\": "\\\\"}
    if character in named:
        return named[character]
    return character if " " <= character <= "~" else f"\\u{{{ord(character):x}}}"


def properties_fault(message: Message) -> str | None:
    """What is wrong with the properties of a message that a component sends."""
    if len(message.properties) > _MAX_PROPERTIES_COUNT:
        return f"the message has {len(message.properties)} properties; the limit is {_MAX_PROPERTIES_COUNT}"
    own = next(filter(is_hosts_own, message.properties), None)
    return None if own is None else f"the property `{shown(own)}` is reserved for the host"


def sizes_fault(message: Message, body_limit: int) -> str | None:
    """What is too large in a message that a component sends; `body_limit` is that of the topic's class."""
    checks = [("the body of the message", len(message.body), body_limit)]
    total = len((message.content_type or "").encode())
    for name, value in message.properties.items():
        size = len(name.encode())
        checks.append((f"the property name `{shown(name, 32)}...`", size, _MAX_PROPERTY_NAME_BYTES))
        total += size + len(value.encode())
    checks.append(("the properties of the message", total, _MAX_PROPERTIES_BYTES))
    return next((f"{what} has {size} bytes; the limit is {limit}" for what, size, limit in checks if size > limit), None)
