"""Messages, and what can be made one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from weir import _json

TEXT_TYPE = "text/plain; charset=utf-8"
BYTES_TYPE = "application/octet-stream"


@dataclass(slots=True)
class Message:
    """One message: a body, its media type (`None` means `application/json`), and properties (headers) by name.

    A handler whose first parameter is annotated with it receives the unchanged message. All functions that send accept one:

        @weir.processor
        def forward(message: weir.Message):
            return message.with_properties(seen="yes")

    Properties reserved for the host (`weir-*`, `traceparent`, `tracestate`, `id`) are not visible in received messages, and
    sending them fails.
    """

    body: bytes
    content_type: str | None = None
    properties: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: Any, *, properties: Mapping[str, str] | None = None) -> Message:
        """A JSON message: needed to send a string, a list or `None` as JSON.

        Raises:
            TypeError, ValueError: The value cannot be written as JSON.
        """
        return cls(_json.write(value), None, dict(properties or {}))

    @classmethod
    def from_text(cls, text: str, *, content_type: str = TEXT_TYPE, properties: Mapping[str, str] | None = None) -> Message:
        """A message of text, in UTF-8."""
        return cls(text.encode(), content_type, dict(properties or {}))

    def json(self) -> Any:
        """The body, parsed as JSON.

        Raises:
            Reject: It is not JSON.
        """
        return _json.read_body(self.body)

    def text(self) -> str:
        """The body as text.

        Raises:
            Reject: It is not UTF-8.
        """
        return _json.read_text(self.body)

    def with_properties(self, **properties: str) -> Message:
        """The same message with properties added or replaced. For a name that is not a Python name: `with_properties(**{"a-b": "1"})`."""
        return replace(self, properties={**self.properties, **properties})


def message_of(value: Any, properties: Mapping[str, str] | None = None) -> Message:
    """Converts a value to a message: `str` is text, `bytes` are bytes, a `Message` is unchanged, everything else is JSON.

    Raises:
        TypeError, ValueError: The value cannot be written as JSON.
    """
    kind = type(value)
    if kind is dict or kind is list:
        message = Message(_json.write(value), None, {})
    elif isinstance(value, Message):
        message = checked(value)
    elif isinstance(value, str):
        message = Message(value.encode(), TEXT_TYPE, {})
    elif isinstance(value, (bytes, bytearray, memoryview)):
        message = Message(bytes(value), BYTES_TYPE, {})
    else:
        message = Message(_json.write(value), None, {})
    return with_checked_properties(message, properties) if properties else message


def checked(message: Message) -> Message:
    """The message, whose fields an author may have set to anything.

    Raises:
        TypeError: A field has another type than a message has.
    """
    body, content_type = message.body, message.content_type
    if type(body) is not bytes:
        if not isinstance(body, (bytes, bytearray, memoryview)):
            raise TypeError(f"the body of a Message is {_json.kind_of(body)}; it must be bytes: use Message.from_json or Message.from_text")
        message = replace(message, body=bytes(body))
    if content_type is not None and not isinstance(content_type, str):
        raise TypeError(f"the content_type of a Message is {_json.kind_of(content_type)}; it must be a str or None")
    if content_type is not None:
        _check_text("content_type", content_type)
    return with_checked_properties(replace(message, properties={}), message.properties) if message.properties else message


def with_checked_properties(message: Message, properties: Mapping[str, str]) -> Message:
    for name, value in properties.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"the property {name!r} of a message is {_json.kind_of(value)}; names and values must be str")
        _check_text(f"property {name!r}", name + value)
    return replace(message, properties={**message.properties, **properties})


def _check_text(what: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the {what} of a message contains half of a surrogate pair, which is not valid text") from None
