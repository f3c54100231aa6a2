"""Fixtures: messages with their expected results, in JSON. `weir test` runs the same files against the component in a real host."""

from __future__ import annotations

import base64
import json
from collections import deque
from pathlib import Path
from typing import Any

from weir._failure import CallError, ErrorKind, milliseconds
from weir._message import Message
from weir.testing._answer import Answer
from weir.testing._handled import Handled, HandledFailure
from weir.testing._instance import Asked, Trap
from weir.testing._kit import Kit
from weir.testing._limits import MAX_MESSAGE_BYTES

_FILE = {"$schema", "description", "parameters", "config", "answers", "outputs", "limits", "setup-failure", "messages"}
_STEP = {"input", "message", "attempt", "expected"}
_EXPECTED = {"outputs", "replies", "requests", "failure", "log"}
_BODIES = ("json", "text", "base64", "file")
_MESSAGE = {*_BODIES, "content-type", "properties"}
_ANSWER = {"parts", "error", "reason"}
_FAILURE = {"verdict", "reason", "delay-ms"}
#: The content type of a file by its ending, of which others are bytes.
_ENDINGS = {".json": None, ".txt": "text/plain", ".md": "text/plain"}
_BYTES = "application/octet-stream"


def run_fixture(kit: Kit, path: str | Path) -> None:
    """Passes the messages of a fixture to a new kit, in order, and compares the results.

        @pytest.mark.parametrize("path", sorted(Path(__file__).parent.glob("*.json")), ids=lambda path: path.stem)
        def test_fixture(path):
            weir.testing.run_fixture(weir.testing.kit(), path)

    After a trap a kit takes no further message, while a host continues with a new instance.

    Raises:
        AssertionError: The result of a message differs from the expected one.
        ValueError: The file is not a fixture, or has `limits`: a kit limits neither memory nor time.
    """
    path = Path(path)
    fixture = json.loads(path.read_text("utf-8"))
    _known(fixture, _FILE, path.name)
    _prepare(kit, fixture, path)
    refusal = fixture.get("setup-failure")
    if refusal is not None:
        if (said := kit.configure()) != refusal:
            raise AssertionError(f"{path.name}: the setup failed with {_shown(said)}, not {_shown(refusal)}")
        return
    if not fixture.get("messages"):
        raise ValueError(f"{path.name}: `messages` is empty: add a message, or `setup-failure` with what the setup must refuse")
    for number, step in enumerate(fixture["messages"], 1):
        what = f"{path.name}, message {number}"
        _known(step, _STEP, what)
        if "expected" not in step:
            raise ValueError(f"{what}: `expected` is missing: `weir test --update` writes it")
        chosen = step["input"] if "input" in step else _only_input(kit, what)
        _compare(_handled(kit.attempt(step.get("attempt", 1)), chosen, _message(step["message"], path)), step["expected"], path, what)


def _prepare(kit: Kit, fixture: dict[str, Any], path: Path) -> None:
    """Gives the kit what the fixture says of its surroundings."""
    if "limits" in fixture:
        raise ValueError(
            f"{path.name}: `limits` has no effect in a test kit, which has neither a memory limit nor a clock: run this fixture by `weir test`"
        )
    for name, value in fixture.get("parameters", {}).items():
        kit.parameter(name, value)
    for config_type, values in fixture.get("config", {}).items():
        for key, value in values.items():
            kit.config(config_type, key, value)
    for output in fixture.get("outputs", []):
        kit.output(output)
    for request, answers in fixture.get("answers", {}).items():
        kit.answer(request, _in_order(kit, request, [_answer(answer, path) for answer in answers]))


def _handled(kit: Kit, input: str, message: Message) -> Handled:
    try:
        return kit.handle(input, message)
    except Trap as trap:
        failure = HandledFailure("trap", str(trap), None)  # type: ignore[arg-type]
        return Handled(failure, trap, [], False, [], [], [], [])


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
        return Message(value.encode(), content_type or "text/plain", dict(document.get("properties", {})))
    body = base64.b64decode(value) if bodies[0] == "base64" else (path.parent / value).read_bytes()
    usual = _BYTES if bodies[0] == "base64" else _ENDINGS.get(Path(value).suffix, _BYTES)
    return Message(body, content_type or usual, dict(document.get("properties", {})))


def _answer(document: Any, path: Path) -> list[Message] | dict[str, Any]:
    _known(document, _ANSWER, f"an answer of {path.name}")
    if "parts" in document:
        return [_message(part, path) for part in document["parts"]]
    ErrorKind(document.get("error"))
    found: dict[str, Any] = document
    return found


def _in_order(kit: Kit, request: str, answers: list[list[Message] | dict[str, Any]]) -> Any:
    left = deque(answers)

    def service(_: Message) -> Answer:
        if not left:
            raise AssertionError(f"the handler sends more requests to `{request}` than the {len(answers)} answers in the fixture")
        answer = left.popleft()
        return Answer(answer, None) if isinstance(answer, list) else Answer([], _error(request, kit.asked, answer))

    return service


def _error(request: str, asked: Asked, answer: dict[str, Any]) -> CallError:
    """An error of a request, in the words of a host."""
    kind = ErrorKind(answer["error"])
    reason = answer.get("reason", "the fixture says so")
    words = {
        ErrorKind.TIMEOUT: f"no answer from request:tg:{asked.topic}:test within {asked.timeout_ms} ms",
        ErrorKind.UNAVAILABLE: f"the broker is not available: {reason}",
        ErrorKind.FAILED: reason,
        ErrorKind.INVALID: f"the request `{request}` has {MAX_MESSAGE_BYTES + 1} bytes; the limit is {MAX_MESSAGE_BYTES}",
    }
    return CallError(kind, words[kind])


def _failed(failure: HandledFailure, wanted: dict[str, Any] | None) -> dict[str, Any]:
    """The failure, with the fields that the fixture compares in addition to the verdict."""
    reason = (wanted or {}).get("reason")
    if str(failure.verdict) == "trap" and reason is not None and reason in failure.reason:
        # Of a trap a part of the reason is enough.
        return dict(wanted or {})
    found = {"verdict": str(failure.verdict), "reason": failure.reason, "delay-ms": milliseconds(failure.delay, "delay")}
    compared = {"verdict", "reason"} if wanted is None else {"verdict", *wanted}
    return {key: value for key, value in found.items() if key in compared}


def _compare(handled: Handled, expected: dict[str, Any], path: Path, what: str) -> None:
    _known(expected, _EXPECTED, f"{what}, expected")
    _known(expected.get("failure") or {}, _FAILURE, f"{what}, expected.failure")
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
