"""The test kit says what a host says: the fixtures of `parity` are run here, and by `weir test` in a host."""

from pathlib import Path

import pytest
import weir.testing

PROJECT = Path(__file__).parent / "parity"


@pytest.mark.parametrize("path", sorted(PROJECT.glob("tests/*.json")), ids=lambda path: path.stem)
def test_fixture(path: Path) -> None:
    weir.testing.run_fixture(weir.testing.kit(PROJECT), path)
