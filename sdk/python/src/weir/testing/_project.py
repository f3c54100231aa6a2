"""A kit of a project: the folder with weir.toml."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from weir import _faults, _registry
from weir.build.sources import module_of
from weir.testing import _descriptor
from weir.testing._kit import Kit


def kit(project: str | os.PathLike[str] | ModuleType | None = None) -> Kit:
    """A kit of a project's processor: in the given folder, in that of a module, or by default in the nearest folder with a weir.toml (or
    descriptor.json), from the caller's file upwards. The source named in weir.toml is imported once per process.

    Raises:
        FileNotFoundError: weir.toml does not exist.
        Malformed: It is not valid.
        Unfit: The functions do not match it.
    """
    folder = _folder(project)
    document, source = _descriptor.of_project(folder)
    root, name = module_of(folder, Path(source))
    _faults.roots.add(str(root.resolve()) + os.sep)
    module = project if isinstance(project, ModuleType) else _imported(root, name)
    is_own = _is_of(Path(module.__file__ or "").resolve(), folder.resolve())
    return Kit.of(document, _registry.of(_registry.handlers, is_own), _registry.of(_registry.setups, is_own))


def _folder(project: str | os.PathLike[str] | ModuleType | None) -> Path:
    if isinstance(project, ModuleType):
        start = Path(project.__file__ or ".").resolve().parent
    elif project is not None:
        start = Path(project).resolve()
    else:
        caller = sys._getframe(2).f_code.co_filename
        start = Path(caller).resolve().parent if os.path.exists(caller) else Path.cwd()
    for folder in (start, *start.parents):
        if (folder / "weir.toml").exists() or (folder / "descriptor.json").exists():
            return folder
    raise FileNotFoundError(f"no weir.toml in {start} or its parent folders")


def _imported(root: Path, name: str) -> ModuleType:
    """Imports a module of a folder, which may have the name of a module of another project that was imported before."""
    before = sys.modules.get(name)
    if before is not None and _is_below(before.__file__, root):
        return before
    for loaded in [loaded for loaded in sys.modules if loaded == name or loaded.startswith(f"{name}.")]:
        del sys.modules[loaded]
    sys.path.insert(0, str(root.resolve()))
    try:
        importlib.invalidate_caches()
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(root.resolve()))


def _is_below(path: str | None, folder: Path) -> bool:
    return path is not None and Path(path).resolve().is_relative_to(folder.resolve())


def _is_of(source: Path, folder: Path) -> Callable[[Callable[..., Any]], bool]:
    """Whether a function is of the source, or of another file of the project that is not one of its tests or installed packages."""

    def is_own(function: Callable[..., Any]) -> bool:
        code = getattr(function, "__code__", None)
        path = Path(code.co_filename).resolve() if code is not None else source
        if path == source:
            return True
        within = path.relative_to(folder).parts if path.is_relative_to(folder) else None
        return within is not None and within[0] != "tests" and not any(part.startswith(".") for part in within)

    return is_own
