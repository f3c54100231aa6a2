"""The author's sources, and warnings about them before they run."""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: Folders that are of no use in a component.
_LEFT_OUT = {"__pycache__", "node_modules", "tests"}


class BuildError(Exception):
    """Why a project cannot be built."""


@dataclass(frozen=True)
class Sources:
    """A copy of the sources."""

    #: What goes into the Python path.
    python_path: Path
    #: The module to load.
    module: str
    #: The Python files, relative to the Python path.
    texts: dict[str, str]
    #: Modules that are imported inside of functions.
    late_imports: list[str]
    warnings: list[str]
    digest: str


def stage(folder: Path, source: str, target: Path) -> Sources:
    """Copies the sources to a folder of their own, where the toolchain may write and finds nothing else.

    Raises:
        BuildError: The source does not exist, or cannot be a module.
    """
    if not (folder / source).is_file():
        raise BuildError(f"file `{source}` does not exist in {folder.resolve()}: create it, or set `source` in weir.toml")
    root, module = module_of(folder, Path(source))
    shutil.rmtree(target, ignore_errors=True)
    digest = hashlib.sha256()
    texts: dict[str, str] = {}
    for path in sorted(_files(root, {target.resolve()})):
        relative = path.relative_to(root).as_posix()
        content = path.read_bytes()
        digest.update(f"{relative}\0{len(content)}\0".encode() + content)
        copy = target / relative
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(content)
        if path.suffix == ".py":
            texts[relative] = content.decode("utf-8", "replace")
    late = [found for relative, text in texts.items() for found in _late_imports(relative, text)]
    return Sources(target, module, texts, sorted({name for name, _ in late}), [warning for _, warning in late], digest.hexdigest())


def module_of(folder: Path, source: Path) -> tuple[Path, str]:
    """The folder of the Python path, and the name of the module: folders with `__init__.py` are packages."""
    parts = [source.stem]
    parent = source.parent
    while parent != Path() and (folder / parent / "__init__.py").is_file():
        parts.insert(0, parent.name)
        parent = parent.parent
    if parts[-1] == "__init__":
        parts.pop()
    for part in parts:
        if not part.isidentifier():
            raise BuildError(f"`{source}` cannot be imported, since `{part}` is not a Python name: rename it")
    if not parts or parts[0] in sys.stdlib_module_names or parts[0] in ("weir", "weir_entry", "wit_world"):
        raise BuildError(f"`{source}` has the name of another module (`{'.'.join(parts)}`), which would be loaded instead: rename it")
    return folder / parent, ".".join(parts)


def _files(folder: Path, without: set[Path]) -> Iterator[Path]:
    for entry in os.scandir(folder):
        path = Path(entry.path)
        if entry.name.startswith(".") or entry.name in _LEFT_OUT or path.resolve() in without:
            continue
        if entry.is_dir():
            if not (path / "pyvenv.cfg").exists():
                yield from _files(path, without)
        elif path.suffix not in (".wasm", ".pyc"):
            yield path


def _late_imports(relative: str, text: str) -> list[tuple[str, str]]:
    """Imports inside of functions, with a warning for each. They are loaded at the build; others that run late fail."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        # The interpreter of the component reports it; that one may know more of the language than this one.
        return []
    found: dict[tuple[str, int], str] = {}
    for function in ast.walk(tree):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for node in ast.walk(function):
                if isinstance(node, (ast.Import, ast.ImportFrom)):
                    found.update({(name, node.lineno): function.name for name in _imported(node)})
    return [
        (name, f"{relative} line {line}: `{name}` is imported inside `{function}`: a component can use only modules loaded at build time, "
               "so it is loaded then; import it at the top of the module")
        for (name, line), function in found.items()
    ]


def _imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if node.module and not node.level else []
