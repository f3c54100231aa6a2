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


def run(folder: Path, fixture: dict[str, Any]) -> None:
    path = folder / "fixture.json"
    path.write_text(json.dumps(fixture), "utf-8")
    weir.testing.run_fixture(weir.testing.Kit(DESCRIPTOR, handle, check), path)


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
