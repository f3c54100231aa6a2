"""Bytes to text, as browsers do it: a byte order mark, else what the content type says, else what the document says of itself."""

import codecs
import importlib
import re

#: The encodings that the web means by these names are supersets of them (https://encoding.spec.whatwg.org/).
_SUPERSETS = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    # A document that declares this in ASCII letters cannot be in it.
    "utf-16": "utf-8",
    "utf-16-le": "utf-8",
    "utf-16-be": "utf-8",
}

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

#: Browsers search the first KiB for a declaration; documents do not always comply.
_DECLARED_WITHIN = 4096
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_META = re.compile(r"<meta\s[^>]*?charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_XML = re.compile(r"\s*<\?xml\s[^>]*?encoding\s*=\s*[\"']([\w.:-]+)", re.IGNORECASE)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)

#: Python loads a codec at its first use, which is too late in a component.
_CODECS = (
    "big5hkscs big5 cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 cp866 cp874 cp932 cp949 euc_jp euc_kr gb18030 gb2312 gbk "
    "iso2022_jp iso8859_1 iso8859_10 iso8859_11 iso8859_13 iso8859_14 iso8859_15 iso8859_16 iso8859_2 iso8859_3 iso8859_4 iso8859_5 "
    "iso8859_6 iso8859_7 iso8859_8 iso8859_9 koi8_r koi8_u latin_1 mac_cyrillic mac_roman shift_jis tis_620 utf_16_be utf_16_le utf_8"
)
for _codec in _CODECS.split():
    importlib.import_module(f"encodings.{_codec}")


def decode(body: bytes, content_type: str | None) -> str:
    """The text of a document. Bytes that are invalid in its encoding become U+FFFD."""
    for mark, encoding in _MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(encoding, "replace")
    declared = _known(charset(content_type)) or _known_in_document(body)
    if declared is not None:
        return body.decode(declared, "replace")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        # A document without a declaration is from the old web, unless almost all of it is UTF-8.
        return body.decode("cp1252" if error.start < len(body) // 2 else "utf-8", "replace")


def charset(content_type: str | None) -> str | None:
    """The charset of a content type."""
    found = _CHARSET.search(content_type or "")
    return found[1] if found else None


def _known_in_document(body: bytes) -> str | None:
    beginning = body[:_DECLARED_WITHIN].decode("latin-1")
    found = _META.search(_COMMENT.sub("", beginning)) or _XML.match(beginning)
    name = _known(found[1]) if found else None
    return _SUPERSETS.get(name, name) if name else None


def _known(label: str | None) -> str | None:
    """The codec of a label, if there is one that makes text of bytes."""
    if not label:
        return None
    try:
        found = codecs.lookup(label.strip().strip("'\""))
    except (LookupError, ValueError):
        return None
    if not getattr(found, "_is_text_encoding", True):
        return None
    return found.name if found.name.startswith("utf-16") else _SUPERSETS.get(found.name, found.name)
