"""The test kit: a processor in a plain `pytest`, without a host.

    import weir.testing

    def test_words_are_counted():
        kit = weir.testing.kit().parameter("shortest", 3)
        handled = kit.handle("input", {"id": "a", "text": "to be or not to be"})
        assert handled.json("output") == [{"id": "a", "words": 1}]

The kit applies the rules of the real host, with the same errors: names that are not in weir.toml are rejected, parameters have their
defaults and are checked against their types, nothing is sent if the handler fails, and messages and their number are limited. An exception becomes a
failure as in a component: see `Handled.failure`, and `Handled.exception` for itself. Not simulated: the sandbox,
time (the clock stands still: `Kit.time_left`), memory limits, output topics of classes other than `flow`, and new instances: your globals are
kept.

`run_fixture` runs the messages of `tests/*.json`, the files that `weir test` runs against the component in a real host.
"""

from weir._processor import Unfit
from weir.testing._answer import Answer
from weir.testing._descriptor import Malformed
from weir.testing._fixtures import run_fixture
from weir.testing._handled import Handled, HandledFailure, LogLine, Sent
from weir.testing._instance import Trap
from weir.testing._kit import Kit
from weir.testing._project import kit

__all__ = ["Answer", "Handled", "HandledFailure", "Kit", "LogLine", "Malformed", "Sent", "Trap", "Unfit", "kit", "run_fixture"]
