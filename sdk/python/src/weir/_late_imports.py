"""Imports after the build: a component has no files, so what was not loaded when it was built cannot be loaded later."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import BuiltinImporter, FrozenImporter, ModuleSpec
from types import ModuleType

#: What the standard library itself loads late, at the first use of a function: cheap, and surprising where it is missing.
_COMMON = (
    "_strptime",
    "encodings.ascii",
    "encodings.cp1252",
    "encodings.idna",
    "encodings.latin_1",
    "encodings.unicode_escape",
    "encodings.utf_16",
    "encodings.utf_16_be",
    "encodings.utf_16_le",
    "encodings.utf_32",
    "encodings.utf_8_sig",
    "traceback",
)


def load(modules: Iterable[str]) -> None:
    """Loads modules while the component is built, as far as they are there."""
    for name in (*_COMMON, *modules):
        try:
            importlib.import_module(name)
        except Exception:  # noqa: BLE001, S112 - as at its own place, where the author may expect it to fail
            continue


class Explaining:
    """A finder that says why a module cannot be found once the component runs."""

    def __init__(self, source: str) -> None:
        self._source = source

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        for finder in (BuiltinImporter, FrozenImporter):
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                return spec
        raise ModuleNotFoundError(
            f"module `{name}` was not loaded when the component was built, and there are no files to load it from now: import it at the "
            f"top of {self._source}",
            name=name,
        )


def explain(source: str) -> None:
    """From now on, imports of what is not loaded fail with an explanation."""
    if not isinstance(sys.meta_path[0], Explaining):
        sys.meta_path.insert(0, Explaining(source))
