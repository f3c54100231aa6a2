"""The steps from a project to a component."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import weir
from weir.build import memory, sources
from weir.build.sources import BuildError as BuildError
from weir.build.sources import Sources

#: The version that the SDK is tested with; the extra `build` of pyproject.toml names it, too.
COMPONENTIZE_PY = "0.25.1"

#: Exports `handler` and `setup`: parameters are read, and names checked, before the first message.
WORLD = "configurable-processor"

_ENTRY = "weir_entry"
_FAULT_MARK = "weir: the processor cannot be built: "
_DEFAULT_MEMORY_BYTES = 64 << 20
_PACKAGE = Path(weir.__file__).parent


@dataclass(frozen=True)
class Project:
    """What is built."""

    folder: Path
    #: The Python file with the handlers, relative to the folder.
    source: str
    #: JSON.
    descriptor: str
    #: For intermediate files; everything in it may be deleted at any time.
    work: Path


@dataclass
class Built:
    """A component that was built."""

    warnings: list[str] = field(default_factory=list)
    #: Nothing had changed since the last build.
    is_unchanged: bool = False


def build(project: Project, output: Path) -> Built:
    """Writes the component of a project, unless it exists and nothing has changed.

    Raises:
        BuildError: The project cannot be built; the error states why, in the author's terms.
    """
    _check_tools()
    descriptor = _parsed(project.descriptor)
    staged = sources.stage(project.folder, project.source, project.work / "app")
    record, inputs = project.work / "built.json", _inputs(project, staged)
    known = _known(record)
    if known is not None and known["inputs"] == inputs and output.exists() and known["output"] == _sha256(output.read_bytes()):
        return Built(known["warnings"], is_unchanged=True)
    entry = _write_entry(project, staged)
    output.parent.mkdir(parents=True, exist_ok=True)
    _componentize([staged.python_path, entry, *_sdk_path()], output)
    built = Built(staged.warnings + _memory_warnings(output, descriptor))
    made = {"inputs": inputs, "output": _sha256(output.read_bytes()), "warnings": built.warnings}
    record.write_text(json.dumps(made), "utf-8")
    return built


def _check_tools() -> None:
    if sys.prefix == sys.base_prefix:
        raise BuildError("this Python is not in a virtual environment: create one with `python3 -m venv .weir/venv`, and use its python")
    try:
        found = importlib.metadata.version("componentize-py")
    except importlib.metadata.PackageNotFoundError:
        found = "not installed"
    if found != COMPONENTIZE_PY:
        raise BuildError(f"componentize-py {COMPONENTIZE_PY} is required, but it is {found}: `{sys.executable} -m pip install 'weir-sdk[build]'`")


def _parsed(descriptor: str) -> dict[str, object]:
    try:
        parsed = json.loads(descriptor)
    except ValueError as error:
        raise BuildError(f"the descriptor is not JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise BuildError("the descriptor is not a JSON object")
    return parsed


def _inputs(project: Project, staged: Sources) -> str:
    """A digest of everything that a component is made of. It identifies the component, which has other bytes in each build: the toolchain
    takes hash seeds, times and directory orders into the image of the interpreter."""
    packages = sorted(f"{found.metadata['Name']}=={found.version}" for found in importlib.metadata.distributions())
    sdk = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")) + sorted(_PACKAGE.rglob("*.wit")):
        sdk.update(path.read_bytes())
    return _sha256(json.dumps([staged.digest, project.source, project.descriptor, packages, sdk.hexdigest()]).encode())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _known(record: Path) -> dict[str, Any] | None:
    try:
        known = json.loads(record.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return known if isinstance(known, dict) and {"inputs", "output", "warnings"} <= known.keys() else None


def _write_entry(project: Project, staged: Sources) -> Path:
    folder = project.work / "entry"
    folder.mkdir(parents=True, exist_ok=True)
    arguments = {
        "module": staged.module,
        "source": project.source,
        "descriptor": project.descriptor,
        # The first folder of the Python path is mounted as `/0`.
        "files": {f"/0/{path}": text for path, text in staged.texts.items()},
        "late_imports": staged.late_imports,
    }
    lines = [f"    {name}={ascii(value)}," for name, value in arguments.items()]
    text = "\n".join(["from weir._component import component", "", "Handler, Setup = component(", *lines, ")", ""])
    (folder / f"{_ENTRY}.py").write_text(text, "utf-8")
    return folder


def _sdk_path() -> list[Path]:
    """The folder that the SDK is in, where that is not the environment's own."""
    parent = _PACKAGE.parent
    return [] if parent.name in ("site-packages", "dist-packages") else [parent]


def _componentize(python_path: list[Path], output: Path) -> None:
    command = [sys.executable, "-c", "import sys; from componentize_py import script; sys.exit(script())"]
    command += ["--quiet", "--wit-path", str(_PACKAGE / "wit"), "--world", WORLD, "componentize", _ENTRY, "--output", str(output)]
    for folder in python_path:
        command += ["--python-path", str(folder)]
    # With this variable the tool adds the environment's packages, and no others.
    environment = {**os.environ, "VIRTUAL_ENV": sys.prefix, "RUST_BACKTRACE": "0"}
    run = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", errors="replace", check=False)
    if run.returncode != 0:
        output.unlink(missing_ok=True)
        raise BuildError(_explained(run.stdout + run.stderr))


def _explained(said: str) -> str:
    """The output of componentize-py, in the author's terms."""
    faults = [json.loads(line) for line in re.findall(rf"{re.escape(_FAULT_MARK)}(\".*\")$", said, re.MULTILINE)]
    if faults:
        return "\n".join(faults)
    return f"componentize-py failed: {said.strip()[-4000:]}"


def _memory_warnings(output: Path, descriptor: dict[str, object]) -> list[str]:
    start_bytes = memory.at_start(output.read_bytes())
    limits = descriptor.get("limits")
    limit_bytes = limits.get("memory-bytes", _DEFAULT_MEMORY_BYTES) if isinstance(limits, dict) else _DEFAULT_MEMORY_BYTES
    if start_bytes is None or start_bytes <= limit_bytes // 2:
        return []
    advice = max(limit_bytes * 2, start_bytes * 3) >> 20
    return [
        f"an instance has {start_bytes / (1 << 20):.0f} MiB of memory in use at startup, and the limit is {limit_bytes / (1 << 20):.0f} MiB: "
        f"it will be replaced often, or fail to start: load less at the top of the module, or set `memory = \"{advice} MiB\"` under `[limits]`"
    ]
