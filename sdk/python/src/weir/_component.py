"""The component: the host's calls, by the modules that componentize-py makes of the contract, and the classes that it exports.

Only the entry module of a build imports this (see `weir.build`): elsewhere there is no `wit_world`.
"""

from __future__ import annotations

import importlib
import json
import linecache
import sys
import traceback
from collections.abc import Callable
from typing import Any

from componentize_py_types import Err  # type: ignore[import-not-found]
from wit_world.imports import config as wit_config  # type: ignore[import-not-found]
from wit_world.imports import context as wit_context
from wit_world.imports import delivery, messaging
from wit_world.imports import log as wit_log

from weir import _faults, _host, _late_imports, _registry, log
from weir._descriptor import Descriptor
from weir._failure import CallError
from weir._message import Message
from weir._processor import Processor, Unfit

_KINDS = {kind: kind.name.lower() for kind in messaging.ErrorKind}
_VERDICTS = {verdict.name.lower(): verdict for verdict in delivery.Verdict}
_LEVELS = {level.name.lower(): level for level in wit_log.Level}

_message = delivery.Message
_send = messaging.send


def _call_error(error: Err) -> CallError:
    return CallError(_KINDS[error.value.kind], error.value.reason)


class _Host:
    """The real host."""

    def __init__(self) -> None:
        self.kept: dict[Any, Any] = {}
        self._parameters: dict[str, str] | None = None

    processor = staticmethod(wit_context.processor)
    flow = staticmethod(wit_context.flow)
    variant = staticmethod(wit_context.variant)
    deployment = staticmethod(wit_context.deployment)
    outputs = staticmethod(wit_context.outputs)
    message_id = staticmethod(wit_context.message_id)
    attempt = staticmethod(wit_context.attempt)
    remaining_ms = staticmethod(wit_context.remaining_ms)
    config_get = staticmethod(wit_config.get)
    config_keys = staticmethod(wit_config.keys)
    config_version = staticmethod(wit_config.version)

    def parameters(self) -> dict[str, str]:
        if self._parameters is None:
            self._parameters = dict(wit_context.parameters())
        return self._parameters

    def send(self, to: str, message: Message) -> None:
        try:
            _send(to, _message(message.body, message.content_type, list(message.properties.items())))
        except Err as error:
            raise _call_error(error) from None

    def reply(self, message: Message, is_last: bool) -> None:
        try:
            messaging.reply(_outgoing(message), messaging.Part.LAST if is_last else messaging.Part.MORE)
        except Err as error:
            raise _call_error(error) from None

    def request(self, to: str, message: Message, timeout_ms: int | None) -> list[Message]:
        try:
            return [_incoming(part) for part in messaging.request(to, _outgoing(message), timeout_ms)]
        except Err as error:
            raise _call_error(error) from None

    def begin_request(self, to: str, message: Message, timeout_ms: int | None) -> int:
        try:
            call: int = messaging.begin_request(to, _outgoing(message), timeout_ms)
        except Err as error:
            raise _call_error(error) from None
        return call

    def next_reply(self, call: int) -> Message | None:
        try:
            part = messaging.next_reply(call)
        except Err as error:
            raise _call_error(error) from None
        return None if part is None else _incoming(part)

    def log_enabled(self, level: str) -> bool:
        kept: bool = wit_log.enabled(_LEVELS[level])
        return kept

    def log_write(self, level: str, message: str, fields: list[tuple[str, str]]) -> None:
        clean = [(_faults.sendable(name), _faults.sendable(value)) for name, value in fields]
        wit_log.write(_LEVELS[level], _faults.sendable(message), clean)


def _outgoing(message: Message) -> Any:
    return _message(message.body, message.content_type, list(message.properties.items()))


def _incoming(part: Any) -> Message:
    return Message(part.body, part.content_type, dict(part.properties))


#: What `weir.build` looks for in the output of a build that failed.
FAULT_MARK = "weir: the processor cannot be built: "


def component(*, module: str, source: str, descriptor: str, files: dict[str, str], late_imports: list[str]) -> tuple[type, type]:
    """Loads the author's module, which is when the component is built, and makes the classes that it exports: `Handler` and `Setup`.

    `files` are the author's sources by the path that they have here, for tracebacks. `late_imports` are imports inside of functions.
    """
    for path, text in files.items():
        # Without a time the entry is never compared with the file, which is not there later.
        linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)
    log.install()
    processor = _loaded(module, descriptor)
    _late_imports.load(late_imports)
    host = _Host()
    began = False

    def begin() -> None:
        nonlocal began
        began = True
        _late_imports.explain(source)
        _host.enter(host)
        log.follow(host.log_enabled)

    class Handler:
        def handle(self, input: str, message: Any) -> None:
            if not began:
                begin()
            failed = processor.handle(input, message)
            if failed is not None:
                raise Err(delivery.Failure(_VERDICTS[failed.verdict], failed.reason, failed.delay_ms))

    class Setup:
        def configure(self, changed: list[str]) -> None:
            if not began:
                begin()
            refusal = processor.configure(changed)
            if refusal is not None:
                raise Err(refusal)

    return Handler, Setup


def _loaded(module: str, descriptor: str) -> Processor:
    try:
        importlib.import_module(module)
        own = _in_component(_registry.handlers), _in_component(_registry.setups)
        return Processor(*own, Descriptor.of(json.loads(descriptor)))
    except Unfit as unfit:
        faults = unfit.faults
    except BaseException as error:  # noqa: BLE001 - sys.exit, too, is the author's
        faults = [_load_fault(error)]
    for fault in faults:
        print(FAULT_MARK + json.dumps(fault), file=sys.stderr)
    raise RuntimeError("the processor cannot be built")


def _in_component(registered: list[_registry.Registered]) -> list[_registry.Registered]:
    everything: Callable[[Any], bool] = lambda function: True  # noqa: E731
    return _registry.of(registered, everything)


def _load_fault(error: BaseException) -> str:
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return f"the module cannot be loaded: {_faults.described(error)}"
    place, (_, _, trace) = _faults.place(error), _faults.described(error).partition("\n")
    package = error.name.split(".")[0]
    fix = "a component does not have this part of the standard library"
    if package not in sys.stdlib_module_names:
        fix = "name its package in requirements.txt; it must be pure Python"
    return f"there is no module `{error.name}`{place}: {fix}\n{trace}"
