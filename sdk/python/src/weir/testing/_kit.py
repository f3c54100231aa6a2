"""The kit: one instance of a processor, with the settings of a flow and a deployment."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from weir import _host, log
from weir._descriptor import Descriptor, names
from weir._faults import Failed
from weir._message import Message, message_of
from weir._processor import Processor
from weir._registry import Registered
from weir.testing import _descriptor
from weir.testing._handled import Handled, HandledFailure, LogLine
from weir.testing._instance import Asked, Call, Config, Instance, Trap, as_received
from weir.testing._limits import MAX_MESSAGE_BYTES, is_hosts_own

Functions = Callable[..., Any] | Mapping[str, Callable[..., Any]]


class Kit:
    """One instance of a processor under test, with the settings of a flow and a deployment. `weir.testing.kit()` creates it from a
    project, this constructor from functions: one handler for all inputs, or handlers by input.

        kit = Kit({"schema": 1, "consumers": ["input"], "producers": ["output"]}, lambda doc: doc["text"].upper())
        assert kit.handle("input", {"text": "hello"}).text() == ["HELLO"]

    Everything except parameters can be changed at any time; parameters never change in an instance.
    """

    def __init__(
        self, descriptor: str | dict[str, Any], handlers: Functions, setup: Callable[..., Any] | None = None
    ) -> None:
        """Makes a kit.

        Raises:
            Malformed: The descriptor is invalid.
            Unfit: The functions do not match it.
        """
        document = _descriptor.parse(descriptor) if isinstance(descriptor, str) else _descriptor.checked(descriptor)
        registered = (
            [Registered(handlers)]
            if callable(handlers)
            else [Registered(function, (name,)) for name, function in handlers.items()]
        )
        self._begin(document, registered, [Registered(setup)] if setup is not None else [])

    @classmethod
    def of(cls, document: dict[str, Any], handlers: list[Registered], setups: list[Registered]) -> Kit:
        """Creates a kit from decorated functions."""
        kit = cls.__new__(cls)
        kit._begin(document, handlers, setups)
        return kit

    def _begin(self, document: dict[str, Any], handlers: list[Registered], setups: list[Registered]) -> None:
        self._processor = Processor(handlers, setups, Descriptor.of(document))
        self._processor.raised = self._note_raised  # type: ignore[method-assign]
        self._instance = Instance(document)
        self._is_broken = False
        self._attempt = 1
        self._messages_count = 0
        self._config = Config()
        #: The version of the configuration that the instance was last set up with, or refused; `None` before it began.
        self._seen: int | None = None
        self._raised: BaseException | None = None

    def _note_raised(self, error: BaseException) -> None:
        if isinstance(error, Trap):
            self._is_broken = True
            raise error
        self._raised = error

    def parameter(self, name: str, value: Any) -> Kit:
        """Sets a parameter, as the flow does; others have the defaults of weir.toml. A value that is not a string is written as one.

        Raises:
            RuntimeError: After the first message: parameters never change in an instance.
        """
        if self._seen is not None:
            raise RuntimeError(f"parameter `{name}` cannot change in a running instance: create another kit")
        self._instance.given[name] = value if isinstance(value, str) else json.dumps(value)
        return self

    def config(self, config_type: str, key: str, value: Any) -> Kit:
        """Sets a value of the configuration: a string unchanged, everything else as JSON. The setup runs before the next message.

        Raises:
            ValueError: weir.toml does not declare the type.
        """
        self._check_config_type(config_type)
        self._config.put(config_type, key, value if isinstance(value, str) else json.dumps(value))
        return self

    def remove_config(self, config_type: str, key: str) -> Kit:
        """Removes a value from the configuration."""
        self._check_config_type(config_type)
        self._config.remove(config_type, key)
        return self

    def _check_config_type(self, config_type: str) -> None:
        declared = [named["name"] for named in self._instance.descriptor["config-types"]]
        if config_type not in declared:
            raise ValueError(
                f"config type `{config_type}` is not declared: add it to `config-types` of the descriptor (declared: {names(declared)})"
            )

    def answer(self, request: str, service: Any) -> Kit:
        """Answers the requests to a service: `service` is called with each `Message`, and returns a value or an `Answer`; or it is the
        answer itself. A service may hand the message to another kit.

        Raises:
            ValueError: weir.toml has no such request.
        """
        known = [declared["name"] for declared in self._instance.descriptor["requests"]]
        if request not in known:
            raise ValueError(f"request `{request}` does not exist; must be one of: {names(known)}")
        self._instance.services[request] = service if callable(service) else lambda _: service
        return self

    def attempt(self, attempt: int) -> Kit:
        """The number of the attempt for the next messages, from 1. An attempt above the first has the message id of the message before it."""
        self._attempt = max(attempt, 1)
        return self

    def time_left(self, seconds: float | timedelta) -> Kit:
        """The value of `weir.remaining()`; default 60 s. It does not advance."""
        self._instance.time_left = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
        return self

    def flow(self, flow: str) -> Kit:
        """The id of the flow, which is also the variant; default `test`."""
        self._instance.flow_id = flow
        return self

    def output(self, name: str) -> Kit:
        """Assigns a topic to an output if weir.toml leaves the outputs open with `*`."""
        if not any(producer["name"] == "*" for producer in self._instance.descriptor["producers"]):
            raise ValueError(f"output `{name}` cannot be added: the descriptor has no producer `*`")
        self._instance.topics[name] = True
        return self

    def without_output(self, name: str) -> Kit:
        """Removes the topic of an optional output: messages sent to it are dropped."""
        producers = self._instance.descriptor["producers"]
        if not any(producer["name"] == name and producer.get("optional") for producer in producers):
            raise ValueError(f"output `{name}` must have a topic in every flow: it is not among the producers as `optional = true`")
        self._instance.topics[name] = False
        return self

    def limit(self, name: str, value: int) -> Kit:
        """Sets a limit of the deployment: `sends-count` or `sends-bytes`, both for each message. The kit limits neither memory nor time."""
        if name not in ("sends-count", "sends-bytes"):
            raise ValueError(f"limit `{name}` does not exist in a test; must be one of: sends-count, sends-bytes")
        setattr(self._instance.limits, name.replace("-", "_"), value)
        return self

    def configure(self) -> str | None:
        """Does what a host does before the next message, and what `handle` otherwise does: checks the parameters of a new instance, and
        calls the setup. Returns the error in a host's status if the instance cannot work: a parameter is missing or invalid, or the
        setup failed."""
        if self._seen == self._config.version:
            return None
        is_new = self._seen is None
        instance = self._instance
        fault = instance.fit() if is_new else None
        if fault is not None:
            return fault
        old, instance.config = instance.config, self._config.copy()
        declared = [named["name"] for named in instance.descriptor["config-types"]]
        new = instance.config
        changed = [name for name in declared if is_new or old.versions.get(name) != new.versions.get(name)]
        lines = instance.call.log
        instance.call = Call(is_setup=True, log=lines)
        refusal = self._at_work(lambda: self._processor.configure(changed)) if is_new or changed else None
        if refusal is not None:
            # What the instance made of the old state and what it reads must not differ.
            instance.config = old
        if refusal is None or not is_new:
            self._seen = self._config.version
        return refusal

    @property
    def asked(self) -> Asked:
        """What a service was asked last."""
        return self._instance.asked

    @property
    def inputs(self) -> list[str]:
        """The names of the inputs (consumers) in weir.toml."""
        return [consumer["name"] for consumer in self._instance.descriptor["consumers"]]

    def handle(self, input: str, message: Any, *, properties: Mapping[str, str] | None = None) -> Handled:
        """Passes a message to an input of the processor: a `str` as text, `bytes` and a `Message` unchanged, everything else as JSON.
        A message of an input that has `reply` in weir.toml is a request. Reserved properties are removed, as in a host.

        If the setup rejects a change of the configuration, the instance continues as in a host, with its previous configuration, and the
        log of the message has the reason.

        Raises:
            RuntimeError: The processor failed to start.
            ValueError: weir.toml has no such input, or the message exceeds the size limit.
            Trap: Where a host would end the instance: the handler reads configuration of a type that is not declared.
        """
        received = _incoming(message_of(message, properties))
        if input not in self.inputs:
            raise ValueError(f"input `{input}` does not exist; must be one of: {names(self.inputs)}")
        if self._is_broken:
            raise RuntimeError("the instance was ended by a trap, so a host would not use it again: create another kit")
        call = self._next_call(input)
        raw = SimpleNamespace(
            body=received.body, content_type=received.content_type, properties=list(received.properties.items())
        )
        self._raised = None
        failed = self._at_work(lambda: self._processor.handle(input, raw))
        self._instance.call = Call()
        return Handled(
            failure=_shown(failed),
            exception=self._raised,
            sent=[] if failed else call.sent,
            is_answered=call.is_answered,
            requests=call.requests,
            log=call.log,
            _replies=call.replies,
            _outputs=list(self._instance.topics),
        )

    def _next_call(self, input: str) -> Call:
        is_new = self._seen is None
        refusal = self.configure()
        if refusal is not None and is_new:
            raise RuntimeError(f"the processor failed to start: {refusal}") from self._raised
        lines = self._instance.call.log
        if refusal is not None:
            lines.append(LogLine("warn", "component setup failed", {"error": refusal}))
        if self._attempt == 1 or self._messages_count == 0:
            self._messages_count += 1
        consumers = {consumer["name"]: consumer for consumer in self._instance.descriptor["consumers"]}
        call = Call(
            is_setup=False,
            message_id=f"{self._messages_count:032x}",
            attempt=self._attempt,
            is_request=bool(consumers[input].get("reply")),
            log=lines,
        )
        self._instance.call = call
        return call

    def _at_work(self, work: Callable[[], Any]) -> Any:
        """Lets the instance work. It may be at work for another one, as the service that it asks."""
        before = _host.enter(self._instance)
        handler = log.Handler()
        with log.attached(handler):
            try:
                return work()
            finally:
                _host.enter(before)


def _incoming(message: Message) -> Message:
    """A message of the test, as a host shows it to a component."""
    if len(message.body) > MAX_MESSAGE_BYTES:
        raise ValueError(f"the body has {len(message.body)} bytes; the limit is {MAX_MESSAGE_BYTES}: such a message never reaches a handler")
    received = as_received(message)
    received.properties = {name: value for name, value in received.properties.items() if not is_hosts_own(name)}
    return received


def _shown(failed: Failed | None) -> HandledFailure | None:
    if failed is None:
        return None
    return HandledFailure(failed.verdict, failed.reason, None if failed.delay_ms is None else failed.delay_ms / 1000)


__all__ = ["Kit"]
