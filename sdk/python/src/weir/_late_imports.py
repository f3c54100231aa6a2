"""Imports after the build: a component has no files, so modules that were not loaded at build time cannot be loaded later."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import BuiltinImporter, FrozenImporter, ModuleSpec
from importlib.util import resolve_name
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
    found: set[str] = set()
    try:
        with open(module.__file__ or "", encoding="utf-8", errors="replace") as lines:
            for statement in _indented_imports(lines):
                found.update(_named(statement, module))
    except OSError:
        pass
    return found


def _indented_imports(lines: Iterable[str]) -> Iterator[str]:
    """The import statements inside of functions. Line by line, and not by `ast`: what a parser leaves in memory, the component keeps."""
    functions: list[int] = []
    statement = ""
    for line in lines:
        if statement:
            statement += line
        else:
            words = line.split(None, 2)
            if not words or words[0].startswith("#"):
                continue
            indentation = len(line) - len(line.lstrip())
            while functions and indentation <= functions[-1]:
                functions.pop()
            if words[0] == "def" or words[:2] == ["async", "def"]:
                functions.append(indentation)
            elif functions and words[0] in ("import", "from"):
                statement = line
        if statement and ("(" not in statement or ")" in statement or len(statement) > 10_000):
            yield statement
            statement = ""


def _named(statement: str, module: ModuleType) -> Iterator[str]:
    """`from A import B` may load `A`, and `A.B` if that is a module."""
    words = [word for word in re.split(r"[\s,()\\]+", statement.split("#")[0] if "(" not in statement else statement) if word]
    if words[0] == "import":
        yield from (word for word in words[1:] if word.replace(".", "").isidentifier() and word != "as")
        return
    if "import" not in words[2:3]:
        return
    package = module.__package__ or ""
    try:
        base = resolve_name(words[1], package) if words[1].startswith(".") else words[1]
    except (ImportError, ValueError):
        return
    yield base
    if _is_package(base):
        yield from (f"{base}.{word}" for word in words[3:] if word.isidentifier() and word != "as")


def _is_package(name: str) -> bool:
    loaded = sys.modules.get(name)
    return loaded is not None and hasattr(loaded, "__path__") and _is_of_package(loaded)


class Explaining:
    """A finder that explains why a module cannot be found at run time."""

    def __init__(self, source: str) -> None:
        self._source = source

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        for finder in (BuiltinImporter, FrozenImporter):
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                return spec
        raise ModuleNotFoundError(
            f"module `{name}` was not loaded when the component was built, and cannot be loaded at run time: import it at the "
            f"top of {self._source}",
            name=name,
        )


def explain(source: str) -> None:
    """From now on, imports of what is not loaded fail with an explanation."""
    if not isinstance(sys.meta_path[0], Explaining):
        sys.meta_path.insert(0, Explaining(source))
