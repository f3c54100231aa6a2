"""weir.toml and descriptors, read as a host reads them, and strictly: unknown keys are errors."""

from __future__ import annotations

import json
import math
import tomllib
from pathlib import Path
from typing import Any

from weir.testing._limits import shown

_KEYS: dict[str, dict[str, type]] = {
    "": {
        "$schema": str, "schema": int, "name": str, "version": str, "description": str, "consumers": list, "producers": list,
        "requests": list, "parameters": list, "config-types": list, "grants": list, "concurrency": int, "limits": dict,
    },
    "consumers": {"name": str, "description": str, "concurrency": int, "order-by": str, "reply": str},
    "producers": {"name": str, "description": str, "optional": bool},
    "requests": {"name": str, "request": str, "response": str, "timeout-ms": int, "description": str},
    "parameters": {"name": str, "type": str, "default": str, "required": bool, "enum": list, "description": str},
    "config-types": {"name": str, "description": str},
}
_PLAIN_NAMES = ("consumers", "producers", "parameters", "config-types")
_REQUIRED = {"requests": ("name", "request", "response")}
_PARAMETER_TYPES = ("string", "integer", "number", "boolean", "json")
#: Keys of weir.toml that a descriptor does not have.
_OF_THE_PROJECT = ("language", "source")


class Malformed(ValueError):
    """A descriptor or weir.toml that a host would reject."""


def of_project(folder: Path) -> tuple[dict[str, Any], str]:
    """The descriptor of a project, from its weir.toml or descriptor.json, and its source.

    Raises:
        Malformed: It cannot be read.
    """
    manifest = folder / "weir.toml"
    if not manifest.exists():
        return parse((folder / "descriptor.json").read_text("utf-8")), "processor.py"
    try:
        document = tomllib.loads(manifest.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise Malformed(f"{manifest}: {error}") from None
    source = document.get("source", "processor.py")
    return checked(_as_descriptor(document)), source


def _as_descriptor(document: dict[str, Any]) -> dict[str, Any]:
    descriptor = {"schema": 1, **{key: value for key, value in document.items() if key not in _OF_THE_PROJECT}}
    parameters = descriptor.get("parameters", [])
    if isinstance(parameters, list):
        descriptor["parameters"] = [_with_text_default(parameter) for parameter in parameters]
    return descriptor


def _with_text_default(parameter: Any) -> Any:
    """weir.toml has defaults as values, a descriptor has them as text."""
    if not isinstance(parameter, dict) or not isinstance(parameter.get("default", ""), (bool, int, float, list, dict)):
        return parameter
    default = parameter["default"]
    return {**parameter, "default": default if isinstance(default, str) else json.dumps(default)}


def parse(text: str) -> dict[str, Any]:
    """Reads and checks a descriptor.

    Raises:
        Malformed: It is invalid; the error names the field.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise Malformed(f"the descriptor does not match the schema weir:descriptor/1: {error}") from None
    return checked(document)


def checked(document: Any) -> dict[str, Any]:
    """Checks a descriptor, and makes objects of plain names.

    Raises:
        Malformed: It is invalid; the error names the field.
    """
    fields = _object(document, "")
    if "schema" not in fields:
        raise Malformed("the descriptor does not match the schema weir:descriptor/1: missing field `schema`")
    if fields["schema"] != 1:
        raise Malformed(f"field `schema` of the descriptor is {fields['schema']}; this Weir supports 1")
    whole = dict(fields)
    for key in _KEYS:
        if key:
            whole[key] = [_item(item, key) for item in fields.get(key, [])]
            _check_names(key, [item["name"] for item in whole[key]])
    _check_topics(whole)
    for parameter in whole["parameters"]:
        _check_parameter(parameter)
    return whole


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Malformed(f"{what or 'the descriptor'} is not an object")
    known = _KEYS[what]
    for key, inner in value.items():
        if key not in known:
            raise Malformed(f"the descriptor does not match the schema weir:descriptor/1: unknown field `{key}`, expected one of {', '.join(known)}")
        kind = known[key]
        if not isinstance(inner, kind) or (kind is int and isinstance(inner, bool)):
            raise Malformed(f"field `{f'{what}.{key}' if what else key}` of the descriptor: {shown(str(inner))} is not of type {kind.__name__}")
    return value


def _item(item: Any, key: str) -> dict[str, Any]:
    if isinstance(item, str) and key in _PLAIN_NAMES:
        return {"name": item}
    fields = _object(item, key)
    for required in _REQUIRED.get(key, ("name",)):
        if required not in fields:
            raise Malformed(f"the descriptor does not match the schema weir:descriptor/1: missing field `{required}` of `{key}`")
    return fields


def _check_names(key: str, names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if not name or any(not character.isprintable() and not character.isspace() for character in name):
            raise _fault(key, "contains an empty name or one with control characters")
        if name in seen:
            raise _fault(key, f"names `{name}` twice")
        seen.add(name)


def _check_topics(whole: dict[str, Any]) -> None:
    producers = {producer["name"] for producer in whole["producers"]}
    for consumer in whole["consumers"]:
        name, reply = consumer["name"], consumer.get("reply")
        if reply is not None and reply not in producers:
            raise _fault(f"consumers.{name}.reply", f"`{reply}` is not among the producers")
        if name in producers:
            raise _fault(f"consumers.{name}", "is also among the producers: a topic must be one or the other")


def _check_parameter(parameter: dict[str, Any]) -> None:
    declared = parameter.get("type", "string")
    if declared not in _PARAMETER_TYPES:
        raise _fault(f"parameters.{parameter['name']}.type", f"`{shown(declared)}` is not one of {', '.join(_PARAMETER_TYPES)}")
    if "default" in parameter:
        problem = value_fault(parameter, parameter["default"])
        if problem is not None:
            raise _fault(f"parameters.{parameter['name']}.default", problem)


def _fault(field: str, problem: str) -> Malformed:
    return Malformed(f"field `{field}` of the descriptor: {problem}")


def value_fault(parameter: dict[str, Any], value: str) -> str | None:
    """What is wrong with a parameter's value, by the declared type and choices."""
    fits, wanted = _FITS[parameter.get("type", "string")]
    if not fits(value):
        return f"`{shown(value)}` is not {wanted}"
    choices = parameter.get("enum", [])
    return f"`{shown(value)}` is not one of {', '.join(choices)}" if choices and value not in choices else None


def _is_whole(value: str) -> bool:
    digits = value[1:] if value[:1] in "+-" else value
    return digits.isascii() and digits.isdigit() and -(1 << 63) <= int(value) < 1 << 63


def _is_number(value: str) -> bool:
    try:
        return value == value.strip() and "_" not in value and math.isfinite(float(value))
    except ValueError:
        return False


def _is_json(value: str) -> bool:
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        return False
    return True


_FITS: dict[str, Any] = {
    "string": (lambda value: True, "text"),
    "integer": (_is_whole, "a whole number"),
    "number": (_is_number, "a number"),
    "boolean": (lambda value: value in ("true", "false"), "true or false"),
    "json": (_is_json, "JSON"),
}
