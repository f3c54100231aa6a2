"""What a handler takes and returns."""

import enum
from typing import Any, Literal, TypedDict

import pytest
import weir
from weir.testing import Kit, Unfit

DESCRIPTOR: dict[str, Any] = {
    "schema": 1,
    "name": "tested",
    "version": "1.2.3",
    "consumers": ["input", {"name": "ask", "reply": "answer"}],
    "producers": ["output", "other", "answer"],
    "parameters": [
        {"name": "size", "type": "integer", "default": "3"},
        {"name": "max-words", "type": "integer", "default": "7"},
        {"name": "ratio", "type": "number"},
        {"name": "loud", "type": "boolean", "default": "true"},
        {"name": "words", "type": "json", "default": '["a", "b"]'},
        {"name": "border", "default": "sentence"},
        {"name": "from", "default": "here"},
    ],
}


def kit(handler: Any, **others: Any) -> Kit:
    return Kit(DESCRIPTOR, handler, **others)


def test_the_body_is_parsed_json_unless_the_annotation_says_otherwise() -> None:
    seen: list[Any] = []

    def as_json(doc):  # type: ignore[no-untyped-def]
        seen.append(doc)

    def as_text(doc: str) -> None:
        seen.append(doc)

    def as_bytes(doc: bytes) -> None:
        seen.append(doc)

    def as_message(doc: weir.Message) -> None:
        seen.append(doc)

    for handler in (as_json, as_text, as_bytes, as_message):
        kit(handler).handle("input", {"a": 1}, properties={"k": "v"})
    assert seen == [{"a": 1}, '{"a":1}', b'{"a":1}', weir.Message(b'{"a":1}', None, {"k": "v"})]


def test_a_body_that_cannot_be_read_is_rejected_with_the_place() -> None:
    def rejected(handler: Any, body: Any) -> str:
        failure = kit(handler).handle("input", body).failure
        assert failure is not None and failure.verdict is weir.Verdict.REJECT
        return failure.reason

    def any_json(doc: Any) -> None: ...
    def text(doc: str) -> None: ...
    def an_object(doc: dict[str, Any]) -> None: ...
    def a_number(doc: float) -> None: ...

    assert rejected(any_json, b"") == "the body is empty where JSON is expected"
    assert rejected(any_json, b'{"a": 1,\n}') == (
        "the body is not JSON: Illegal trailing comma before end of object at line 1 column 8"
        if "Illegal" in rejected(any_json, b'{"a": 1,\n}')
        else "the body is not JSON: Expecting property name enclosed in double quotes at line 2 column 1"
    )
    assert rejected(any_json, b"NaN") == "the body is not JSON: NaN is not JSON"
    assert rejected(any_json, b'"\xff"') == "the body is not JSON in UTF-8: byte 1 is invalid"
    assert "nested too deeply" in rejected(any_json, b"[" * 200_000)
    assert rejected(text, b"ab\xff") == "the body is not UTF-8 text: byte 2 is invalid"
    assert rejected(an_object, [1]) == "the body does not have the expected form: it is an array (list), and must be an object"
    assert rejected(a_number, True) == "the body does not have the expected form: it is true or false, and must be a number"


def test_a_typed_dict_is_an_object() -> None:
    class Document(TypedDict):
        text: str

    def shout(doc: Document) -> str:
        return doc["text"].upper()

    assert kit(shout).handle("input", {"text": "a"}).text() == ["A"]
    assert kit(shout).handle("input", "[]").failure is not None


def test_parameters_are_read_as_their_annotation_says() -> None:
    class Border(enum.Enum):
        SENTENCE = "sentence"

    def handle(
        *,
        size: int,
        max_words: int,
        ratio: float = 0.5,
        loud: bool,
        words: list[str],
        border: Border,
        from_: Literal["here", "there"],
    ) -> None:
        weir.send("output", [size, max_words, ratio, loud, words, border is Border.SENTENCE, from_])

    assert kit(handle).handle("input", None).json() == [[3, 7, 0.5, True, ["a", "b"], True, "here"]]
    assert kit(handle).parameter("size", 4).parameter("loud", False).handle("input", None).json()[0][:4] == [4, 7, 0.5, False]


def test_a_parameter_without_annotation_has_the_type_of_weir_toml() -> None:
    def handle(*, size, loud, words, border):  # type: ignore[no-untyped-def]
        return weir.Message.from_json([size, loud, words, border])

    assert kit(handle).handle("input", None).json() == [[3, True, ["a", "b"], "sentence"]]


def test_a_parameter_that_may_be_missing_is_none() -> None:
    def handle(*, ratio: float | None) -> weir.Message:
        return weir.Message.from_json(ratio)

    assert kit(handle).handle("input", None).json() == [None]
    assert kit(handle).parameter("ratio", 2.5).handle("input", None).json() == [2.5]


def test_a_wrong_parameter_keeps_the_instance_from_beginning() -> None:
    def choose(*, border: Literal["word"]) -> None: ...
    def need(*, ratio: float) -> None: ...
    def count(*, size: int) -> None: ...

    assert kit(choose).configure() == "parameter `border` has the value `sentence`, which is not one of word; correct it in the flow"
    assert kit(need).configure() == "parameter `ratio` is missing: set it in the flow, or give it a default in weir.toml"
    assert kit(count).parameter("size", "big").configure() == "parameter `size`: `big` is not a whole number"
    with pytest.raises(RuntimeError, match="failed to start: parameter `ratio` is missing"):
        kit(need).handle("input", None)


def test_what_is_returned_goes_to_the_output() -> None:
    def returned(value: Any) -> list[weir.Message]:
        def handle() -> Any:
            return value

        return kit(handle).handle("input", None).outputs()

    assert returned(None) == []
    assert returned({"ä": [1]}) == [weir.Message('{"ä":[1]}'.encode())]
    assert returned(1.5) == [weir.Message(b"1.5")]
    assert returned(True) == [weir.Message(b"true")]
    assert returned("text") == [weir.Message(b"text", "text/plain; charset=utf-8")]
    assert returned(b"\x00") == [weir.Message(b"\x00", "application/octet-stream")]
    assert returned(weir.Message(b"x", "image/png", {"a": "b"})) == [weir.Message(b"x", "image/png", {"a": "b"})]
    assert returned([1, "two", weir.Message.from_json(None)]) == [
        weir.Message(b"1"),
        weir.Message(b"two", "text/plain; charset=utf-8"),
        weir.Message(b"null"),
    ]
    assert returned([]) == []
    assert returned(iter([1, 2])) == [weir.Message(b"1"), weir.Message(b"2")]
    assert returned({"half": "\ud800"}) == [weir.Message(b'{"half":"\\ud800"}')]


def test_a_generator_sends_as_it_goes_and_nothing_if_it_fails() -> None:
    def numbers(count: int) -> Any:
        for number in range(count):
            if number == 2:
                raise weir.Reject("two is too many")
            yield number

    assert kit(numbers).handle("input", 2).json() == [0, 1]
    handled = kit(numbers).handle("input", 3)
    assert handled.sent == [] and handled.failure is not None and handled.failure.reason == "two is too many"


def test_a_request_is_answered_by_what_is_returned() -> None:
    def handle(doc: Any) -> Any:
        return doc

    def parts(doc: int) -> Any:
        yield from range(doc)

    def nothing() -> None: ...

    handled = kit(handle).handle("ask", {"a": 1})
    assert (handled.reply_json(), handled.is_answered, handled.sent) == ([{"a": 1}], True, [])
    handled = kit(parts).handle("ask", 3)
    assert (handled.reply_json(), handled.is_answered) == ([0, 1, 2], True)
    assert kit(nothing).handle("ask", 1).is_answered is False


def test_a_part_that_left_stays_when_a_later_one_fails() -> None:
    def parts() -> Any:
        yield 1
        yield 2
        raise ValueError("no third")

    handled = kit(parts).handle("ask", None)
    assert handled.reply_json() == [1]
    assert not handled.is_answered and handled.failure is not None


def test_what_cannot_be_sent_is_told_in_terms_of_python() -> None:
    class Box: ...

    def reason(value: Any) -> str:
        def handle() -> Any:
            return value

        failure = kit(handle).handle("input", None).failure
        assert failure is not None and failure.verdict is weir.Verdict.RETRY
        return failure.reason.split("\n")[0]

    assert "returned a tuple: return a list for several messages" in reason((1, 2))
    assert "returned a Box, which cannot be sent: the message cannot be written as JSON: a Box cannot be written as JSON" in reason(Box())
    assert "a set cannot be written as JSON at `a.b[1]`" in reason({"a": {"b": [1, {2}]}})
    assert "message 1 that the handler returned is None" in reason([1, None])
    assert "at `x`" in reason({"x": float("nan")})
    assert "`properties`" not in reason({1j: 1}) and "keys must be str" in reason({1j: 1})


def test_functions_that_do_not_fit_are_told_all_at_once() -> None:
    def wrong(a: Any, b: Any, *, sise: int, ratio: set[int], **rest: Any) -> None: ...
    def strange(doc: enum.Enum) -> None: ...

    with pytest.raises(Unfit) as unfit:
        Kit(DESCRIPTOR, {"input": wrong, "inptu": strange})
    told = "\n".join(unfit.value.faults)
    for words in (
        "`wrong` takes 2 positional parameters (a, b)",
        "`wrong` takes the parameter `sise`, which weir.toml does not declare; must be one of: size, max-words",
        "the parameter `ratio` of `wrong` is annotated `set",
        "`wrong` takes `**rest",
        "`doc` of `strange` is annotated `Enum`",
        "`strange` handles the input `inptu`, but the inputs in weir.toml are input, ask",
        'the input `ask` has no handler: add one with `@weir.processor("ask")`',
    ):
        assert words in told


def test_an_async_handler_is_refused_where_it_is_decorated() -> None:
    with pytest.raises(TypeError, match="`handle` is an `async def`"):

        @weir.processor
        async def handle(doc: Any) -> None: ...

    with pytest.raises(TypeError, match="is a class"):

        @weir.processor
        class Handle: ...

    with pytest.raises(TypeError, match='use `@weir.processor`, or `@weir.processor\\("NAME"\\)`'):
        weir.processor()


def test_where_it_runs_is_known() -> None:
    def handle() -> Any:
        return {
            "names": [weir.context.processor(), weir.context.flow(), weir.context.variant(), weir.context.deployment()],
            "input": weir.input_name(),
            "attempt": weir.attempt(),
            "remaining": weir.remaining(),
            "outputs": weir.context.outputs(),
            "size": weir.context.parameter("size"),
            "id": weir.message_id(),
        }

    made = kit(handle).attempt(2).time_left(1.5).flow("mine")
    assert made.handle("input", None).json() == [
        {
            "names": ["tested", "mine", "mine", "tested@1.2.3"],
            "input": "input",
            "attempt": 2,
            "remaining": 1.5,
            "outputs": ["output", "other", "answer"],
            "size": "3",
            "id": f"{1:032x}",
        }
    ]
    assert made.handle("input", None).json()[0]["id"] == f"{1:032x}"
    assert made.attempt(1).handle("input", None).json()[0]["id"] == f"{2:032x}"


def test_outside_of_a_handler_there_is_no_host() -> None:
    for call in (weir.message_id, lambda: weir.send("output", 1), lambda: weir.config.get("a", "b")):
        with pytest.raises(RuntimeError, match="no host is available outside a handler"):
            call()
    weir.log.info("helpers that log can be tested like any function")
