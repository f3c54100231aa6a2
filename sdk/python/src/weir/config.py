"""Configuration of the types that weir.toml declares (`config-types`). All reads while handling one message see one consistent state.

By convention a value is JSON. It is parsed once, and again only when something of its type has changed; every message then gets the
same object, so do not change it:

    @weir.processor
    def price(article: str):
        found = weir.config.get("price", article)
        if found is None:
            raise weir.Reject(f"article `{article}` has no price: store one in config type `price`")
        return found["cents"]

`parse` is called once with the parsed JSON, to convert it further, for example to patterns:

    rules = weir.config.all("route", parse=lambda rule: re.compile(rule["pattern"]))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from weir import _json
from weir._failure import Reject, Retry
from weir._host import Host, host

_ALL = object()


def get(config_type: str, key: str, default: Any = None, *, parse: Callable[[Any], Any] | None = None) -> Any:
    """The value of a key, parsed as JSON; `default` if there is none.

    Raises:
        Retry: It cannot be parsed; names the type and the key.
    """
    here = host()
    kept = _kept(here, config_type, parse)
    if key not in kept:
        text = here.config_get(config_type, key)
        if text is None:
            return default
        kept[key] = _parse(config_type, key, text, parse)
    return kept[key]


def all(config_type: str, *, parse: Callable[[Any], Any] | None = None) -> dict[str, Any]:
    """All values of a type by key, each parsed as JSON, in the order of the keys.

    Raises:
        Retry: One of them cannot be parsed; names the type and the key.
    """
    here = host()
    kept = _kept(here, config_type, parse)
    if _ALL not in kept:
        texts = [(key, here.config_get(config_type, key) or "") for key in here.config_keys(config_type)]
        kept[_ALL] = {key: _parse(config_type, key, text, parse) for key, text in texts}
    values: dict[str, Any] = kept[_ALL]
    return values


def text(config_type: str, key: str) -> str | None:
    """The unparsed value of a key; `None` if it does not exist."""
    return host().config_get(config_type, key)


def keys(config_type: str) -> list[str]:
    """All keys of a type, sorted."""
    return host().config_keys(config_type)


def version(config_type: str) -> int:
    """The version of the configuration in which this type last changed: while it is unchanged, so are all values of the type. 0 for a type
    without any value so far."""
    return host().config_version(config_type)


def _kept(here: Host, config_type: str, parse: Callable[[Any], Any] | None) -> dict[Any, Any]:
    """What was parsed of this version of a type. A function that is made for each message, such as a lambda, is known by its code, unless
    it closes over something that may differ."""
    version = here.config_version(config_type)
    slot = ("config", config_type, getattr(parse, "__code__", parse))
    function = parse if getattr(parse, "__closure__", None) or getattr(parse, "__defaults__", None) else None
    known = here.kept.get(slot)
    if known is None or known[0] != version or known[1] is not function:
        known = here.kept[slot] = (version, function, {})
    values: dict[Any, Any] = known[2]
    return values


def _parse(config_type: str, key: str, text: str, parse: Callable[[Any], Any] | None) -> Any:
    what = f"the value of config type `{config_type}`, key `{key}`,"
    try:
        value = _json.read(text.encode(), what)
    except Reject as fault:
        # Not the fault of the message that is being handled.
        raise Retry(f"{fault.reason}: correct the value in the configuration") from None
    if parse is None:
        return value
    try:
        return parse(value)
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
        raise Retry(f"{what} does not have the expected form: {problem}: correct the value in the configuration") from error
