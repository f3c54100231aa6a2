"""Calls of every kind that a host refuses, and failures of every kind."""

import re
import sys
from typing import Any

import weir


def refusals() -> list[Any]:
    calls = [
        lambda: weir.send("outptu", 1),
        lambda: weir.send("a\tb'" + "x" * 100, 1),
        lambda: weir.send("output", 1, properties={"weir-id": "1"}),
        lambda: weir.send("output", 1, properties={"traceparent": "1"}),
        lambda: weir.send("output", 1, properties={f"p{number}": "" for number in range(257)}),
        lambda: weir.send("output", 1, properties={"n" * 129: ""}),
        lambda: weir.send("output", 1, properties={"n": "v" * (32 << 10)}),
        lambda: weir.send("output", b"x" * ((4 << 20) + 1)),
        lambda: weir.request("modle", 1),
        lambda: weir.reply(1),
        lambda: weir.reply_part(1),
    ]
    return [_refusal(call) for call in calls]


def _refusal(call: Any) -> list[str]:
    try:
        call()
    except weir.CallError as error:
        # A host counts the name of the deployment, too, which the kit does not know.
        return [str(error.kind), re.sub(r"(properties of the message has) \d+", r"\1 N", error.reason)]
    return ["taken"]


@weir.processor("input")
def handle(doc: dict[str, Any], *, size: int) -> Any:
    what = doc["what"]
    if what == "refusals":
        return {"refusals": refusals()}
    if what == "context":
        return {
            "input": weir.input_name(),
            "size": size,
            "parameters": weir.context.parameters(),
            "outputs": weir.context.outputs(),
            "attempt": weir.attempt(),
            "deployment": weir.context.deployment(),
            "processor": weir.context.processor(),
        }
    if what == "many":
        weir.send_all("output", range(1001))
    if what == "bytes":
        weir.send_all("output", [b"x" * (4 << 20)] * 5)
    if what == "large":
        return b"x" * ((4 << 20) + 1)
    if what == "output":
        weir.send("outptu", 1)
    if what == "reject":
        raise weir.Reject("never")
    if what == "exit":
        sys.exit(3)
    if what == "tuple":
        return (1, 2)
    if what == "set":
        return {"a": [{1}]}
    if what == "none":
        return [None]
    if what == "several":
        return [{"a": "ä"}, 1.5, True, weir.Message.from_json(None), weir.Message.from_json("text")]
    if what == "yield":
        return (number for number in range(3))
    if what == "config":
        return {"rule": weir.config.get("rule", "a"), "all": weir.config.all("rule"), "none": weir.config.get("rule", "b", "default")}
    if what == "zero":
        return 1 // (size - size)
    if what in ASKED:
        return ASKED[what]()
    if what == "undeclared":
        return weir.config.get("secret", "a")
    if what == "soak":
        return weir.Message.from_json(doc, properties={"count": str(next(_count))})
    return None


@weir.processor("ask")
def ask(text: str) -> Any:
    yield from text.split()


def _refusal_of_each() -> list[Any]:
    return [_refusal(lambda: weir.request("model", "q")) for _ in range(4)]


def _several() -> Any:
    one, other = weir.begin_request("model", "a"), weir.begin_request("language", "b")
    return [next(other), next(one), next(one), next(other, "end"), next(one, "end")]


#: Requests, and what becomes of them.
ASKED = {
    "request": lambda: weir.request("model", {"question": 1}),
    "text": lambda: weir.request("model", "q", returns=str),
    "parts": lambda: [weir.Message.from_json(weir.request_parts("model", "q"))],
    "kinds": lambda: {"told": _refusal_of_each()},
    "under way": lambda: {"parts": _several()},
    "uncaught": lambda: weir.request("model", "q"),
    "id": lambda: {"id": weir.message_id(), "attempt": weir.attempt()},
}

#: The messages of the soak that this instance has handled: a host that replaces it begins again at 1.
_count = iter(range(1, 1 << 30))
