"""Turns HTML documents into plain text."""

import binascii
import re
from base64 import b64decode
from typing import Any, Literal, NamedTuple

import weir
from justhtml import Element, JustHTML, Node, SelectorError, matches, query

from decoding import decode
from rendering import render

_FIELDS = ("html", "html-base64")
_TAG = re.compile(r"<[a-zA-Z]")
_STRAY = re.compile(r"<(?![a-zA-Z/!?])")


class Document(NamedTuple):
    id: str
    title: str | None
    url: str
    html: str


@weir.setup
def check(*, select: str, remove: str) -> None:
    """Shows a wrong selector in the status, before any message."""
    _check_selector("select", select)
    _check_selector("remove", remove)


@weir.processor
def convert(
    message: weir.Message,
    *,
    links: Literal["none", "inline", "list"],
    select: str,
    remove: str,
    id_property: str,
    max_bytes: int,
    max_tags: int,
) -> dict[str, Any]:
    document = _read(message, id_property, max_bytes)
    tags = len(_TAG.findall(document.html))
    if tags > max_tags:
        raise weir.Reject(f"document `{document.id}` has {tags} tags; the limit is {max_tags}: increase parameter `max-tags`, or send it in parts")
    root = _parse(document.html)
    title = document.title or _title(root)
    text, found = render(_kept(root, select, remove), links, _base(root, document.url))
    result: dict[str, Any] = {"id": document.id}
    if title:
        result["title"] = title
    result["text"] = text
    if links == "list":
        result["links"] = [{"text": link.text, "url": link.url} for link in found]
    return result


def _read(message: weir.Message, id_property: str, max_bytes: int) -> Document:
    properties = message.properties
    if message.content_type is None or message.content_type.split(";")[0].strip().lower() == "application/json":
        fields = message.json()
        if not isinstance(fields, dict):
            raise weir.Reject('the body is JSON, but not an object: send {"id": "...", "html": "..."}, or HTML with the media type text/html')
        return _of_fields(fields, max_bytes)
    identity = properties.get(id_property) or weir.message_id()
    _check_size(identity, len(message.body), max_bytes)
    return Document(identity, properties.get("title"), properties.get("url", ""), decode(message.body, message.content_type))


def _of_fields(fields: dict[str, Any], max_bytes: int) -> Document:
    identity = _text(fields, "id")
    if not identity:
        raise weir.Reject("field `id` is missing or empty: add an id for the document")
    given = [name for name in _FIELDS if fields.get(name) is not None]
    if len(given) != 1:
        raise weir.Reject(f"document `{identity}` must have exactly one of the fields `html` (text) and `html-base64` (bytes)")
    value = _text(fields, given[0]) or ""
    if given[0] == "html":
        _check_size(identity, len(value.encode("utf-8", "replace")), max_bytes)
        html = value
    else:
        try:
            body = b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise weir.Reject(f"field `html-base64` of document `{identity}` is not base64") from None
        _check_size(identity, len(body), max_bytes)
        html = decode(body, _text(fields, "content-type"))
    return Document(identity, _text(fields, "title"), _text(fields, "url") or "", html)


def _text(fields: dict[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise weir.Reject(f"field `{name}` is {type(value).__name__}; it must be a string")
    return value


def _check_size(identity: str, size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise weir.Reject(f"document `{identity}` has {size} bytes of HTML; the limit is {max_bytes}: increase parameter `max-bytes`")


def _parse(html: str) -> Node:
    # Surrogates must not occur in a text. A `<` that begins no tag is text, which the parser detects more slowly.
    text = _STRAY.sub("&lt;", html.encode("utf-8", "replace").decode())
    return JustHTML(text, sanitize=False, scripting_enabled=True).root


def _title(root: Node) -> str | None:
    found = query(root, "title")
    return " ".join(found[0].to_text().split())[:1000] or None if found else None


def _base(root: Node, url: str) -> str:
    found = query(root, "base[href]")
    return url or (found[0].attrs.get("href") or "" if found else "")


def _kept(root: Node, select: str, remove: str) -> Node:
    """The document without what is not wanted."""
    if remove.strip():
        for element in query(root, remove):
            element.attrs["hidden"] = ""
    selected = query(root, select) if select.strip() else []
    if not selected:
        return root
    kept = Element("div", None, None)
    for element in _outermost(selected):
        # The parts are no longer in their original places: only what is below them is read.
        kept.children += [element, Element("hr", None, None)]
    return kept


def _outermost(elements: list[Node]) -> list[Node]:
    """Those that lie in no other, of elements in the order of the document."""
    outermost: list[Node] = []
    within: set[int] = set()
    for element in elements:
        if id(element) in within:
            continue
        outermost.append(element)
        below = [element]
        while below:
            node = below.pop()
            within.add(id(node))
            below += getattr(node, "children", None) or ()
    return outermost


def _check_selector(parameter: str, text: str) -> None:
    try:
        matches(Element("p", None, None), text or "*")
    except SelectorError as error:
        raise weir.Retry(f"parameter `{parameter}` is not a CSS selector: {error}") from None
