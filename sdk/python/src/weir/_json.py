"""JSON, read and written with errors that locate the fault."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from weir._failure import Reject


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode


def _default(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    raise TypeError(f"{kind_of(value)} cannot be written as JSON")


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_default).encode


def write(value: Any) -> bytes:
    """Writes a value as JSON; dataclasses as objects.

    Raises:
        TypeError, ValueError: It cannot be written. Both name the place.
    """
    try:
        return _encode(value).encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair, which only the escaped form can carry.
        return json.dumps(value, allow_nan=False, separators=(",", ":"), default=_default).encode()
    except (TypeError, ValueError) as error:
        place = _unwritable(value)
        where = f" at `{place}`" if place else ""
        raise type(error)(f"the message cannot be written as JSON: {error}{where}") from None


def read_body(body: bytes) -> Any:
    """Parses the body of a message.

    Raises:
        Reject: It is not JSON.
    """
    return read(body, "the body")


def read(body: bytes, what: str) -> Any:
    """Parses JSON in UTF-8. `what` names it in errors.

    Raises:
        Reject: It is not JSON; the error contains the position.
    """
    try:
        return _decode(body.decode())
    except UnicodeDecodeError as error:
        raise Reject(f"{what} is not JSON in UTF-8: byte {error.start} is invalid") from None
    except json.JSONDecodeError as error:
        if not body.strip():
            raise Reject(f"{what} is empty where JSON is expected") from None
        raise Reject(f"{what} is not JSON: {error.msg} at line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise Reject(f"{what} is JSON that is nested too deeply to be read") from None
    except ValueError as error:
        raise Reject(f"{what} is not JSON: {error}") from None


def read_text(body: bytes, what: str = "the body") -> str:
    """Decodes UTF-8.

    Raises:
        Reject: It is not UTF-8; the error contains the position.
    """
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise Reject(f"{what} is not UTF-8 text: byte {error.start} is invalid") from None


_KINDS = {
    dict: "an object (dict)",
    list: "an array (list)",
    str: "a string",
    bool: "true or false",
    int: "an integer",
    float: "a number",
    type(None): "null (None)",
}


def kind_of(value: Any) -> str:
    """The type of a value, human-readable."""
    return _KINDS.get(type(value)) or f"a {type(value).__name__}"


def _unwritable(value: Any) -> str:
    """The path of the first part that JSON cannot hold, as `a.b[3]`; empty for the whole, or if there is none."""
    steps: list[tuple[Any, str, int]] = [(value, "", 0)]
    while steps:
        part, path, depth = steps.pop()
        if dataclasses.is_dataclass(part) and not isinstance(part, type):
            part = _default(part)
        if isinstance(part, dict):
            for key, inner in reversed(part.items()):
                if not isinstance(key, (str, int, float, bool, type(None))):
                    return f"{path}[{key!r}]"[:200]
                steps.append((inner, f"{path}.{key}" if path else str(key), depth + 1))
        elif isinstance(part, (list, tuple)):
            steps.extend((inner, f"{path}[{index}]", depth + 1) for index, inner in reversed(list(enumerate(part))))
        elif isinstance(part, float):
            if part != part or part in (float("inf"), float("-inf")):
                return path[:200]
        elif not isinstance(part, (str, int, type(None))):
            return path[:200]
        if depth > 1000:
            return ""
    return ""
