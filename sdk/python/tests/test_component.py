"""The glue of a component, on modules like those that componentize-py makes of the contract."""

import enum
import importlib
import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from weir import _host, _late_imports, _registry

DESCRIPTOR = json.dumps(
    {
        "schema": 1,
        "consumers": ["input"],
        "producers": ["output"],
        "parameters": [{"name": "prefix", "default": "> "}],
        "requests": [{"name": "model", "request": "q", "response": "a"}],
    }
)


class Err(Exception):
    def __init__(self, value: Any) -> None:
        self.value = value


@dataclass
class Message:
    body: bytes
    content_type: str | None
    properties: list[tuple[str, str]]


@dataclass
class Failure:
    verdict: enum.Enum
    reason: str
    delay_ms: int | None


class World:
    """The host behind the modules."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.parameters = [("prefix", "> ")]
        kinds = enum.Enum("ErrorKind", "TIMEOUT UNAVAILABLE FAILED INVALID", start=0)
        self.refuse = lambda reason: Err(SimpleNamespace(kind=kinds["INVALID"], reason=reason))
        levels = enum.Enum("Level", "TRACE DEBUG INFO WARN ERROR", start=0)
        self.modules: dict[str, Any] = {
            "componentize_py_types": {"Err": Err},
            "wit_world": {},
            "wit_world.imports": {},
            "wit_world.imports.delivery": {
                "Message": Message, "Failure": Failure, "Verdict": enum.Enum("Verdict", "RETRY BUSY REJECT", start=0),
            },
            "wit_world.imports.messaging": {
                "ErrorKind": kinds, "Part": enum.Enum("Part", "MORE LAST", start=0), "send": self.send, "reply": self.note("reply"),
                "request": lambda to, message, timeout_ms: [Message(b"0.5", None, [])], "begin_request": lambda *_: 7,
                "next_reply": lambda call: None,
            },
            "wit_world.imports.context": {
                name: (lambda name=name: name)
                for name in ("processor", "flow", "variant", "deployment", "outputs", "message_id", "attempt", "remaining_ms")
            } | {"parameters": lambda: self.parameters},
            "wit_world.imports.config": {"get": lambda *_: None, "keys": lambda _: [], "version": lambda _: 0},
            "wit_world.imports.log": {
                "Level": levels, "enabled": lambda level: level.value >= 2, "write": self.note("log"),
            },
        }  # fmt: skip

    def note(self, name: str) -> Any:
        return lambda *arguments: self.calls.append((name, *arguments))

    def send(self, to: str, message: Message) -> None:
        if to != "output":
            raise self.refuse(f"there is no output `{to}`")
        self.calls.append(("send", to, message))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World()
    for name, content in made.modules.items():
        module = ModuleType(name)
        module.__path__ = []
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    for name in list(made.modules)[3:]:
        setattr(sys.modules["wit_world.imports"], name.split(".")[-1], sys.modules[name])
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "weir._component", raising=False)
    monkeypatch.setattr(_registry, "handlers", [])
    monkeypatch.setattr(_registry, "setups", [])
    # Here that would be those of the test, and of all that it loaded.
    monkeypatch.setattr(_late_imports, "_is_of_package", lambda module: False)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", list(root.handlers))
    level = root.level
    before = _host.enter(None)
    yield made
    _host.enter(before)
    root.setLevel(level)
    sys.modules.pop("authored", None)
    sys.modules.pop("weir._component", None)


def component(tmp_path: Path, source: str, descriptor: str = DESCRIPTOR) -> tuple[Any, Any]:
    (tmp_path / "authored.py").write_text(source)
    importlib.invalidate_caches()
    made = importlib.import_module("weir._component").component(
        module="authored", source="authored.py", descriptor=descriptor, files={str(tmp_path / "authored.py"): source}, late_imports=["csv"]
    )
    return made[0](), made[1]()


def fault(tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str) -> str:
    with pytest.raises(RuntimeError, match="cannot be built"):
        component(tmp_path, source)
    line = next(line for line in capsys.readouterr().err.splitlines() if line.startswith("weir: the processor cannot be built: "))
    text: str = json.loads(line.split(": ", 2)[2])
    return text


def test_messages_go_through(tmp_path: Path, world: World) -> None:
    handler, setup = component(
        tmp_path,
        "import weir\n@weir.processor\ndef handle(doc, *, prefix):\n    weir.log.info('seen', n=1)\n"
        "    return {'text': prefix + doc['text'], 'score': weir.request('model', 1)}\n",
    )
    setup.configure([])
    handler.handle("input", Message(b'{"text": "a"}', None, []))
    log, sent = world.calls
    assert log[2:] == ("seen", [("n", "1")])
    assert sent == ("send", "output", Message(b'{"text":"> a","score":0.5}', None, []))


def test_what_fails_is_an_error_of_the_contract(tmp_path: Path, world: World) -> None:
    handler, _ = component(
        tmp_path,
        "import sys\nimport weir\n@weir.processor\ndef handle(doc):\n    if doc == 1:\n        raise weir.Busy('wait', delay=2)\n"
        "    if doc == 2:\n        sys.exit()\n    weir.send('nowhere', doc)\n",
    )

    def failure(doc: int) -> tuple[str, str, int | None]:
        with pytest.raises(Err) as caught:
            handler.handle("input", Message(str(doc).encode(), None, []))
        value = caught.value.value
        return value.verdict.name, value.reason.split("\n")[0], value.delay_ms

    assert failure(1) == ("BUSY", "wait", 2000)
    assert failure(2)[:1] == ("RETRY",) and "ended the process (sys.exit())" in failure(2)[1]
    verdict, reason, _ = failure(3)
    assert (verdict, reason.split(" (")[0]) == ("REJECT", "there is no output `nowhere`") and "authored.py line 9 in handle" in reason


def test_setup_refuses_with_a_reason(tmp_path: Path, world: World) -> None:
    world.parameters = []
    _, setup = component(tmp_path, "import weir\n@weir.processor\ndef handle(doc, *, prefix: str): ...\n")
    with pytest.raises(Err) as caught:
        setup.configure([])
    assert caught.value.value == "parameter `prefix` is missing: set it in the flow, or give it a default in weir.toml"


def test_what_cannot_be_built_is_told(tmp_path: Path, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert fault(tmp_path, capsys, "x = 1\n").startswith("no function has the decorator `@weir.processor`")


def test_an_error_at_the_top_level_is_told(tmp_path: Path, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    told = fault(tmp_path, capsys, "import weir\n\nweir.send('output', 1)\n")
    assert "no host is available outside a handler or setup" in told and "authored.py line 3" in told


def test_a_syntax_error_is_told(tmp_path: Path, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    told = fault(tmp_path, capsys, "import weir\n\ndef handle(:\n")
    assert told.startswith("the module cannot be loaded: SyntaxError: ") and told.endswith(" line 3: def handle(:)")
    assert "authored.py line 3" in told


def test_a_missing_package_is_told(tmp_path: Path, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    told = fault(tmp_path, capsys, "import nosuch\n")
    first, *trace = told.split("\n")
    assert first.startswith("there is no module `nosuch` (") and "authored.py line 1 in <module>: import nosuch" in first
    assert first.endswith(": name its package in requirements.txt; it must be pure Python")
    assert trace[-1] == "ModuleNotFoundError: No module named 'nosuch'" and "importlib" not in told
