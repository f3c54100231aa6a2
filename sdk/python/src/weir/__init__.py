"""Write message processors for Weir.

    import weir

    @weir.processor
    def shout(doc, *, prefix: str, times: int = 1):
        if not doc.get("text"):
            raise weir.Reject("field `text` is empty")
        return {"text": prefix + doc["text"].upper() * times}

A processor receives messages from queues, one at a time, and sends others. The host handles queues, acknowledgement, retries, dead
letters, and limits on memory and time: when the function returns, its outputs are sent together with the acknowledgement, or not at
all.

| task | API |
|---|---|
| handling | `@weir.processor`, `@weir.setup` |
| sending | the value that a handler returns or yields; `send`, `send_all`, `Message` |
| asking | `request`, `request_parts`; several services in parallel with `begin_request` |
| answering | the value that a handler returns or yields; `reply`, `reply_part` |
| failing | `Retry`, `Busy`, `Reject`; any other exception is a retry with its traceback |
| configuration, parsed once | `weir.config` |
| other | `weir.context` (`message_id`, `attempt`, `remaining`), `weir.log`, the `logging` module |
| tests without a host | `weir.testing` |
"""

from weir import config, context, log
from weir._failure import Busy, CallError, ErrorKind, Failure, Reject, Retry, Verdict
from weir._message import Message
from weir._messaging import Replies, begin_request, reply, reply_part, request, request_parts, send, send_all
from weir._registry import processor, setup
from weir.context import attempt, input_name, message_id, remaining

__version__ = "0.1.0"

__all__ = [
    "Busy",
    "CallError",
    "ErrorKind",
    "Failure",
    "Message",
    "Reject",
    "Replies",
    "Retry",
    "Verdict",
    "attempt",
    "begin_request",
    "config",
    "context",
    "input_name",
    "log",
    "message_id",
    "processor",
    "remaining",
    "reply",
    "reply_part",
    "request",
    "request_parts",
    "send",
    "send_all",
    "setup",
]
