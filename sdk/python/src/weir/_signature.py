"""A handler's signature: how the message is read, and which parameters it takes."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from weir import _json
from weir._descriptor import Descriptor, names
from weir._failure import Reject, Retry
from weir._host import host
from weir._message import Message
from weir._parameter import BY_DECLARED_TYPE, Read, Unsupported, allows_none, reader

_NONE = inspect.Parameter.empty


@dataclass(frozen=True)
class Wanted:
    """A parameter of the processor that a function takes."""

    keyword: str
    name: str
    read: Read
    default: Any


@dataclass(frozen=True)
class Signature:
    """A function's signature. `reads` makes the first argument of a message; `None` if the function takes none."""

    reads: Callable[[Any], Any] | None
    wanted: tuple[Wanted, ...]

    def parameters(self) -> dict[str, Any]:
        """The values of the parameters in this flow, by keyword.

        Raises:
            Retry: One is missing, or cannot be read.
        """
        given = host().parameters()
        return {wanted.keyword: _value(wanted, given) for wanted in self.wanted}


def _value(wanted: Wanted, given: dict[str, str]) -> Any:
    text = given.get(wanted.name)
    if text is not None:
        return wanted.read(text)
    if wanted.default is _NONE:
        raise Retry(f"parameter `{wanted.name}` is missing: set it in the flow, or give it a default in weir.toml")
    return wanted.default


def of_handler(function: Callable[..., Any], descriptor: Descriptor | None) -> tuple[Signature, list[str]]:
    """The signature of a handler, and what is wrong with it."""
    positional, wanted, faults = _parts(function, descriptor)
    shown = getattr(function, "__name__", repr(function))
    if len(positional) > 1:
        faults.append(
            f"`{shown}` takes {len(positional)} positional parameters ({', '.join(name for name, _ in positional)}): the first is the "
            "message; put `*,` before the others if they are parameters of the processor"
        )
    reads: Callable[[Any], Any] | None = None
    if positional:
        name, annotation = positional[0]
        reads = _message_reader(annotation)
        if reads is None:
            faults.append(
                f"`{name}` of `{shown}` is annotated `{getattr(annotation, '__name__', annotation)}`; the message can be str, bytes, "
                "weir.Message, dict, list, or not annotated for any JSON"
            )
    return Signature(reads, tuple(wanted)), faults


def of_setup(function: Callable[..., Any], descriptor: Descriptor | None) -> tuple[Signature, list[str]]:
    """The signature of a setup, and what is wrong with it."""
    positional, wanted, faults = _parts(function, descriptor)
    if len(positional) > 1:
        faults.append(f"`{function.__name__}` takes {len(positional)} positional parameters: a setup takes the changed config types at most")
    return Signature((lambda changed: changed) if positional else None, tuple(wanted)), faults


def _parts(function: Callable[..., Any], descriptor: Descriptor | None) -> tuple[list[tuple[str, Any]], list[Wanted], list[str]]:
    hints, faults = _hints(function)
    positional, wanted = [], []
    for parameter in inspect.signature(function).parameters.values():
        annotation = hints.get(parameter.name, _NONE)
        if parameter.kind is parameter.KEYWORD_ONLY:
            made, fault = _wanted(function.__name__, parameter, annotation, descriptor)
            wanted += made
            faults += fault
        elif parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            faults.append(f"`{function.__name__}` takes `{parameter}`: name each parameter of the processor after `*,`")
        else:
            positional.append((parameter.name, annotation))
    return positional, wanted, faults


def _hints(function: Callable[..., Any]) -> tuple[dict[str, Any], list[str]]:
    try:
        return typing.get_type_hints(function, include_extras=True), []
    except Exception as error:
        return {}, [f"the annotations of `{function.__name__}` cannot be read: {error}"]


def _wanted(
    function: str, parameter: inspect.Parameter, annotation: Any, descriptor: Descriptor | None
) -> tuple[list[Wanted], list[str]]:
    keyword = parameter.name
    name = _declared_name(keyword, descriptor)
    if name is None:
        assert descriptor is not None
        declared = names(descriptor.parameters)
        return [], [f"`{function}` takes the parameter `{keyword}`, which weir.toml does not declare; must be one of: {declared}"]
    default = parameter.default
    try:
        if annotation is _NONE:
            read = reader(name, str)
            if descriptor is not None:
                read = _checked_by_type(name, descriptor.parameters[name])
        else:
            read = reader(name, annotation)
            if default is _NONE and allows_none(annotation):
                default = None
    except Unsupported as fault:
        return [], [f"the parameter `{keyword}` of `{function}` {fault}"]
    return [Wanted(keyword, name, read, default)], []


def _checked_by_type(name: str, declared: str) -> Read:
    by_type: dict[str, Any] = {"string": str, "integer": int, "number": float, "boolean": bool}
    return reader(name, by_type[declared]) if declared in by_type else BY_DECLARED_TYPE[declared]


def _declared_name(keyword: str, descriptor: Descriptor | None) -> str | None:
    """`max_words` means `max_words` or `max-words`, `from_` for `from`."""
    plain = keyword.rstrip("_")
    spellings = (keyword, keyword.replace("_", "-"), plain, plain.replace("_", "-"))
    if descriptor is None:
        return keyword
    return next((spelling for spelling in spellings if spelling in descriptor.parameters), None)


def _message_reader(annotation: Any) -> Callable[[Any], Any] | None:
    """Converts a message from the host to the first argument; `None` for an unsupported annotation."""
    if annotation in (_NONE, Any, object):
        return lambda raw: _json.read_body(raw.body)
    if annotation is str:
        return lambda raw: _json.read_text(raw.body)
    if annotation is bytes:
        return lambda raw: raw.body
    if annotation is Message:
        return lambda raw: Message(raw.body, raw.content_type, dict(raw.properties))
    origin = typing.get_origin(annotation) or annotation
    if origin is typing.Annotated:
        return _message_reader(typing.get_args(annotation)[0])
    if origin in _JSON_TYPES:
        return _json_of(*_JSON_TYPES[origin])
    if typing.is_typeddict(annotation):
        return _json_of(*_JSON_TYPES[dict])
    if isinstance(origin, type):
        return None
    return lambda raw: _json.read_body(raw.body)


_JSON_TYPES: dict[Any, tuple[str, tuple[type, ...]]] = {
    dict: ("an object", (dict,)),
    list: ("an array", (list,)),
    int: ("an integer", (int,)),
    float: ("a number", (int, float)),
    bool: ("true or false", (bool,)),
}


def _json_of(wanted: str, kinds: tuple[type, ...]) -> Callable[[Any], Any]:
    def read(raw: Any) -> Any:
        value = _json.read_body(raw.body)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise Reject(f"the body does not have the expected form: it is {_json.kind_of(value)}, and must be {wanted}")
        return value

    return read
