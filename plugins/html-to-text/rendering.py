"""A parsed document as plain text: paragraphs at empty lines, items of lists with marks, rows of tables with bars."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urljoin

from justhtml import Node

#: Elements without readable content.
SKIPPED = frozenset(
    "applet area audio base basefont canvas datalist embed frame frameset head iframe input link map meta noembed noframes noscript object "
    "param picture script select source style svg template textarea title track video".split()
)
_PARAGRAPHS = frozenset("article aside blockquote dl fieldset figure footer form h1 h2 h3 h4 h5 h6 header hgroup main nav p pre section table".split())
_LINES = frozenset("address body caption center dd details dialog dir div dt figcaption hr html legend li menu ol optgroup option summary tr ul".split())
_LISTS = frozenset(("ul", "ol", "menu", "dir"))
#: What the cells of a data table do not contain.
_OF_LAYOUT = (_PARAGRAPHS | _LINES) - frozenset(("tr", "caption", "body", "html"))
_CELLS = frozenset(("td", "th"))
_MAX_INDENTATION = 10


@dataclass(frozen=True)
class Link:
    """Where a link leads to."""

    text: str
    url: str


@dataclass
class _Written:
    """Text so far. White space is held back until something follows that it separates."""

    pieces: list[str] = field(default_factory=list)
    breaks: int = 0
    is_spaced: bool = False
    #: The prefix of the next line.
    mark: str = ""
    indentation: int = 0

    def line(self) -> None:
        self.breaks = max(self.breaks, 1)

    def paragraph(self) -> None:
        self.breaks = 2

    def forced_line(self) -> None:
        self.breaks += 1

    def words(self, text: str) -> None:
        words = text.split()
        if not words:
            self.is_spaced = self.is_spaced or bool(text)
            return
        self._begin(self.is_spaced or text[0].isspace())
        self.pieces.append(" ".join(words))
        self.is_spaced = text[-1].isspace()

    def as_it_is(self, text: str) -> None:
        if text:
            self._begin(self.is_spaced)
            self.pieces.append(text)

    def _begin(self, is_spaced: bool) -> None:
        if self.breaks or not self.pieces:
            if self.pieces:
                self.pieces.append("\n" * min(self.breaks, 2))
            self.pieces.append("  " * min(self.indentation, _MAX_INDENTATION) + self.mark)
            self.mark = ""
        elif is_spaced:
            self.pieces.append(" ")
        self.breaks, self.is_spaced = 0, False

    def mark_item(self, mark: str) -> None:
        self.line()
        self.mark = mark


def render(root: Node, links: str, base: str) -> tuple[str, list[Link]]:
    """The text, and the links if they are wanted as a list."""
    written, found = _Written(), []
    rendering = _Rendering(written, links, base, _tables_of_layout(root))
    for event, element in _events(root):
        if event == "text":
            rendering.text(element)
        elif event == "enter":
            rendering.enter(element)
        else:
            found += rendering.leave(element)
    return "".join(written.pieces), found


def _events(root: Node) -> Iterator[tuple[str, Node]]:
    """The document, element by element, however deep it is."""
    open_elements: list[tuple[Node, Iterator[Node]]] = [(root, iter(root.children or ()))]
    while open_elements:
        parent, children = open_elements[-1]
        child = next(children, None)
        if child is None:
            open_elements.pop()
            if open_elements:
                yield "leave", parent
        elif child.name == "#text":
            yield "text", child
        elif child.name[0] not in "#!" and child.name not in SKIPPED and not _is_hidden(child):
            yield "enter", child
            open_elements.append((child, iter(child.children or ())))


def _is_hidden(element: Node) -> bool:
    attributes = element.attrs
    if not attributes:
        return False
    if "hidden" in attributes:
        return True
    style = attributes.get("style")
    return bool(style) and "none" in style and "display:none" in style.replace(" ", "").lower()


def _tables_of_layout(root: Node) -> set[int]:
    """Tables that place things on a page, rather than hold data."""
    layout: set[int] = set()
    tables: list[int] = []
    for event, element in _events(root):
        if event == "enter":
            if element.name in _OF_LAYOUT and tables:
                layout.add(tables[-1])
            if element.name == "table":
                tables.append(id(element))
        elif event == "leave" and element.name == "table":
            tables.pop()
    return layout


@dataclass
class _Rendering:
    written: _Written
    links: str
    base: str
    layout: set[int]
    lists: list[int | None] = field(default_factory=list)
    tables: list[bool] = field(default_factory=list)
    preformatted: int = 0
    anchors: list[int] = field(default_factory=list)
    is_first_cell: bool = True

    def text(self, text: Node) -> None:
        data = text.data if isinstance(text.data, str) else ""
        if self.preformatted:
            self._preformatted(data)
        else:
            self.written.words(data)

    def _preformatted(self, text: str) -> None:
        first, *rest = text.replace("\r\n", "\n").split("\n")
        self.written.as_it_is(first)
        for line in rest:
            self.written.forced_line()
            self.written.as_it_is(line.rstrip())

    def enter(self, element: Node) -> None:
        name, written = element.name, self.written
        if name in _PARAGRAPHS and not self._is_in_data():
            # The first paragraph of an item is on the same line as the item's mark.
            written.line() if written.mark else written.paragraph()
        elif name in _LISTS:
            written.line() if self.lists else written.paragraph()
            self.lists.append(_start(element) if name == "ol" else None)
            written.indentation = len(self.lists) - 1
        elif name in _LINES:
            written.line()
        if name == "br":
            written.forced_line()
        elif name == "li":
            written.mark_item(self._next_mark())
        elif name == "table":
            self.tables.append(id(element) not in self.layout)
        elif name == "tr":
            self.is_first_cell = True
        elif name in _CELLS:
            self._cell()
        elif name == "pre":
            self.preformatted += 1
        elif name == "a" and self.links != "none":
            self.anchors.append(len(written.pieces))
        elif name == "img" and _attribute(element, "alt"):
            written.words(_attribute(element, "alt"))

    def leave(self, element: Node) -> list[Link]:
        name, written = element.name, self.written
        if name in _LISTS:
            self.lists.pop()
            written.indentation = max(len(self.lists) - 1, 0)
            written.mark = ""
            written.line() if self.lists else written.paragraph()
        elif name in _PARAGRAPHS and not (name != "table" and self._is_in_data()):
            written.paragraph()
        elif name in _LINES:
            written.line()
        if name == "table":
            self.tables.pop()
        elif name == "pre":
            self.preformatted -= 1
        elif name == "tr" and self._is_in_data() and not self.is_first_cell:
            written.breaks = 0
            written.is_spaced = True
            written.as_it_is("|")
            written.line()
        elif name == "a" and self.links != "none":
            return self._link(element)
        return []

    def _is_in_data(self) -> bool:
        return bool(self.tables) and self.tables[-1]

    def _cell(self) -> None:
        if not self._is_in_data():
            self.written.line()
        elif self.is_first_cell:
            self.written.as_it_is("|")
        else:
            self.written.is_spaced = True
            self.written.as_it_is("|")
        self.written.is_spaced = self._is_in_data()
        self.is_first_cell = False

    def _next_mark(self) -> str:
        if not self.lists or self.lists[-1] is None:
            return "- "
        number = self.lists[-1]
        self.lists[-1] = number + 1
        return f"{number}. "

    def _link(self, element: Node) -> list[Link]:
        text = "".join(self.written.pieces[self.anchors.pop() :]).strip()
        url = _absolute(self.base, _attribute(element, "href").strip())
        if not url or not text:
            return []
        if self.links == "list":
            return [Link(text.removeprefix("- "), url)]
        if url != text:
            self.written.is_spaced = True
            self.written.as_it_is(f"({url})")
        return []


def _attribute(element: Node, name: str) -> str:
    return (element.attrs or {}).get(name) or ""


def _start(element: Node) -> int:
    digits = _attribute(element, "start").strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else 1


def _absolute(base: str, href: str) -> str | None:
    """The address of a link that leads elsewhere; `None` for one in the same page, or to code."""
    if not href or href.startswith("#"):
        return None
    try:
        url = urljoin(base, href)
    except ValueError:
        return None
    return None if url.split(":")[0].lower() in ("javascript", "data", "vbscript") else url
