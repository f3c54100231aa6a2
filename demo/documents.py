"""What is sent: real documents, and letters with personal data that were made up for the demo."""

import pathlib
import sys

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
MAX_DOCUMENT_BYTES = 2 << 20
LETTERS = 40

# Numbers that issuers publish for tests.
CARDS = ["4111 1111 1111 1111", "5555-5555-5555-4444", "3782 822463 10005", "4242424242424242", "6011 1111 1111 1117"]
IBANS = ["DE89 3704 0044 0532 0130 00", "GB29NWBK60161331926819", "FR14 2004 1010 0505 0001 3M02 606", "NL91 ABNA 0417 1643 00"]
NAMES = ["Ada", "Blaise", "Clara", "Dana", "Edgar", "Frida", "Grace", "Henri"]
LETTER = """From: {name} <{email}>
Subject: order {number}

Please refund order {number} to my account {iban}, not to the card {card} that I paid with. You can call me at {phone} about the refund.

I could not do it myself: the shop at {ip} answers that my password is wrong. It was password={secret} when I paid.

Our script sends the header `Authorization: Bearer {token}` with each order, if that helps to find the refund.
"""


def letter(number):
    """A letter, and what must not leave a flow that redacts everything, by kind."""
    name = NAMES[number % len(NAMES)]
    planted = {
        "email": f"{name.lower()}.{number}@example.com",
        "iban": IBANS[number % len(IBANS)],
        "card": CARDS[number % len(CARDS)],
        # Ranges reserved for fiction, and addresses reserved for documentation.
        "phone": f"+44 20 7946 0{100 + number}" if number % 2 else f"(202) 555-01{number % 100:02}",
        "ip": f"203.0.113.{number + 1}" if number % 3 else f"2001:db8::7:{number + 1:x}",
        "secret": f"n0t-a-real-0ne-{number}",
        "token": f"made-up-{number:04}-0123456789abcdef",
    }
    return LETTER.format(name=f"{name} Example", number=f"no. {number + 1}", **planted), planted


def letters(folder):
    """Writes the letters into a folder; returns their texts and what was planted in them, both by path."""
    texts, planted = {}, {}
    folder.mkdir()
    for number in range(LETTERS):
        path = folder / f"letter-{number + 1:02}.txt"
        text, planted[str(path)] = letter(number)
        path.write_text(text, encoding="utf-8")
        texts[str(path)] = text
    return texts, planted


def real_documents(places):
    """Text by path, of every file that is text in UTF-8. What is hidden, built, empty or larger than the limit is left out."""
    documents = {}
    for place in places or default_places():
        if not place.exists():
            sys.exit(f"demo: {place} does not exist")
        files = [place] if place.is_file() else sorted(place.rglob("*"))
        for file in files:
            inside = file.relative_to(place).parts if file != place else ()
            if any(part.startswith(".") or part in ("target", "demo-results", "node_modules") for part in inside):
                continue
            if not file.is_file() or not 0 < file.stat().st_size <= MAX_DOCUMENT_BYTES:
                continue
            if place == REPOSITORY and file.suffix not in (".md", ".wit") and file.name != "LICENSE":
                continue
            try:
                documents[str(file)] = file.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue
    return documents


def default_places():
    licences = [pathlib.Path("/usr/share/common-licenses"), *sorted(pathlib.Path("/usr/share/doc").glob("*/copyright"))]
    return [REPOSITORY, *licences]


def mixed(documents, texts):
    """The documents in their order, with the texts spread evenly among them."""
    every = max(1, len(documents) // len(texts))
    rest = list(texts.items())
    result = {}
    for at, (name, text) in enumerate(documents.items()):
        if at % every == 0 and rest:
            path, made_up = rest.pop(0)
            result[path] = made_up
        result[name] = text
    return result | dict(rest)
