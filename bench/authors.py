#!/usr/bin/env python3
"""Measures what an author waits for, and what components of each language cost a host: bench/authors.py WEIR [WEIR-BENCH]

WEIR is a release build in a checkout. In a temporary folder, for each language: `weir new`, the first `weir build` (which brings the tools, from
the caches of pip and npm where they have them), one after an edit, and `weir test`; the size of the component; the time from saving a file to
the new version handling a message (`weir dev`); `handle` against a bare call and the memory of an instance, if WEIR-BENCH is given. Then a Weir
with a flow of a component in each language is started again and again: the time until its gateway reports that all of them run.
"""

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

LANGUAGES = {"rust": "src/lib.rs", "python": "processor.py", "js": "src/processor.js", "ts": "src/processor.ts"}
#: An edit that changes what comes out, by language: the count of words is one higher.
EDITS = {
    "rust": ("words }))", "words: words + 1 }))"),
    "python": ("len(words)", "len(words) + 1"),
    "js": ("words: words.length", "words: words.length + 1"),
    "ts": ("words: words.length", "words: words.length + 1"),
}
DEADLINE_S = 300
STARTS_COUNT = 5
DEV_ROUNDS = 2


class Author:
    def __init__(self, weir, folder):
        self.weir, self.folder = weir, folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WEIR_")}
        self.environment = kept | {"NO_COLOR": "1", "CARGO_TARGET_DIR": str(folder / "target")}

    def run(self, *arguments, where="."):
        began = time.monotonic()
        done = subprocess.run([self.weir, *map(str, arguments)], cwd=self.folder / where, env=self.environment, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"weir {' '.join(map(str, arguments))} failed:\n{done.stdout}{done.stderr}")
        return done.stdout, time.monotonic() - began

    def start(self, *arguments, log):
        return subprocess.Popen([self.weir, *map(str, arguments)], cwd=self.folder, env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)


def wait_for(what, condition, pause_s=0.005):
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(pause_s)
    sys.exit(f"timed out waiting for {what}")


def edit(author, language):
    """Changes the source, and the fixture that holds it; both ways in turn."""
    source, fixture = (author.folder / name(language) / path for path in (LANGUAGES[language], "tests/example.json"))
    text, expected = source.read_text(), json.loads(fixture.read_text())
    before, after = EDITS[language]
    is_edited = after in text
    assert before in text or is_edited, f"{source} has no `{before}`"
    for message in expected["messages"]:
        for output in message["expected"].get("outputs", {}).get("output", []):
            output["json"]["words"] += -1 if is_edited else 1
    fixture.write_text(json.dumps(expected))
    source.write_text(text.replace(after, before) if is_edited else text.replace(before, after))


def name(language):
    return f"count-{language}"


def build(author, language):
    project = name(language)
    _, new_s = author.run("new", "--lang", language, project)
    _, first_s = author.run("build", where=project)
    edit(author, language)
    _, again_s = author.run("build", where=project)
    _, test_s = author.run("test", where=project)
    size = (author.folder / project / f"{project}.wasm").stat().st_size
    print(f"{language:8} new {new_s:.2f} s, first build {first_s:.1f} s, build after an edit {again_s:.1f} s, test {test_s:.1f} s, {size / 1024:,.0f} KiB", flush=True)


def dev(author, language):
    """From saving a file to an output of the new version, in a flow of a Weir of its own."""
    log = open(author.folder / f"dev-{language}.log", "w+")
    process = author.start("dev", name(language), log=log)
    said = lambda: Path(log.name).read_text()
    wait_for("weir dev", lambda: "ms after the change" in said())
    data = re.search(r"weir --data (\S+) send", said()).group(1)
    message = author.folder / "m.json"
    message.write_text(json.dumps({"id": "a", "text": "to be or not"}))
    times = []
    for _ in range(DEV_ROUNDS):
        count = said().count("ms after the change")
        began = time.monotonic()
        edit(author, language)
        wait_for("the new version", lambda: said().count("ms after the change") > count)
        outputs = said().count('"words":')
        author.run("--data", data, "send", "dev", "input", message)
        wait_for("an output", lambda: said().count('"words":') > outputs)
        times.append(time.monotonic() - began)
    process.send_signal(signal.SIGINT)
    process.wait(DEADLINE_S)
    print(f"{language:8} from saving to an output of the new version: {', '.join(f'{took:.1f}' for took in times)} s", flush=True)


def handle(bench, author, language):
    component = author.folder / name(language) / f"{name(language)}.wasm"
    rounds = 5 if language != "rust" else 15
    done = subprocess.run([bench, "--guests", "-", "handle", "--rounds", str(rounds), "--component", component], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)
    print(f"{language:8} " + "; ".join(done.stdout.splitlines()[-3:]), flush=True)


def up(author, data):
    log = open(author.folder / "up.log", "w+")
    process = author.start("--data", data, "up", "--listen", "127.0.0.1:0", log=log)
    noted = data / "gateway.json"
    wait_for("the gateway", lambda: noted.exists() and json.loads(noted.read_text())["pid"] == process.pid if noted.exists() else False, 0.001)
    return process, json.loads(noted.read_text())


def running_count(url):
    try:
        with urllib.request.urlopen(f"{url}/api/v1/weir/status", timeout=5) as answer:
            hosts = json.load(answer)["hosts"]
    except OSError:
        return 0
    return sum(processor["state"] == "running" for host in hosts for processor in host["processors"])


def starts(author):
    """Starts with components of all languages compiled and cached."""
    data = author.folder / "data"
    process, noted = up(author, data)
    flow = {}
    for language in LANGUAGES:
        author.run("--data", data, "deploy", author.folder / name(language) / f"{name(language)}.wasm")
        flow[f"{name(language)}:{{id}}"] = {"topics": {"input": f"flow:tg:in-{language}:{{id}}", "output": f"flow:tg:out-{language}:{{id}}"}}
    blueprint = author.folder / "blueprint.json"
    blueprint.write_text(json.dumps({"blueprint": {}, "flow": flow, "interfaces": {}}))
    author.run("--data", data, "blueprint", "put", "all", blueprint)
    author.run("--data", data, "flow", "start", "all", "one")
    wait_for("all processors", lambda: running_count(noted["url"]) == len(LANGUAGES), 0.05)
    times = []
    for _ in range(STARTS_COUNT):
        process.send_signal(signal.SIGTERM)
        process.wait(DEADLINE_S)
        began = time.monotonic()
        process, noted = up(author, data)
        wait_for("all processors", lambda: running_count(noted["url"]) == len(LANGUAGES), 0.002)
        times.append((time.monotonic() - began) * 1000)
    process.send_signal(signal.SIGTERM)
    process.wait(DEADLINE_S)
    print(f"start of weir up with {len(LANGUAGES)} cached components to all running: median {statistics.median(times):.0f} ms, longest {max(times):.0f} ms of {STARTS_COUNT}")


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    weir = Path(sys.argv[1]).resolve()
    bench = Path(sys.argv[2]).resolve() if len(sys.argv) == 3 else None
    with tempfile.TemporaryDirectory(prefix="weir-authors-") as folder:
        author = Author(weir, Path(folder))
        for language in LANGUAGES:
            build(author, language)
        for language in LANGUAGES:
            dev(author, language)
        if bench:
            for language in LANGUAGES:
                handle(bench, author, language)
        starts(author)


if __name__ == "__main__":
    main()
