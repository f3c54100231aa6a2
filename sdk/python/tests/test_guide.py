"""The code of the guide runs: each sample in it, with its manifest, in the kit. Its commands, and the files that it names, are done by
`tests/it/docs.rs`. A sample that is new in a page fails here until there is a test of it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import weir
import weir.testing
from weir.testing import Answer, Kit

REPOSITORY = Path(__file__).parents[3]
PAGES = REPOSITORY / "docs/writing-a-processor"
GUIDE = (PAGES / "python.md").read_text("utf-8")
README = (REPOSITORY / "sdk/python/README.md").read_text("utf-8")


def blocks(page: str, language: str) -> list[str]:
    """The samples of a language in a page, without those that are files."""
    return re.findall(rf"^ *```{language}\n(.*?)^ *```$", page, re.MULTILINE | re.DOTALL)


def block(language: str, words: str, page: str = GUIDE) -> str:
    found = [text for text in blocks(page, language) if words in text]
    assert len(found) == 1, f"{len(found)} samples in {language} have {words!r}"
    return found[0]


def file(name: str) -> str:
    found = re.search(rf"^```\w+ {re.escape(name)}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    assert found is not None, name
    return found[1]


def project(folder: Path, manifest: str, source: str) -> Kit:
    """A kit of a project with these two files, as an author has it."""
    plain = 'language = "python"\nname = "guide"\nversion = "0.1.0"\n' if "language" not in manifest else ""
    (folder / "weir.toml").write_text(plain + manifest, "utf-8")
    (folder / "processor.py").write_text(source if source.startswith("import") else f"import weir\n\n\n{source}", "utf-8")
    return weir.testing.kit(folder)


SIMPLE = 'consumers = ["input"]\nproducers = ["output"]\n'


def test_the_example_does_what_the_page_says(tmp_path: Path) -> None:
    kit = project(tmp_path, file("weir.toml"), file("processor.py")).parameter("shortest", 4)
    assert kit.handle("input", {"id": "a", "text": "the quick brown fox"}).json() == [{"id": "a", "words": 2, "longest": "quick"}]
    failure = kit.handle("input", {"id": "a"}).failure
    assert failure is not None and failure.verdict == "retry"
    assert failure.reason.split("\n")[0] == block("text", "KeyError").strip()


def test_a_file_of_the_project_is_read_at_the_top_level(tmp_path: Path) -> None:
    (tmp_path / "stop-words.txt").write_text("the a", "utf-8")
    names: dict[str, Any] = {"Path": Path, "__file__": str(tmp_path / "processor.py")}
    exec(block("python", "stop-words.txt"), names)
    assert names["WORDS"] == {"the", "a"}


def test_services_are_asked(tmp_path: Path) -> None:
    manifest = SIMPLE + block("toml", "[[requests]]")
    kit = project(tmp_path, manifest, block("python", "def rate"))
    handled = kit.answer("model", lambda request: len(request.json()["text"])).handle("input", {"id": "a", "text": "four"})
    assert handled.json() == [{"id": "a", "score": 4}]
    failure = kit.answer("model", Answer.of_error("timeout", "no answer")).handle("input", {"id": "a", "text": ""}).failure
    assert failure is not None and failure.verdict == "retry"

    body = "".join(f"    {line}\n" for line in block("python", "begin_request").splitlines())
    (tmp_path / "several").mkdir()
    other = manifest + '\n[[requests]]\nname = "language"\nrequest = "a"\nresponse = "b"\n'
    kit = project(tmp_path / "several", other, f"@weir.processor\ndef handle(doc: dict):\n{body}")
    handled = kit.answer("language", weir.Message.from_json("de")).answer("model", 0.5).handle("input", {"text": "Guten Tag"})
    assert handled.json() == [{"language": "de", "score": 0.5}]


def test_requests_are_answered(tmp_path: Path) -> None:
    kit = project(tmp_path, block("toml", "reply = "), block("python", "def lines"))
    assert kit.handle("count", "b\na").reply_json() == [{"lines": 2}]
    assert kit.handle("lines", "b\na").reply_json() == [{"line": "a"}, {"line": "b"}]


def test_configuration_is_followed(tmp_path: Path) -> None:
    (declared,) = re.findall(r"`(config-types = \[[^`]*\])`", GUIDE)
    kit = project(tmp_path, SIMPLE + declared, block("python", "def tag"))
    kit.config("tag-rule", "bills", {"pattern": "[Ii]nvoice", "tag": "bill"})
    assert kit.handle("input", weir.Message.from_text("an Invoice")).outputs()[0].properties == {"tags": "bill"}
    kit.config("tag-rule", "bills", {"pattern": "(", "tag": "bill"})
    handled = kit.handle("input", weir.Message.from_text("an Invoice"))
    assert handled.log[0].message == "component cannot be set up"
    assert handled.outputs()[0].properties == {"tags": "bill"}


def test_the_example_of_the_package_runs(tmp_path: Path) -> None:
    kit = project(tmp_path, block("toml", "word-counter", README), block("python", "def count", README))
    assert kit.handle("input", {"id": "a", "text": "to be"}).json() == [{"id": "a", "words": 2}]


def test_no_sample_is_left_out() -> None:
    tested = {"stop-words.txt", "def rate", "begin_request(", "def lines", "def tag"}
    assert [text for text in blocks(GUIDE, "python") if not any(words in text for words in tested)] == []
    assert len(blocks(GUIDE, "toml")) == 2
    assert (len(blocks(README, "python")), len(blocks(README, "toml"))) == (1, 1)


@pytest.mark.parametrize("page", [GUIDE, README], ids=["guide", "package"])
def test_what_the_pages_name_is_there(page: str) -> None:
    named = set(re.findall(r"\bweir((?:\.[A-Za-z_]\w*)+)", page)) - {".toml"}
    # Parts of the build, which need the contract around them.
    named -= {name for name in named if name.startswith((".build", "._"))}
    assert ".processor" in named
    for name in sorted(named):
        found: Any = weir
        for part in name.split(".")[1:]:
            assert hasattr(found, part), f"weir{name} is named, and is not there"
            found = getattr(found, part)
    for name in re.findall(r"`kit\.(\w+)\(", page):
        assert hasattr(Kit, name), name


def test_the_fixture_of_the_page_on_testing_is_one(tmp_path: Path) -> None:
    """A processor for which it was made."""
    (fixture,) = blocks((PAGES / "testing.md").read_text("utf-8"), "json")
    (tmp_path / "page.json").write_text(fixture, "utf-8")
    requests = [{"name": "shout", "request": "shout-request", "response": "shout-response"}]
    descriptor = {
        "schema": 1,
        "consumers": ["input"],
        "producers": ["output"],
        "config-types": ["prompt"],
        "parameters": [{"name": "shortest", "type": "integer"}],
        "requests": requests,
    }

    def handle(doc: dict[str, Any], *, shortest: int) -> Any:
        assert shortest == json.loads(fixture)["parameters"]["shortest"]
        if not doc["text"]:
            raise weir.Reject("field `text` is empty")
        weir.request("shout", weir.config.get("prompt", "greet"))
        weir.log.info("counted")
        return {"id": doc["id"], "words": len(doc["text"].split())}

    weir.testing.run_fixture(Kit(descriptor, handle), tmp_path / "page.json")
