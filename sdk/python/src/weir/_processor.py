"""A processor: its handlers and setup, checked against its descriptor, and how they are called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from weir import _faults, _host, _signature
from weir._descriptor import Descriptor, names
from weir._faults import Failed
from weir._outcome import settle
from weir._registry import Registered
from weir._signature import Signature


class Unfit(Exception):
    """The code and weir.toml do not match. The message lists all faults."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@dataclass(frozen=True, eq=False)
class _Handler:
    function: Callable[..., Any]
    signature: Signature


class Processor:
    """Handles messages, both in a component and in the test kit."""

    def __init__(self, handlers: list[Registered], setups: list[Registered], descriptor: Descriptor) -> None:
        """Checks the functions.

        Raises:
            Unfit: They do not fit the descriptor.
        """
        self.descriptor = descriptor
        self._requests = frozenset(name for name, is_request in descriptor.inputs.items() if is_request)
        faults: list[str] = []
        self._by_input = self._assign(handlers, faults)
        self._setup: _Handler | None = None
        if len(setups) > 1:
            faults.append(f"{len(setups)} functions have `@weir.setup` ({_functions(setups)}): keep one")
        for registered in setups[:1]:
            signature, found = _signature.of_setup(registered.function, descriptor)
            faults += found
            self._setup = _Handler(registered.function, signature)
        if faults:
            raise Unfit(faults)

    def _assign(self, handlers: list[Registered], faults: list[str]) -> dict[str, _Handler]:
        by_input: dict[str, _Handler] = {}
        for_all: _Handler | None = None
        inputs = self.descriptor.inputs
        if not handlers:
            faults.append("no function has the decorator `@weir.processor`: put it above the function that handles messages")
        general = [registered for registered in handlers if not registered.inputs]
        if len(general) > 1:
            faults.append(
                f"{len(general)} handlers are for all inputs ({_functions(general)}): name their inputs, as in "
                '`@weir.processor("control")`, or remove the decorator from all but one'
            )
        for registered in handlers:
            signature, found = _signature.of_handler(registered.function, self.descriptor)
            faults += found
            handler = _Handler(registered.function, signature)
            for_all = for_all if registered.inputs else handler
            for name in registered.inputs:
                if name not in inputs:
                    faults.append(f"`{registered.function.__name__}` handles the input `{name}`, but the inputs in weir.toml are {names(inputs)}")
                elif name in by_input:
                    faults.append(f"input `{name}` has two handlers: `{by_input[name].function.__name__}` and `{registered.function.__name__}`")
                by_input[name] = handler
        missing = [name for name in inputs if name not in by_input]
        if for_all is not None:
            by_input.update(dict.fromkeys(missing, for_all))
        elif handlers and missing:
            faults.append(f"the input `{missing[0]}` has no handler: add one with `@weir.processor(\"{missing[0]}\")`, or remove the input")
        return by_input

    def handle(self, input: str, raw: Any) -> Failed | None:
        """Handles a message from the host; exceptions become failures."""
        here = _host.host()
        try:
            handler = self._by_input[input]
            kept = here.kept
            parameters = kept.get(handler)
            if parameters is None:
                parameters = kept[handler] = handler.signature.parameters()
            kept["input"] = input
            reads = handler.signature.reads
            if reads is None:
                value = handler.function(**parameters)
            else:
                value = handler.function(reads(raw), **parameters)
            if value is not None:
                settle(here, value, input in self._requests)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the instance stays good
            kept_error = error
        else:
            return None
        finally:
            here.kept.pop("input", None)
        self.raised(kept_error)
        return _faults.failed(kept_error)

    def configure(self, changed: list[str]) -> str | None:
        """Reads the parameters and calls the setup; returns the reason if the instance cannot work."""
        here = _host.host()
        try:
            for handler in self._by_input.values():
                if handler not in here.kept:
                    here.kept[handler] = handler.signature.parameters()
            if self._setup is not None:
                signature = self._setup.signature
                arguments = [] if signature.reads is None else [signature.reads(changed)]
                self._setup.function(*arguments, **signature.parameters())
        except BaseException as error:  # noqa: BLE001
            kept_error = error
        else:
            return None
        self.raised(kept_error)
        return _faults.refusal(kept_error)

    def raised(self, error: BaseException) -> None:
        """Called with each exception before it becomes a failure; for tests."""


def _functions(registered: list[Registered]) -> str:
    return ", ".join(f"`{one.function.__name__}`" for one in registered)
