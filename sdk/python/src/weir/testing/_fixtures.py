"""Fixtures: messages with their expected results, in JSON. `weir test` runs the same files against the component in a real host."""

from __future__ import annotations

import base64
import json
from collections import deque
from pathlib import Path
from typing import Any

from weir._failure import CallError, ErrorKind, Failure, milliseconds
from weir._message import Message
from weir.testing._answer import Answer
from weir.testing._handled import Handled
from weir.testing._kit import Kit

_FILE = {"$schema", "description", "parameters", "config", "answers", "setup-failure", "messages"}
_STEP = {"input", "message", "attempt", "expected"}
_EXPECTED = {"outputs", "replies", "requests", "failure", "log"}
_BODIES = ("json", "text", "base64", "file")
_MESSAGE = {*_BODIES, "content-type", "properties"}


def run_fixture(kit: Kit, path: str | Path) -> None:
    """Passes the messages of a fixture to a new kit, in order, and compares the results.

        @pytest.mark.parametrize("path", sorted(Path(__file__).parent.glob("*.json")), ids=lambda path: path.stem)
        def test_fixture(path):
            weir.testing.run_fixture(weir.testing.kit(), path)

    Raises:
        AssertionError: The result of a message differs from the expected one.
        ValueError: The file is not a fixture.
    """
    path = Path(path)
    fixture = json.loads(path.read_text("utf-8"))
    _known(fixture, _FILE, path.name)
    for name, value in fixture.get("parameters", {}).items():
        kit.parameter(name, value)
    for config_type, values in fixture.get("config", {}).items():
        for key, value in values.items():
            kit.config(config_type, key, json.dumps(value))
    for request, answers in fixture.get("answers", {}).items():
        kit.answer(request, _in_order(request, [_answer(answer, path) for answer in answers]))
    refusal = fixture.get("setup-failure")
    if refusal is not None and (said := kit.configure()) != refusal:
        raise AssertionError(f"{path.name}: the setup failed with {_shown(said)}, not {_shown(refusal)}")
    for index, step in enumerate(fixture.get("messages", [])):
        _known(step, _STEP, f"{path.name}, message {index}")
        chosen = step["input"] if "input" in step else _only_input(kit, f"{path.name}, message {index}")
        handled = kit.attempt(step.get("attempt", 1)).handle(chosen, _message(step["message"], path))
        _compare(handled, step.get("expected", {}), path, f"{path.name}, message {index}")


def _only_input(kit: Kit, what: str) -> str:
    if len(kit.inputs) != 1:
        raise ValueError(f"{what}: `input` is missing; must be one of: {', '.join(kit.inputs)}")
    return kit.inputs[0]


def _known(document: Any, keys: set[str], what: str) -> None:
    if not isinstance(document, dict):
        raise ValueError(f"{what} is not an object")
    unknown = sorted(document.keys() - keys)
    if unknown:
        raise ValueError(f"{what} has the unknown key `{unknown[0]}`; must be one of: {', '.join(sorted(keys))}")


def _message(document: Any, path: Path) -> Message:
    bodies = [key for key in _BODIES if key in document]
    if len(bodies) != 1:
        raise ValueError(f"a message of {path.name} must have exactly one of {', '.join(_BODIES)}")
    _known(document, _MESSAGE, f"a message of {path.name}")
    value, content_type = document[bodies[0]], document.get("content-type")
    if bodies[0] == "json":
        return Message(Message.from_json(value).body, content_type, dict(document.get("properties", {})))
    if bodies[0] == "text":
        return Message(value.encode(), content_type or "text/plain; charset=utf-8", dict(document.get("properties", {})))
    body = base64.b64decode(value) if bodies[0] == "base64" else (path.parent / value).read_bytes()
    return Message(body, content_type, dict(document.get("properties", {})))


def _answer(document: Any, path: Path) -> Answer:
    parts = [_message(part, path) for part in document.get("parts", [])]
    error = document.get("error")
    return Answer(parts, None if error is None else CallError(ErrorKind(error), document.get("reason", f"the test answers with {error}")))


def _in_order(request: str, answers: list[Answer]) -> Any:
    left = deque(answers)

    def service(_: Message) -> Answer:
        if not left:
            raise AssertionError(f"the handler sends more requests to `{request}` than the {len(answers)} answers in the fixture")
        return left.popleft()

    return service


def _failed(failure: Failure, wanted: dict[str, Any] | None) -> dict[str, Any]:
    """The failure, with the fields that the fixture compares in addition to the verdict."""
    found = {"verdict": str(failure.verdict), "reason": failure.reason, "delay-ms": milliseconds(failure.delay, "delay")}
    compared = {"verdict", "reason"} if wanted is None else {"verdict", *wanted}
    return {key: value for key, value in found.items() if key in compared}


def _compare(handled: Handled, expected: dict[str, Any], path: Path, what: str) -> None:
    _known(expected, _EXPECTED, f"{what}, expected")
    found: dict[str, Any] = {}
    failure = handled.failure
    wanted: dict[str, Any] = {"failure": expected.get("failure")}
    found["failure"] = None if failure is None else _failed(failure, wanted["failure"])
    found["outputs"], wanted["outputs"] = {}, {}
    for sent in handled.sent:
        found["outputs"].setdefault(sent.to, []).append(sent.message)
    for output, messages in expected.get("outputs", {}).items():
        if messages:
            wanted["outputs"][output] = messages
    _equal_lists(found.pop("outputs"), wanted.pop("outputs"), path, what)
    if found != wanted:
        raise AssertionError(f"{what}: {_shown(found)} is not {_shown(wanted)}") from handled.exception
    if "replies" in expected:
        _equal_lists({"the answer": handled._replies}, {"the answer": expected["replies"]}, path, what)
    if "requests" in expected:
        asked = [f"{sent.to}" for sent in handled.requests]
        names = [request["to"] for request in expected["requests"]]
        if asked != names:
            raise AssertionError(f"{what}: the requests were to {asked}, not {names}")
        bare = [{key: value for key, value in request.items() if key != "to"} for request in expected["requests"]]
        _equal_lists({"requests": [sent.message for sent in handled.requests]}, {"requests": bare}, path, what)
    if "log" in expected:
        lines = [{"level": line.level, "text": line.message} for line in handled.log]
        if lines != expected["log"]:
            raise AssertionError(f"{what}: the log is {_shown(lines)}, not {_shown(expected['log'])}")


def _equal_lists(found: dict[str, list[Message]], wanted: dict[str, list[Any]], path: Path, what: str) -> None:
    for name in sorted(found.keys() | wanted.keys()):
        messages, documents = found.get(name, []), wanted.get(name, [])
        for index, (message, document) in enumerate(zip(messages, documents, strict=False)):
            differing = _difference(message, document, path)
            if differing:
                raise AssertionError(f"{what}: message {index} of {name} is {differing}")
        if len(messages) != len(documents):
            raise AssertionError(f"{what}: {name} has {len(messages)} messages, not {len(documents)}: {_bodies(messages)}")


def _difference(message: Message, document: Any, path: Path) -> str | None:
    wanted = _message(document, path)
    if "json" in document:
        value = message.json()
        if value != document["json"]:
            return f"{_shown(value)}, not {_shown(document['json'])}"
    elif message.body != wanted.body:
        return f"{message.body[:1000]!r}, not {wanted.body[:1000]!r}"
    if "content-type" in document and message.content_type != document["content-type"]:
        return f"of the type {message.content_type}, not {document['content-type']}"
    if "properties" in document and message.properties != document["properties"]:
        return f"one with the properties {message.properties}, not {document['properties']}"
    return None


def _bodies(messages: list[Message]) -> str:
    return ", ".join(message.body[:200].decode("utf-8", "backslashreplace") for message in messages)


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:2000]
