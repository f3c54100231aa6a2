"""From a project to a component. These build for real, which takes some seconds each."""

import json
from pathlib import Path

import pytest
import weir
from weir.build import BuildError, Project, build, memory, sources

REPOSITORY = Path(__file__).parents[3]
DESCRIPTOR = {"schema": 1, "name": "built", "consumers": ["input"], "producers": ["output"]}

GOOD = """
from pathlib import Path

import weir

WORDS = (Path(__file__).parent / "words.txt").read_text().split()

@weir.processor
def handle(doc):
    import csv
    return {"words": WORDS}
"""

BAD = """
import weir

@weir.processor
def handle(doc, *, size: int):
    return {}
"""


def project(folder: Path, source: str, descriptor: object = DESCRIPTOR) -> Project:
    (folder / "processor.py").write_text(source)
    return Project(folder, "processor.py", json.dumps(descriptor), folder / ".weir" / "build")


def test_the_contract_is_that_of_the_repository() -> None:
    carried = Path(weir.__file__).parent / "wit" / "processor.wit"
    assert carried.read_text() == (REPOSITORY / "wit" / "processor.wit").read_text()
    version = carried.read_text().split("package weir:processor@")[1].split(";")[0]
    assert version.split(".")[:2] == weir.__version__.split(".")[:2]


def test_a_project_is_built_once_until_it_changes(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("to be")
    made, output = project(tmp_path, GOOD), tmp_path / ".weir" / "built.wasm"
    built = build(made, output)
    assert not built.is_unchanged
    assert [warning.split(":")[0] for warning in built.warnings] == ["processor.py line 10"]
    start_bytes = memory.at_start(output.read_bytes())
    assert start_bytes is not None and 8 << 20 < start_bytes < 32 << 20
    again = build(made, output)
    assert again.is_unchanged and again.warnings == built.warnings
    assert not list(tmp_path.glob("**/__pycache__")) or not (tmp_path / "__pycache__").exists()


def test_what_is_wrong_is_told_in_the_authors_terms(tmp_path: Path) -> None:
    output = tmp_path / "built.wasm"

    with pytest.raises(BuildError) as caught:
        build(project(tmp_path, BAD), output)
    assert not output.exists()
    assert str(caught.value) == "`handle` takes the parameter `size`, which weir.toml does not declare; must be one of: none"

def test_a_source_that_cannot_be_a_module_is_refused(tmp_path: Path) -> None:
    def fault(name: str) -> str:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
        with pytest.raises(BuildError) as caught:
            sources.stage(tmp_path, name, tmp_path / "staged")
        return str(caught.value)

    assert "`my-processor` is not a Python name" in fault("my-processor.py")
    assert "has the name of another module (`json`)" in fault("json.py")
    with pytest.raises(BuildError, match="file `missing.py` does not exist"):
        sources.stage(tmp_path, "missing.py", tmp_path / "staged")


def test_folders_are_packages_or_roots(tmp_path: Path) -> None:
    for name in ("src/one.py", "app/__init__.py", "app/two.py", "tests/test_x.py", ".weir/venv/x.py", "env/pyvenv.cfg", "env/y.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert sources.module_of(tmp_path, Path("src/one.py")) == (tmp_path / "src", "one")
    staged = sources.stage(tmp_path, "app/two.py", tmp_path / "staged")
    assert (staged.module, sorted(staged.texts)) == ("app.two", ["app/__init__.py", "app/two.py", "src/one.py"])


def test_memory_is_read_from_a_component() -> None:
    module = b"\0asm\1\0\0\0" + b"\5\4\1\1\2\3"
    component = b"\0asm\x0d\0\1\0" + b"\1" + bytes([len(module)]) + module
    assert memory.at_start(component) == 2 * 65536
    assert memory.at_start(b"\0asm\x0d\0\1\0\1\xff") is None
