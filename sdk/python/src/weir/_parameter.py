"""Parameters: strings, converted to the annotated type."""

from __future__ import annotations

import enum
import json
import math
import types
import typing
from collections.abc import Callable
from typing import Any

from weir._failure import Retry

Read = Callable[[str], Any]


class Unsupported(Exception):
    """An annotation that a parameter cannot have."""


def reader(name: str, annotation: Any) -> Read:
    """What reads the value of a parameter. It raises `Retry`, since no message is at fault.

    Raises:
        Unsupported: A parameter cannot have this annotation.
    """
    read = _reader(annotation)

    def checked(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise Retry(f"parameter `{name}` has the value `{text[:80]}`, which {error}; correct it in the flow") from None

    return checked


def allows_none(annotation: Any) -> bool:
    return annotation is None or annotation is type(None) or (_is_union(annotation) and type(None) in typing.get_args(annotation))


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def _reader(annotation: Any) -> Read:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _reader(arguments[0])
    if annotation in _SIMPLE:
        return _SIMPLE[annotation]
    if origin is typing.Literal:
        return _one_of({str(choice): choice for choice in arguments})
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return _one_of({str(member.value): member for member in annotation})
    if origin in (list, dict, tuple) or annotation in (list, dict, tuple):
        return _json_of(origin or annotation)
    if _is_union(annotation):
        members = [member for member in arguments if member is not type(None)]
        if len(members) == 1:
            return _reader(members[0])
    raise Unsupported(
        f"is annotated `{getattr(annotation, '__name__', annotation)}`; it must be str, int, float, bool, list, dict, an Enum, a Literal, "
        "or one of them with `| None`"
    )


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("is not a whole number") from None


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError("is not a number") from None
    if not math.isfinite(number):
        raise ValueError("is not a finite number")
    return number


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("is not true or false")
    return text == "true"


def _any_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not JSON ({error})") from None


def _json_of(kind: type) -> Read:
    shown, wanted = ("an object", dict) if kind is dict else ("an array", list)

    def read(text: str) -> Any:
        value = _any_json(text)
        if not isinstance(value, wanted):
            raise ValueError(f"is not {shown} in JSON")
        return tuple(value) if kind is tuple else value

    return read


def _one_of(choices: dict[str, Any]) -> Read:
    def read(text: str) -> Any:
        if text not in choices:
            raise ValueError(f"is not one of {', '.join(choices)}")
        return choices[text]

    return read


_SIMPLE: dict[Any, Read] = {str: str, int: _whole, float: _number, bool: _boolean, Any: str, object: str}

#: What a parameter without an annotation is, by its type in weir.toml.
BY_DECLARED_TYPE: dict[str, Read] = {"string": str, "integer": _whole, "number": _number, "boolean": _boolean, "json": _any_json}
