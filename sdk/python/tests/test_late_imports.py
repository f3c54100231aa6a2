"""Imports after the build."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
from weir import _late_imports

SOURCE = """
import json

def first():
    import csv
    from . import inner, missing
    if True:
        from ..other import (
            one,  # a comment
            two as three,
        )
    return csv

from typing import Any

class Some:
    async def second(self):
        import email.message as mail, html
        # import nothing
        x = "import too"
"""


def test_imports_inside_of_functions_are_found(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").write_text(SOURCE)
    module = ModuleType("top.inside")
    module.__file__, module.__package__, module.__path__ = str(tmp_path / "__init__.py"), "top.inside", [str(tmp_path)]
    sys.modules["top.inside"] = module
    try:
        found = _late_imports._inside_functions(module)
    finally:
        del sys.modules["top.inside"]
    assert found - {"mail"} == {"csv", "top.inside", "top.inside.inner", "top.inside.missing", "top.other", "email.message", "html"}


def test_a_late_import_is_explained() -> None:
    finder = _late_imports.Explaining("processor.py")
    assert finder.find_spec("_imp") is not None, "what is built in needs no file"
    with pytest.raises(ModuleNotFoundError, match="module `colorsys` was not loaded when the component was built.* at the top of processor.py"):
        finder.find_spec("colorsys")
