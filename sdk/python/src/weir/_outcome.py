"""The return value of a handler, and how it is sent."""

from __future__ import annotations

import types
from typing import Any

from weir import _json
from weir._host import Host
from weir._message import Message, message_of

#: The output that return values go to.
OUTPUT = "output"

#: Types that stand for several messages.
_SEVERAL = (list, types.GeneratorType)


def settle(here: Host, value: Any, is_request: bool) -> None:
    """Sends what a handler returned: to `output`, or as the answer to a request.

    Raises:
        TypeError: It cannot be converted to a message.
        CallError: It cannot be sent.
    """
    if value is None:
        return
    if isinstance(value, _SEVERAL) or hasattr(value, "__next__"):
        if is_request:
            _answer(here, value)
        else:
            for index, item in enumerate(value):
                here.send(OUTPUT, _one(item, index))
        return
    message = _whole(value)
    if is_request:
        here.reply(message, True)
    else:
        here.send(OUTPUT, message)


def _answer(here: Host, parts: Any) -> None:
    """Each part is sent when the next one is available; the last one is marked."""
    held: Message | None = None
    for index, part in enumerate(parts):
        message = _one(part, index)
        if held is not None:
            here.reply(held, False)
        held = message
    if held is not None:
        here.reply(held, True)


def _one(item: Any, index: int) -> Message:
    if item is None:
        raise TypeError(f"message {index} that the handler returned is None: omit it; JSON null is weir.Message.from_json(None)")
    return message_of(item)


def _whole(value: Any) -> Message:
    if isinstance(value, (tuple, set, frozenset)):
        raise TypeError(
            f"the handler returned {_json.kind_of(value)}: return a list for several messages, or weir.Message.from_json(list(...)) for a "
            "JSON array in one message"
        )
    if isinstance(value, types.CoroutineType):
        value.close()
        raise TypeError("the handler returned a coroutine: an `async` function cannot be used here")
    try:
        return message_of(value)
    except TypeError as error:
        raise TypeError(
            f"the handler returned {_json.kind_of(value)}, which cannot be sent: {error}: return a dict, a str, bytes, a weir.Message, a "
            "list of these for several messages, or None"
        ) from None
