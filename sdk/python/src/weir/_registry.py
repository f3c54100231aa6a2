"""The decorators, and what they found."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, overload

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Registered:
    """A function that was decorated; `inputs` is empty for a handler of all inputs."""

    function: Callable[..., Any]
    inputs: tuple[str, ...] = ()


#: In the order of decoration, of all modules of this process.
handlers: list[Registered] = []
setups: list[Registered] = []


@overload
def processor(function: F, /) -> F: ...
@overload
def processor(*inputs: str) -> Callable[[F], F]: ...


def processor(*arguments: Any) -> Any:
    """Makes a function the message handler: of all inputs, or, as `@weir.processor("control")`, of the named ones.

        @weir.processor
        def shout(doc, *, prefix: str, times: int = 1):
            return {"text": prefix + doc["text"].upper() * times}

    The first parameter is the message: its body parsed as JSON, or by its annotation `str` (text), `bytes`, `weir.Message` (with
    properties), or a JSON type such as `dict`, which rejects anything else. It is optional.

    Keyword-only parameters are the processor's parameters: `max_words: int` is the parameter `max-words` or `max_words` of weir.toml,
    converted once to the annotated type: `str`, `int`, `float`, `bool`, `list` or `dict` (JSON), an `Enum`, a `Literal`, or `None` for a
    parameter without a value.

    The return value is sent to the output named `output`; if the message is a request, it is the answer. A `str` is sent as text,
    `bytes` and a `weir.Message` unchanged, everything else as JSON; `None` sends nothing. A list, or a function that yields, sends
    several messages, or the parts of the answer. (A JSON array is `weir.Message.from_json([...])`.)
    """
    if len(arguments) == 1 and callable(arguments[0]):
        return _register(handlers, arguments[0], (), "processor")
    if not arguments or not all(isinstance(name, str) for name in arguments):
        raise TypeError('use `@weir.processor`, or `@weir.processor("NAME")` with the names of inputs')

    def decorate(function: F) -> F:
        return _register(handlers, function, arguments, "processor")

    return decorate


def setup(function: F, /) -> F:
    """Makes a function the setup: called on each new instance before its first message, and again when configuration has changed.

        @weir.setup
        def check(changed, *, shortest: int):
            if shortest < 1:
                raise ValueError("parameter `shortest` must be at least 1")

    It may take the list of config types that have changed (all of them the first time), and parameters as a handler does. If it raises on
    a new instance, the instance receives no messages, and the status shows why. Messages cannot be sent here.
    """
    return _register(setups, function, (), "setup")


def _register(registry: list[Registered], function: F, inputs: tuple[str, ...], decorator: str) -> F:
    if not callable(function):
        raise TypeError(f"`@weir.{decorator}` decorates a function, not {type(function).__name__}")
    name = getattr(function, "__name__", repr(function))
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(
            f"`{name}` is an `async def`: a {decorator} must be a plain function, since one message is handled at a time; use "
            "`weir.begin_request` to run several requests in parallel"
        )
    if inspect.isclass(function):
        raise TypeError(f"`@weir.{decorator}` decorates a function, and `{name}` is a class: decorate a function that uses it")
    registry.append(Registered(function, inputs))
    return function


def of(registry: list[Registered], is_of: Callable[[Callable[..., Any]], bool]) -> list[Registered]:
    """Those whose function is one of a project's. A module that was loaded twice counts once, with what it had last."""
    latest = {(registered.function.__module__, registered.function.__qualname__, registered.inputs): registered for registered in registry}
    return [registered for registered in latest.values() if is_of(registered.function)]
