"""A processor's description (weir.toml), as far as the SDK uses it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Descriptor:
    """Names and types. `None` where nothing is known, so that nothing is checked."""

    #: The inputs, and whether each is one of requests.
    inputs: dict[str, bool] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    requests: tuple[str, ...] = ()
    config_types: tuple[str, ...] = ()
    #: The parameters, with their types.
    parameters: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, document: dict[str, Any]) -> Descriptor:
        """Reads a descriptor that was checked before."""
        consumers = [_named(consumer) for consumer in document.get("consumers", [])]
        parameters = [_named(parameter) for parameter in document.get("parameters", [])]
        return cls(
            inputs={consumer["name"]: bool(consumer.get("reply")) for consumer in consumers},
            outputs=tuple(_named(producer)["name"] for producer in document.get("producers", [])),
            requests=tuple(request["name"] for request in document.get("requests", [])),
            config_types=tuple(_named(named)["name"] for named in document.get("config-types", [])),
            parameters={parameter["name"]: parameter.get("type", "string") for parameter in parameters},
        )


def _named(item: Any) -> dict[str, Any]:
    return {"name": item} if isinstance(item, str) else item


def names(known: Any) -> str:
    """A list of names, for people."""
    return ", ".join(known) or "none"
