"""The fake host: one instance of a processor, with the host's checks in its order and its words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from weir._descriptor import names
from weir._failure import CallError, ErrorKind
from weir._message import Message
from weir.testing import _limits
from weir.testing._answer import Answer
from weir.testing._descriptor import value_fault
from weir.testing._handled import LogLine, Sent
from weir.testing._limits import MAX_ANSWER_BYTES, MAX_BEGUN_COUNT, MAX_MESSAGE_BYTES, Limits, shown

Service = Callable[[Message], Any]
#: How long an answer may take unless weir.toml says.
_A_MINUTE_MS = 60_000


def _invalid(reason: str) -> CallError:
    return CallError(ErrorKind.INVALID, reason)


class Trap(BaseException):
    """Where a host would end the instance: a bug that the author must see. No handler catches it by accident."""


@dataclass
class Call:
    """The call in progress."""

    is_setup: bool = True
    message_id: str = ""
    attempt: int = 0
    is_request: bool = False
    is_answered: bool = False
    sent: list[Sent] = field(default_factory=list)
    replies: list[Message] = field(default_factory=list)
    requests: list[Sent] = field(default_factory=list)
    log: list[LogLine] = field(default_factory=list)
    sends_count: int = 0
    sends_bytes: int = 0
    #: The requests of this call: `None` for one that ended with an error.
    begun: list[Answer | None] = field(default_factory=list)
    open_count: int = 0


@dataclass(frozen=True)
class Asked:
    """A request: what weir.toml calls its topic, and how long the answer may take."""

    topic: str
    timeout_ms: int

    @classmethod
    def of(cls, request: dict[str, Any], timeout_ms: int | None) -> Asked:
        return cls(request["request"], request.get("timeout-ms", _A_MINUTE_MS) if timeout_ms is None else timeout_ms)


@dataclass
class Config:
    """The configuration, with the version in which each type last changed."""

    version: int = 0
    versions: dict[str, int] = field(default_factory=dict)
    values: dict[str, dict[str, str]] = field(default_factory=dict)

    def put(self, config_type: str, key: str, value: str) -> None:
        if self.values.get(config_type, {}).get(key) != value:
            self.values.setdefault(config_type, {})[key] = value
            self._changed(config_type)

    def remove(self, config_type: str, key: str) -> None:
        if self.values.get(config_type, {}).pop(key, None) is not None:
            self._changed(config_type)

    def _changed(self, config_type: str) -> None:
        self.version += 1
        self.versions[config_type] = self.version

    def copy(self) -> Config:
        return Config(self.version, dict(self.versions), {name: dict(values) for name, values in self.values.items()})


class Instance:
    """One instance: the `Host` of the SDK."""

    def __init__(self, descriptor: dict[str, Any]) -> None:
        self.descriptor = descriptor
        self.kept: dict[Any, Any] = {}
        self.flow_id = "test"
        self.given: dict[str, str] = {}
        #: The outputs of the flow, and whether each has a topic.
        self.topics = {producer["name"]: True for producer in descriptor["producers"] if producer["name"] != "*"}
        self.config = Config()
        self.limits = Limits()
        self.time_left = 60.0
        self.services: dict[str, Service] = {}
        #: What the service at work was asked.
        self.asked = Asked("", 0)
        self.call = Call()

    def fit(self) -> str | None:
        """Checks the parameters, and adds the defaults; all faults at once."""
        faults = []
        for parameter in self.descriptor["parameters"]:
            name = parameter["name"]
            if name in self.given:
                problem = value_fault(parameter, self.given[name])
                if problem is not None:
                    faults.append(f"parameter `{name}`: {problem}")
            elif "default" in parameter:
                self.given[name] = parameter["default"]
            elif parameter.get("required"):
                faults.append(f"parameter `{name}` is required and not set: set it in the processor's `parameters`")
        return "; ".join(faults) or None

    def processor(self) -> str:
        name: str = self.descriptor.get("name", "processor")
        return name

    def flow(self) -> str:
        return self.flow_id

    def variant(self) -> str:
        return self.flow_id

    def deployment(self) -> str:
        return f"{self.processor()}@{self.descriptor.get('version', '0.0.0')}"

    def parameters(self) -> dict[str, str]:
        return dict(self.given)

    def outputs(self) -> list[str]:
        return [name for name, has_topic in self.topics.items() if has_topic]

    def message_id(self) -> str:
        return self.call.message_id

    def attempt(self) -> int:
        return self.call.attempt

    def remaining_ms(self) -> int:
        return int(self.time_left * 1000)

    def send(self, to: str, message: Message) -> None:
        self._in_handle()
        if to not in self.topics:
            raise _invalid(f"output `{shown(to)}` does not exist; must be one of: {names(self.topics)}")
        self._prepare(message, MAX_MESSAGE_BYTES)
        if self.topics[to]:
            self.call.sent.append(Sent(to, as_received(message)))

    def reply(self, message: Message, is_last: bool) -> None:
        self._in_handle()
        if self.call.is_answered:
            raise _invalid("the request was answered completely: nothing may follow the part marked `last`")
        if not self.call.is_request:
            raise _invalid("the current message is not a request: only an input with `reply` in the descriptor can be answered")
        self._prepare(message, MAX_ANSWER_BYTES)
        self.call.replies.append(as_received(message))
        self.call.is_answered = is_last

    def request(self, to: str, message: Message, timeout_ms: int | None) -> list[Message]:
        call = self.begin_request(to, message, timeout_ms)
        parts: list[Message] = []
        size_bytes = 0
        while (part := self.next_reply(call)) is not None:
            size_bytes += len(part.body)
            if size_bytes > MAX_MESSAGE_BYTES:
                raise _invalid(f"the answer has more than {MAX_MESSAGE_BYTES} bytes: read its parts one by one")
            parts.append(part)
        return parts

    def begin_request(self, to: str, message: Message, timeout_ms: int | None) -> int:
        self._in_handle()
        fault = _limits.properties_fault(message)
        if fault is not None:
            raise _invalid(fault)
        known = [request["name"] for request in self.descriptor["requests"]]
        if to not in known:
            raise _invalid(f"request `{shown(to)}` does not exist; must be one of: {names(known)}")
        if self.call.open_count >= MAX_BEGUN_COUNT:
            raise _invalid(f"{MAX_BEGUN_COUNT} requests are in flight, the maximum: read the answer of one first")
        self._count(len(message.body))
        fault = _limits.sizes_fault(message, MAX_MESSAGE_BYTES)
        if fault is not None:
            raise _invalid(fault)
        self.call.requests.append(Sent(to, as_received(message)))
        if to not in self.services:
            raise Trap(f"the handler sends a request to `{to}`, but the test has no answer: add `kit.answer(\"{to}\", ...)`")
        self.asked = Asked.of(self._request(to), timeout_ms)
        answer = Answer.of(self.services[to](as_received(message)))
        if not answer.parts and answer.error is not None and answer.error.kind in (ErrorKind.UNAVAILABLE, ErrorKind.INVALID):
            # What cannot be sent is reported at once, and not by the answer.
            raise CallError(answer.error.kind, answer.error.reason)
        self.call.begun.append(answer)
        self.call.open_count += 1
        return len(self.call.begun) - 1

    def _request(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = next(request for request in self.descriptor["requests"] if request["name"] == name)
        return found

    def next_reply(self, call: int) -> Message | None:
        self._in_handle()
        if not 0 <= call < len(self.call.begun):
            raise _invalid(f"request {call} does not exist: numbers are valid until `handle` returns")
        answer = self.call.begun[call]
        if answer is None:
            raise _invalid(f"request {call} ended with an error, which was already returned")
        if answer.parts:
            return answer.parts.pop(0)
        if answer.error is not None:
            self.call.begun[call] = None
            self.call.open_count -= 1
            raise CallError(answer.error.kind, answer.error.reason)
        self.call.open_count -= 1
        return None

    def config_get(self, config_type: str, key: str) -> str | None:
        self._check_declared(config_type)
        return self.config.values.get(config_type, {}).get(key)

    def config_keys(self, config_type: str) -> list[str]:
        self._check_declared(config_type)
        return sorted(self.config.values.get(config_type, {}))

    def config_version(self, config_type: str) -> int:
        self._check_declared(config_type)
        return self.config.versions.get(config_type, 0)

    def log_enabled(self, level: str) -> bool:
        return True

    def log_write(self, level: str, message: str, fields: list[tuple[str, str]]) -> None:
        self.call.log.append(LogLine(level, message, dict(fields)))

    def _in_handle(self) -> None:
        if self.call.is_setup:
            raise _invalid("messages can be sent only within `handle`")

    def _prepare(self, message: Message, body_limit: int) -> None:
        fault = _limits.properties_fault(message)
        if fault is not None:
            raise _invalid(fault)
        properties_bytes = sum(len(name.encode()) + len(value.encode()) for name, value in message.properties.items())
        self._count(len(message.body) + properties_bytes)
        fault = _limits.sizes_fault(message, body_limit)
        if fault is not None:
            raise _invalid(fault)

    def _count(self, size_bytes: int) -> None:
        call, limits = self.call, self.limits
        if call.sends_count >= limits.sends_count:
            raise _invalid(f"one call may send {limits.sends_count} messages (raise it: weir deploy --limit sends-count=N)")
        if call.sends_bytes + size_bytes > limits.sends_bytes:
            raise _invalid(f"one call may send {limits.sends_bytes} bytes in total (raise it: weir deploy --limit sends-bytes=N)")
        call.sends_count += 1
        call.sends_bytes += size_bytes

    def _check_declared(self, config_type: str) -> None:
        declared = [named["name"] for named in self.descriptor["config-types"]]
        if config_type not in declared:
            raise Trap(
                f"config type `{shown(config_type)}` is not declared: add it to `config-types` of the descriptor (declared: "
                f"{names(declared)})"
            )


def as_received(message: Message) -> Message:
    """A message as its receiver gets it: the media type of JSON is left out."""
    content_type = None if message.content_type == "application/json" else message.content_type
    return replace(message, content_type=content_type, properties=dict(message.properties))
