"""Sending, asking, answering, configuration, log."""

import logging
import re
from typing import Any

import pytest
import weir
from weir.testing import Answer, Handled, Kit

DESCRIPTOR: dict[str, Any] = {
    "schema": 1,
    "consumers": ["input", {"name": "ask", "reply": "answer"}],
    "producers": ["output", {"name": "rare", "optional": True}, "answer"],
    "requests": [
        {"name": "model", "request": "model-request", "response": "model-response"},
        {"name": "language", "request": "language-request", "response": "language-response"},
    ],
    "config-types": ["rule"],
}


def kit(handler: Any, setup: Any = None) -> Kit:
    return Kit(DESCRIPTOR, handler, setup)


def reason(handled: Handled) -> str:
    assert handled.failure is not None
    return handled.failure.reason


def test_messages_keep_their_order_and_properties() -> None:
    def handle() -> None:
        weir.send("output", {"a": 1}, properties={"kind": "first"})
        weir.send_all("output", ["x", b"y"])
        weir.send("rare", 1)

    handled = kit(handle).handle("input", None)
    assert [message.body for message in handled.outputs("output")] == [b'{"a":1}', b"x", b"y"]
    assert handled.outputs("output")[0].properties == {"kind": "first"}
    assert [sent.to for sent in handled.sent] == ["output", "output", "output", "rare"]
    assert kit(handle).without_output("rare").handle("input", None).outputs("rare") == []


def test_limits_are_those_of_a_host_in_its_words() -> None:
    def many(count: int) -> None:
        for _ in range(count):
            weir.send("output", b"")

    def large(size: int) -> None:
        weir.send("output", b"x" * size)

    def own() -> None:
        weir.send("output", 1, properties={"weir-id": "1"})

    assert kit(many).handle("input", 1000).failure is None
    assert reason(kit(many).handle("input", 1001)).startswith("one call may send 1000 messages (raise it: weir deploy --limit sends-count=N)")
    assert reason(kit(large).handle("input", (4 << 20) + 1)).startswith("the body of the message has 4194305 bytes; the limit is 4194304")
    assert reason(kit(large).limit("sends-bytes", 10).handle("input", 11)).startswith("one call may send 10 bytes in total (raise it: weir deploy --limit sends-bytes=N)")
    assert reason(kit(own).handle("input", None)).startswith("the property `weir-id` is reserved for the host")


def test_properties_that_are_no_text_are_refused() -> None:
    def number() -> None:
        weir.send("output", 1, properties={"size": 5})  # type: ignore[dict-item]

    def half() -> weir.Message:
        return weir.Message(b"", None, {"a": "\ud800"})

    def not_bytes() -> weir.Message:
        return weir.Message("text")  # type: ignore[arg-type]

    assert "the property 'size' of a message is an integer; names and values must be str" in reason(kit(number).handle("input", None))
    assert "half of a surrogate pair" in reason(kit(half).handle("input", None))
    assert "the body of a Message is a string; it must be bytes" in reason(kit(not_bytes).handle("input", None))


def test_a_request_returns_the_answer() -> None:
    def rate(text: str) -> Any:
        return {"score": weir.request("model", {"text": text}, timeout=5), "plain": weir.request("language", text, returns=str)}

    made = kit(rate).answer("model", lambda request: len(request.json()["text"])).answer("language", "de")
    handled = made.handle("input", "Guten Tag")
    assert handled.json() == [{"score": 9, "plain": "de"}]
    assert [(sent.to, sent.message.body) for sent in handled.requests] == [("model", b'{"text":"Guten Tag"}'), ("language", b"Guten Tag")]


def test_an_answer_in_parts_comes_part_by_part() -> None:
    def parts() -> Any:
        return [*weir.begin_request("model", 1), "then", *weir.request_parts("model", 1, returns=bytes)]

    def one() -> Any:
        return weir.request("model", 1)

    def broken() -> Any:
        for part in weir.begin_request("model", 1):
            weir.send("output", part)

    assert [m.body for m in kit(parts).answer("model", Answer.of_parts(1, 2)).handle("input", None).outputs()] == [
        b"1", b"2", b"then", b"1", b"2",
    ]  # fmt: skip
    assert "`model` answered in 2 parts instead of one" in reason(kit(one).answer("model", Answer.of_parts(1, 2)).handle("input", None))
    answer = Answer.of_error("failed", "the model was unloaded", after=[1])
    assert reason(kit(broken).answer("model", answer).handle("input", None)).startswith("the model was unloaded (")


def test_several_requests_are_under_way_at_once() -> None:
    def rate() -> Any:
        language, score = weir.begin_request("language", 1), weir.begin_request("model", 2)
        return {"language": language.read(), "score": score.read()}

    made = kit(rate).answer("language", lambda _: {"l": "de"}).answer("model", lambda _: 0.5)
    assert made.handle("input", None).json() == [{"language": {"l": "de"}, "score": 0.5}]


def test_more_than_64_requests_are_refused() -> None:
    def rate(count: int) -> None:
        for _ in range(count):
            weir.begin_request("model", 1)

    assert kit(rate).answer("model", 1).handle("input", 64).failure is None
    assert reason(kit(rate).answer("model", 1).handle("input", 65)).startswith("64 requests are in flight, the maximum")


def test_a_failed_request_can_be_caught_and_is_a_retry_otherwise() -> None:
    def tolerant() -> Any:
        try:
            return weir.request("model", 1)
        except weir.CallError as error:
            return {"kind": error.kind, "reason": error.reason}

    def strict() -> Any:
        return weir.request("model", 1)

    answer = Answer.of_error("timeout", "no reply within 5000 ms")
    assert kit(tolerant).answer("model", answer).handle("input", None).json() == [{"kind": "timeout", "reason": "no reply within 5000 ms"}]
    failure = kit(strict).answer("model", answer).handle("input", None).failure
    assert failure is not None and failure.verdict is weir.Verdict.RETRY and failure.reason.startswith("no reply within 5000 ms (")
    unreadable = kit(strict).answer("model", "no json").handle("input", None).failure
    assert unreadable is not None and unreadable.verdict is weir.Verdict.RETRY
    assert unreadable.reason.startswith("the answer of `model` is not JSON: Expecting value at line 1 column 1")


def test_wrong_arguments_are_told() -> None:
    def to_number() -> None:
        weir.send(5, 1)  # type: ignore[arg-type]

    def as_dict() -> None:
        weir.request("model", 1, returns=dict)

    def late() -> None:
        weir.request("model", 1, timeout="soon")  # type: ignore[arg-type]

    assert "`to` is 5; it must be the name of an output" in reason(kit(to_number).handle("input", None))
    assert "`returns` is <class 'dict'>; it must be str, bytes or weir.Message" in reason(kit(as_dict).handle("input", None))
    assert "`timeout` is 'soon'; it must be a number of seconds" in reason(kit(late).handle("input", None))


def test_replies_step_by_step() -> None:
    def steps() -> None:
        weir.reply_part({"n": 1})
        weir.reply("done")
        weir.send("output", 1)

    def twice() -> None:
        weir.reply(1)
        weir.reply(2)

    handled = kit(steps).handle("ask", None)
    assert [part.body for part in handled.replies()] == [b'{"n":1}', b"done"] and handled.json() == [1]
    assert reason(kit(twice).handle("ask", None)).startswith("the request was answered completely")
    assert reason(kit(steps).handle("input", None)).startswith("the current message is not a request")


def test_configuration_is_parsed_once_until_it_changes() -> None:
    parsed: list[Any] = []

    def pattern(rule: Any) -> re.Pattern[str]:
        parsed.append(rule)
        return re.compile(rule["pattern"])

    def tag(text: str) -> Any:
        rules = weir.config.all("rule", parse=pattern)
        return weir.Message.from_json([name for name, rule in rules.items() if rule.search(text)])

    made = kit(tag).config("rule", "bill", {"pattern": "invoice"})
    assert made.handle("input", "an invoice").json() == [["bill"]]
    assert made.handle("input", "a letter").json() == [[]]
    assert len(parsed) == 1
    made.config("rule", "letter", '{"pattern": "letter"}')
    assert made.handle("input", "a letter").json() == [["letter"]]
    assert len(parsed) == 3
    made.remove_config("rule", "letter")
    assert made.handle("input", "a letter").json() == [[]]


def test_one_value_of_the_configuration() -> None:
    def read() -> Any:
        first = weir.config.get("rule", "a")
        same = first is weir.config.get("rule", "a")
        return {"value": first, "same": same, "none": weir.config.get("rule", "b", 5), "text": weir.config.text("rule", "a"),
                "keys": weir.config.keys("rule"), "version": weir.config.version("rule")}  # fmt: skip

    assert kit(read).config("rule", "a", {"x": 1}).handle("input", None).json() == [
        {"value": {"x": 1}, "same": True, "none": 5, "text": '{"x": 1}', "keys": ["a"], "version": 1}
    ]
    failure = kit(read).config("rule", "a", "{").handle("input", None).failure
    assert failure is not None and failure.verdict is weir.Verdict.RETRY
    assert failure.reason.startswith("the value of config type `rule`, key `a`, is not JSON: ")
    assert failure.reason.endswith("correct the value in the configuration")


def test_setup_is_told_of_changes_and_can_refuse() -> None:
    told: list[list[str]] = []

    def check(changed: list[str]) -> None:
        told.append(changed)
        if weir.config.get("rule", "bad"):
            raise ValueError("rule `bad` cannot be used")

    def handle() -> Any:
        return {"bad": weir.config.get("rule", "bad")}

    made = kit(handle, check)
    made.handle("input", None)
    made.handle("input", None)
    assert told == [["rule"]]
    handled = made.config("rule", "bad", True).handle("input", None)
    assert handled.json() == [{"bad": None}], "the instance goes on with what it had"
    line = handled.log[0]
    assert (line.level, line.message) == ("warn", "component setup failed")
    assert line.fields["error"].startswith("ValueError: rule `bad` cannot be used")
    new = kit(handle, check).config("rule", "bad", True)
    assert str(new.configure()).startswith("ValueError: rule `bad` cannot be used")


def test_setup_cannot_send() -> None:
    def check() -> None:
        weir.send("output", 1)

    def handle() -> None: ...

    assert str(kit(handle, check).configure()).startswith("messages can be sent only within `handle`")


def test_both_logs_are_one() -> None:
    logger = logging.getLogger("lib")

    def handle() -> None:
        weir.log.warn("seen", words=3, message="x")
        logger.info("found %d", 5)
        logger.debug("not kept")
        try:
            raise ValueError("broken")
        except ValueError:
            logger.exception("failed")

    log = kit(handle).handle("input", None).log
    assert [(line.level, line.message) for line in log] == [("warn", "seen"), ("info", "found 5"), ("error", "failed")]
    assert log[0].fields == {"words": "3", "message": "x"}
    assert log[1].fields == {"logger": "lib"}
    assert log[2].fields["exception"].startswith("ValueError: broken (")


def test_a_kit_can_be_the_service_of_another() -> None:
    service = kit(lambda doc: {"loud": doc["text"].upper()})

    def ask(doc: Any) -> Any:
        answer = weir.request("model", doc)
        return {"loud": answer["loud"], "id": weir.message_id()}

    made = kit(ask).answer("model", lambda request: service.handle("ask", request).replies()[0])
    assert made.handle("input", {"text": "a"}).json() == [{"loud": "A", "id": f"{1:032x}"}]


def test_a_name_that_weir_toml_does_not_have_is_refused_by_the_kit() -> None:
    made = kit(lambda: None)
    with pytest.raises(ValueError, match="input `inptu` does not exist; must be one of: input, ask"):
        made.handle("inptu", 1)
    with pytest.raises(ValueError, match="request `modle` does not exist; must be one of: model, language"):
        made.answer("modle", 1)
    with pytest.raises(ValueError, match="config type `rules` is not declared"):
        made.config("rules", "a", 1)
    made.handle("input", None)
    with pytest.raises(RuntimeError, match="cannot change in a running instance"):
        made.parameter("x", 1)
