"""Fixtures in pytest: what `weir test` compares is compared here."""

import json
from pathlib import Path
from typing import Any

import pytest
import weir
import weir.testing


def check(*, size: int) -> None:
    if size < 1:
        raise weir.Reject("`size` must be 1 or more")


def handle(doc: dict[str, Any], *, size: int) -> Any:
    raise weir.Busy("wait", delay=2)


DESCRIPTOR = {"schema": 1, "consumers": ["input"], "producers": ["output"], "parameters": [{"name": "size", "type": "integer", "default": "1"}]}


def run(folder: Path, fixture: dict[str, Any], kit: weir.testing.Kit | None = None) -> None:
    path = folder / "fixture.json"
    path.write_text(json.dumps(fixture), "utf-8")
    weir.testing.run_fixture(kit or weir.testing.Kit(DESCRIPTOR, handle, check), path)


def test_the_delay_of_a_failure_is_compared_where_it_is_given(tmp_path: Path) -> None:
    def message(failure: dict[str, Any]) -> dict[str, Any]:
        return {"messages": [{"message": {"json": {}}, "expected": {"failure": failure}}]}

    run(tmp_path, message({"verdict": "busy"}))
    run(tmp_path, message({"verdict": "busy", "reason": "wait", "delay-ms": 2000}))
    with pytest.raises(AssertionError, match="delay-ms"):
        run(tmp_path, message({"verdict": "busy", "delay-ms": 1000}))


def test_what_the_setup_refuses_is_compared(tmp_path: Path) -> None:
    run(tmp_path, {"parameters": {"size": 0}, "setup-failure": "`size` must be 1 or more"})
    with pytest.raises(AssertionError, match="the setup failed with"):
        run(tmp_path, {"parameters": {"size": 1}, "setup-failure": "no"})


def test_outputs_beside_those_of_the_descriptor_are_given_to_one_that_leaves_them_open(tmp_path: Path) -> None:
    def route(doc: dict[str, Any]) -> None:
        weir.send(doc["to"], doc)

    def kit(producer: str) -> weir.testing.Kit:
        return weir.testing.Kit({"schema": 1, "consumers": ["input"], "producers": [producer]}, route)

    message = {"message": {"json": {"to": "bills"}}, "expected": {"outputs": {"bills": [{"json": {"to": "bills"}}]}}}
    run(tmp_path, {"outputs": ["bills"], "messages": [message]}, kit("*"))
    with pytest.raises(AssertionError, match="message 1: bills has 0 messages, not 1"):
        run(tmp_path, {"messages": [message]}, kit("*"))
    with pytest.raises(ValueError, match="output `bills` cannot be added: the descriptor has no producer `\\*`"):
        run(tmp_path, {"outputs": ["bills"], "messages": [message]}, kit("output"))


def test_what_a_kit_cannot_do_is_an_error_and_not_left_out(tmp_path: Path) -> None:
    step = {"message": {"json": {}}, "expected": {"failure": {"verdict": "busy"}}}
    with pytest.raises(ValueError, match="fixture.json: `limits` has no effect in a test kit, .* run this fixture by `weir test`"):
        run(tmp_path, {"limits": {"time": "50 ms"}, "messages": [step]})
    with pytest.raises(ValueError, match="message 1: `expected` is missing: `weir test --update` writes it"):
        run(tmp_path, {"messages": [{"message": {"json": {}}}]})
    with pytest.raises(ValueError, match="`messages` is empty"):
        run(tmp_path, {})
    with pytest.raises(ValueError, match="fixture.json has the unknown key `mesages`"):
        run(tmp_path, {"mesages": [step]})


def test_a_message_without_a_content_type_has_the_usual_one_of_its_content(tmp_path: Path) -> None:
    def seen(message: weir.Message) -> Any:
        return {"type": message.content_type, "text": message.text()}

    kit = weir.testing.Kit({"schema": 1, "consumers": ["input"], "producers": ["output"]}, seen)
    (tmp_path / "data").mkdir()
    for name in ("a.json", "a.md", "a.bin"):
        (tmp_path / "data" / name).write_text("1", "utf-8")

    def step(message: dict[str, Any], content_type: str | None) -> dict[str, Any]:
        return {"message": message, "expected": {"outputs": {"output": [{"json": {"type": content_type, "text": "1"}}]}}}

    files = [step({"file": f"data/a.{ending}"}, of) for ending, of in [("json", None), ("md", "text/plain"), ("bin", "application/octet-stream")]]
    others = [step({"json": 1}, None), step({"text": "1"}, "text/plain"), step({"base64": "MQ=="}, "application/octet-stream")]
    run(tmp_path, {"messages": files + others}, kit)
