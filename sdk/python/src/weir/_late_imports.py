"""Imports after the build: a component has no files, so what was not loaded when it was built cannot be loaded later."""

from __future__ import annotations

import ast
import importlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import BuiltinImporter, FrozenImporter, ModuleSpec
from importlib.util import resolve_name
from pathlib import Path
from types import ModuleType

_SDK = os.path.dirname(os.path.abspath(__file__)) + os.sep

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
    """Loads modules while the component is built, as far as they are there: those named, and those that packages import inside of
    functions. Many packages do, to begin faster."""
    for name in (*_COMMON, *modules):
        _load(name)
    scanned: set[str] = set()
    while new := [module for name, module in list(sys.modules.items()) if name not in scanned and _is_of_package(module)]:
        for module in new:
            scanned.add(module.__name__)
            for name in _inside_functions(module):
                _load(name)


def _load(name: str) -> None:
    try:
        importlib.import_module(name)
    except BaseException:  # noqa: BLE001 - as at its own place, where it may be expected to fail
        return


def _is_of_package(module: ModuleType) -> bool:
    path = getattr(module, "__file__", None) or ""
    return path.endswith(".py") and not path.startswith(("/python/", "/bundled/", "/world/", _SDK)) and module.__name__ in sys.modules


def _inside_functions(module: ModuleType) -> set[str]:
    """The modules that a module imports inside of functions, by their whole names."""
    try:
        tree = ast.parse(Path(module.__file__ or "").read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    found: set[str] = set()
    for function in ast.walk(tree):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for node in ast.walk(function):
                if isinstance(node, ast.Import):
                    found.update(alias.name for alias in node.names)
                elif isinstance(node, ast.ImportFrom):
                    found.update(_from(node, module))
    return found


def _from(node: ast.ImportFrom, module: ModuleType) -> Iterator[str]:
    """`from A import B` may load `A`, and `A.B` if that is a module."""
    try:
        base = resolve_name("." * node.level + (node.module or ""), module.__package__ or "") if node.level else node.module or ""
    except ImportError:
        return
    yield base
    if _is_package(base):
        yield from (f"{base}.{alias.name}" for alias in node.names)


def _is_package(name: str) -> bool:
    loaded = sys.modules.get(name)
    return loaded is not None and hasattr(loaded, "__path__") and _is_of_package(loaded)


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
