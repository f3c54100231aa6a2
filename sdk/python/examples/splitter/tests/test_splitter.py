"""The example gives what plugins/splitter gives."""

from pathlib import Path
from typing import Any

import pytest
import weir.testing

PLUGIN = Path(__file__).parents[5] / "plugins" / "splitter"
FIXTURES = sorted(PLUGIN.glob("tests/*.json"))


def kit(**parameters: Any) -> weir.testing.Kit:
    made = weir.testing.kit(Path(__file__).parents[1])
    for name, value in parameters.items():
        made.parameter(name, value)
    return made


def test_there_are_fixtures() -> None:
    assert FIXTURES


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_fixture(path: Path) -> None:
    weir.testing.run_fixture(kit(), path)


def test_parameters_out_of_bounds_are_named() -> None:
    assert "`size` is 0; it must be 16 to 1000000 characters" in str(kit(size=0, overlap=0).configure())
    assert "`overlap` is 51; it must be at most half of `size`, which is 100" in str(kit(size=100, overlap=51).configure())


def test_a_document_that_makes_too_many_chunks_is_rejected() -> None:
    failure = kit(size=16, overlap=0).handle("input", {"id": "a", "text": "word. " * 2600}).failure
    assert failure is not None and failure.verdict == "reject"
    assert failure.reason.startswith("document `a` produces 1040 chunks, and number 1001 exceeds the deployment's limits: one call may send")


def test_a_title_is_in_every_chunk() -> None:
    chunks = kit(size=16, overlap=0).handle("input", {"id": "a", "title": "T", "text": "One is here. Two is here."}).json()
    assert [chunk["title"] for chunk in chunks] == ["T", "T"]
