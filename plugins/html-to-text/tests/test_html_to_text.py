"""The processor in plain pytest: its fixtures, and documents that are made to do harm."""

import time
from pathlib import Path
from typing import Any

import pytest
import weir
import weir.testing

FIXTURES = sorted(Path(__file__).parent.glob("*.json"))
#: On the slowest machine a hostile document takes some seconds; quadratic time would take minutes.
MANY = 40_000


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_fixture(path: Path) -> None:
    weir.testing.run_fixture(weir.testing.kit(), path)


def converted(html: str, **parameters: str) -> dict[str, Any]:
    kit = weir.testing.kit()
    for name, value in parameters.items():
        kit.parameter(name, value)
    result: dict[str, Any] = kit.handle("input", weir.Message(html.encode(), "text/html")).json()[0]
    return result


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * MANY + "x",
        "<b>" * MANY + "x" + "</b>" * MANY,
        "<i><b></i></b>" * (MANY // 2) + "x",
        "<table><tr><td>" * (MANY // 3) + "x",
        "<ul><li>" * (MANY // 2) + "x",
        "<p>x" + "</p>" * MANY,
        "<" * 1_000_000 + " x",
        "</" * MANY + "><p>x",
        "<a href='" * MANY + "x'><p>x",
        "&#x110000;&#0;&nosuch;&" * MANY + "x",
        "<p " + " ".join(f"a{number}=1" for number in range(MANY)) + ">x",
        "\0\ud83d".encode("utf-8", "replace").decode() * MANY + "x",
    ],
    ids=[
        "deep", "unclosed", "misnested", "tables", "lists", "closing", "less", "bogus", "quotes", "entities", "attributes", "nul",
    ],
)  # fmt: skip
def test_a_hostile_document_is_read_to_its_end(html: str) -> None:
    began = time.monotonic()
    assert "x" in converted(html)["text"]
    print(f"{time.monotonic() - began:.1f} s")


@pytest.mark.parametrize("html", ["<!--" * MANY, "<script>" * MANY, "<?" * MANY, "<![CDATA[" * MANY, "<!DOCTYPE " * MANY, ""])
def test_a_document_without_text_has_an_empty_one(html: str) -> None:
    assert converted(html)["text"] == ""


def test_the_order_of_a_selection_is_that_of_the_document() -> None:
    html = "<article>1<article>2</article></article><p class=x>3</p>"
    assert converted(html, select=".x, article")["text"] == "1\n\n2\n\n3"
    assert converted(html, select="h6")["text"] == "1\n\n2\n\n3", "what matches nothing leaves everything"


def test_a_wrong_selector_is_in_the_status() -> None:
    refusal = weir.testing.kit().parameter("remove", "p[").configure()
    assert refusal is not None and refusal.startswith("parameter `remove` is not a CSS selector: ")


def test_a_document_has_the_id_of_its_message_unless_a_property_says_more() -> None:
    kit = weir.testing.kit().parameter("id-property", "file")
    page = weir.Message(b"<p>x", "text/html")
    assert kit.handle("input", page).json() == [{"id": f"{1:032x}", "text": "x"}]
    assert kit.handle("input", page.with_properties(file="a.html", title="A")).json() == [{"id": "a.html", "title": "A", "text": "x"}]
