"""What becomes of exceptions."""

import sys
from datetime import timedelta
from typing import Any

import pytest
import weir
from weir import _faults
from weir.testing import Handled, Kit, Trap

DESCRIPTOR: dict[str, Any] = {"schema": 1, "consumers": ["input"], "producers": ["output"], "config-types": ["prompt"]}


def handled(handler: Any) -> Handled:
    return Kit(DESCRIPTOR, handler).handle("input", None)


def test_the_three_verdicts() -> None:
    def verdict(failure: weir.Failure) -> tuple[str, str, float | None]:
        def handle() -> None:
            weir.send("output", 1)
            raise failure

        result = handled(handle)
        assert result.failure is not None and result.exception is failure and result.sent == []
        return (result.failure.verdict, result.failure.reason, result.failure.delay)

    assert verdict(weir.Retry("later", delay=1.5)) == ("retry", "later", 1.5)
    assert verdict(weir.Busy("rate limit", delay=timedelta(minutes=1))) == ("busy", "rate limit", 60)
    assert verdict(weir.Reject("never")) == ("reject", "never", None)
    assert verdict(weir.Retry(ValueError("why"))) == ("retry", "why", None)
    assert verdict(weir.Busy("for ever", delay=1e12)) == ("busy", "for ever", 4294967.295)


def test_a_delay_must_be_a_time() -> None:
    with pytest.raises(TypeError, match="`delay` is '5'"):
        weir.Retry("x", delay="5")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not negative"):
        weir.Busy("x", delay=-1)
    with pytest.raises(TypeError):
        weir.Reject("x", delay=1)  # type: ignore[call-arg]


def test_any_exception_is_a_retry_with_the_authors_line_first() -> None:
    def inner(doc: dict[str, Any]) -> Any:
        return doc["text"]

    def handle() -> Any:
        return inner({})

    failure = handled(handle).failure
    assert failure is not None and failure.verdict is weir.Verdict.RETRY
    first, *rest = failure.reason.split("\n")
    assert first.startswith("KeyError: 'text' (") and first.endswith(" in inner: return doc[\"text\"])")
    assert "test_failing.py line" in first
    assert rest[0] == "Traceback (most recent call last):" and rest[-1] == "KeyError: 'text'"
    assert not any("weir/_processor.py" in line for line in rest), "frames of the SDK are of no use"
    assert any("in handle" in line for line in rest)


def test_what_ends_a_process_elsewhere_only_fails_the_message() -> None:
    def leave() -> None:
        sys.exit(3)

    def recurse() -> None:
        recurse()

    def exhaust() -> None:
        raise MemoryError

    kits = [Kit(DESCRIPTOR, handler) for handler in (leave, recurse, exhaust)]
    reasons = []
    for kit in kits:
        for _ in range(2):
            failure = kit.handle("input", None).failure
            assert failure is not None and failure.verdict is weir.Verdict.RETRY
        reasons.append(failure.reason.split("\n")[0])
    assert reasons[0].startswith("the handler ended the process (sys.exit(3)): return, or raise weir.Retry or weir.Reject (")
    assert reasons[1].startswith("RecursionError: maximum recursion depth exceeded")
    assert reasons[2].startswith("MemoryError: out of memory: set a higher limit in weir.toml")


def test_causes_are_told_too() -> None:
    def handle() -> None:
        try:
            int("x")
        except ValueError as error:
            raise RuntimeError("no number") from error

    failure = handled(handle).failure
    assert failure is not None and "invalid literal" in failure.reason and "direct cause" in failure.reason


def test_a_reason_is_bounded_and_can_be_sent() -> None:
    def handle() -> None:
        raise ValueError("\ud800" + "x" * 100_000)

    failure = handled(handle).failure
    assert failure is not None and len(failure.reason) < 8 << 10
    failure.reason.encode()


def test_a_call_that_can_never_work_is_a_reject_in_the_words_of_the_host() -> None:
    def handle() -> None:
        weir.send("outptu", 1)

    failure = handled(handle).failure
    assert failure is not None and failure.verdict is weir.Verdict.REJECT
    assert failure.reason.startswith("output `outptu` does not exist; must be one of: output (")
    assert 'weir.send("outptu", 1))' in failure.reason


def test_a_test_that_looks_at_what_did_not_leave_sees_why() -> None:
    def handle() -> None:
        raise ValueError("broken")

    with pytest.raises(AssertionError, match="nothing left for `output`, since the handler failed: retry: ValueError: broken") as caught:
        handled(handle).json("output")
    assert isinstance(caught.value.__cause__, ValueError)


def test_an_undeclared_config_type_is_a_trap() -> None:
    def handle() -> None:
        weir.config.get("secrets", "a")

    kit = Kit(DESCRIPTOR, handle)
    with pytest.raises(Trap, match="config type `secrets` is not declared: add it to `config-types` of the descriptor \\(declared: prompt"):
        kit.handle("input", None)
    with pytest.raises(RuntimeError, match="create another kit"):
        kit.handle("input", None)


def test_an_exception_whose_text_fails_is_told_all_the_same() -> None:
    class Spiteful(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    assert "Spiteful" in _faults.failed(Spiteful()).reason
