#!/usr/bin/env python3
"""Sends a folder of real documents through two flows of one blueprint, and checks that nothing was lost and nothing doubled.

Everything goes through the command line and the exits of the flows, as an operator would do it. Only the standard library is used.
"""

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent
MAX_DOCUMENT_BYTES = 2 << 20
STALL_S = 60
FLOWS = {
    "fine": {"size": "400", "overlap": "50", "border": "sentence"},
    "coarse": {"size": "2000", "overlap": "200", "border": "paragraph"},
}


def main():
    arguments = parse_arguments()
    documents = read_documents(arguments.folders or default_folders())
    if not documents:
        sys.exit("demo: no text documents found there; name a folder that holds some")
    size_bytes = sum(len(text.encode()) for text in documents.values())
    say(f"{len(documents)} documents, {size_bytes / 1e6:.1f} MB of text, through two flows: " + ", ".join(FLOWS))
    arguments.results.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="weir-demo-") as data:
        weir = Weir(arguments.weir, pathlib.Path(data))
        try:
            set_up(weir, arguments.components)
            collectors, seconds = run(weir, documents, arguments.results)
            letters = weir.json("dead-letters", "list", "--json")
            print_status(weir)
        finally:
            weir.stop()
    sys.exit(report(collectors, documents, letters, size_bytes, seconds, arguments.results))


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weir", type=pathlib.Path, required=True, help="the binary")
    parser.add_argument("--components", type=pathlib.Path, required=True, help="the folder of built plugins")
    parser.add_argument("--results", type=pathlib.Path, default=pathlib.Path("demo-results"), help="where the chunks are left")
    parser.add_argument("folders", nargs="*", type=pathlib.Path, help="folders or files to split")
    return parser.parse_args()


def default_folders():
    licences = [pathlib.Path("/usr/share/common-licenses"), *sorted(pathlib.Path("/usr/share/doc").glob("*/copyright"))]
    return [REPOSITORY, *licences]


def read_documents(places):
    """Text by path, of every file that is text in UTF-8. What is hidden, built, empty or larger than the limit is left out."""
    documents = {}
    for place in places:
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


class Weir:
    """A `weir up` of our own, with its data in a temporary folder."""

    def __init__(self, binary, data):
        self.binary, self.data = binary, data
        self.log = open(data / "up.log", "w+b")
        self.process = subprocess.Popen(
            [binary, "up", "--data", data, "--listen", "127.0.0.1:0"], stdout=self.log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 30
        while not (data / "gateway.json").exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.log.seek(0)
                sys.exit("demo: `weir up` did not start:\n" + self.log.read().decode(errors="replace"))
            time.sleep(0.02)
        self.url = json.loads((data / "gateway.json").read_text())["url"]

    def command(self, *arguments):
        return [str(self.binary), "--data", str(self.data), *map(str, arguments)]

    def run(self, *arguments):
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            sys.exit(f"demo: `weir {' '.join(map(str, arguments))}` failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def json(self, *arguments):
        return json.loads(self.run(*arguments))

    def post(self, path, body):
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer = json.load(answer)
        if answer.get("error"):
            sys.exit(f"demo: {path} answered {answer['error']}")
        return answer

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            sys.exit("demo: `weir up` did not stop within 30 s")
        if code != 0:
            self.log.seek(0)
            sys.exit(f"demo: `weir up` ended with exit code {code}:\n" + self.log.read().decode(errors="replace")[-4000:])


def set_up(weir, components):
    # The largest of the licences makes thousands of chunks; the default is 1,000 sends a message.
    weir.run("deploy", "splitter", components / "weir_splitter.wasm", "--limit", "sends-count=20000")
    types = json.loads((HERE / "parameter-types.json").read_text())
    values = [{"type": "parameter-type", "key": key, "value": json.dumps(value)} for key, value in types.items()]
    weir.post("/api/v1/config", {"operation": "put", "values": values})
    weir.run("blueprint", "put", "split-documents", HERE / "blueprint.json")
    for flow, parameters in FLOWS.items():
        pairs = [word for name, value in parameters.items() for word in ("-p", f"{name}={value}")]
        weir.run("flow", "start", "split-documents", flow, *pairs, "--description", f"Chunks of {parameters['size']} characters")


class Collector(threading.Thread):
    """Reads one flow's exit until every document has all its chunks."""

    def __init__(self, weir, flow, documents, file):
        super().__init__(daemon=True)
        self.flow, self.expected, self.file = flow, set(documents), file
        self.chunks, self.doubled, self.complete = {}, 0, 0
        self.process = subprocess.Popen(
            weir.command("tail", flow, "chunks", "--from-exit", "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self):
        with open(self.file, "w", encoding="utf-8") as out:
            for line in self.process.stdout:
                chunk = json.loads(line)["body"]
                out.write(json.dumps(chunk, ensure_ascii=False) + "\n")
                self.add(chunk)
                if self.complete == len(self.expected):
                    break
        self.process.terminate()
        self.process.wait()

    def add(self, chunk):
        have = self.chunks.setdefault(chunk["document"], {})
        if chunk["index"] in have:
            self.doubled += 1
            return
        have[chunk["index"]] = chunk
        if len(have) == chunk["count"]:
            self.complete += 1

    def count(self):
        return sum(map(len, list(self.chunks.values())))

    def missing(self):
        """Chunks that their document's count promises, and documents of which nothing came."""
        lost = 0
        for document in self.expected:
            have = self.chunks.get(document)
            lost += 1 if not have else next(iter(have.values()))["count"] - len(have)
        return lost


def run(weir, documents, results):
    lines = results / "documents.ndjson"
    with open(lines, "w", encoding="utf-8") as out:
        for name, text in documents.items():
            out.write(json.dumps({"id": name, "title": pathlib.Path(name).name, "text": text}) + "\n")
    collectors = [Collector(weir, flow, documents, results / f"chunks-{flow}.ndjson") for flow in FLOWS]
    begin = time.monotonic()
    for collector in collectors:
        collector.start()
    senders = [
        subprocess.Popen(weir.command("send", flow, "documents", lines, "--each-line"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for flow in FLOWS
    ]
    watch(weir, collectors, len(documents), begin)
    seconds = time.monotonic() - begin
    for sender in senders:
        if sender.wait() != 0:
            sys.exit("demo: sending failed:\n" + sender.stderr.read())
    lines.unlink()
    return collectors, seconds


def watch(weir, collectors, documents_count, begin):
    """Shows what arrives until all is there or in the dead letters, or nothing has come for a minute."""
    last_count, last_change, shown, asked = -1, time.monotonic(), 0.0, time.monotonic()
    while any(collector.is_alive() for collector in collectors):
        for collector in collectors:
            collector.join(timeout=0.1)
        now, count = time.monotonic(), sum(collector.count() for collector in collectors)
        if count != last_count:
            last_count, last_change = count, now
        elif now - last_change > STALL_S or (now - last_change > 3 and now - asked > 3 and is_rest_dead(weir, collectors, documents_count)):
            for collector in collectors:
                collector.process.terminate()
            say(f"\nnothing has come for {now - last_change:.0f} s: giving up")
            return
        if now - asked > 3:
            asked = now
        if sys.stdout.isatty() or now - shown > 2:
            shown = now
            parts = [f"{c.flow} {c.complete}/{documents_count} documents, {c.count()} chunks" for c in collectors]
            say(f"{now - begin:5.1f} s  " + "   ".join(parts) + f"   {count / (now - begin):,.0f} chunks/s", "\r" if sys.stdout.isatty() else "\n")
    if sys.stdout.isatty():
        print()


def is_rest_dead(weir, collectors, documents_count):
    missing = sum(documents_count - collector.complete for collector in collectors)
    return missing <= len(weir.json("dead-letters", "list", "--json"))


def print_status(weir):
    print()
    print(weir.run("status"), end="")
    print()


def report(collectors, documents, letters, size_bytes, seconds, results):
    lost, doubled = sum(c.missing() for c in collectors), sum(c.doubled for c in collectors)
    print(f"{'flow':8} {'documents':>9} {'chunks':>8} {'a document':>11} {'most':>6}  largest document")
    for collector in collectors:
        counts = {name: len(chunks) for name, chunks in collector.chunks.items()}
        largest = max(counts, key=counts.get, default="-")
        average = sum(counts.values()) / max(len(counts), 1)
        print(f"{collector.flow:8} {len(counts):>9} {sum(counts.values()):>8} {average:>11.1f} {counts.get(largest, 0):>6}  {largest}")
    sample(collectors[0])
    chunks = sum(c.count() for c in collectors)
    both = len(collectors) * size_bytes / 1e6
    print(f"{both:.1f} MB in, {chunks} chunks out in {seconds:.1f} s: {both / seconds:.1f} MB/s, {chunks / seconds:,.0f} chunks/s")
    dead = len(letters)
    print(f"{lost} lost, {doubled} doubled" + (f", {dead} in the dead letters" if dead else ""))
    print(f"the chunks are in {results}/")
    return 1 if lost or doubled or dead else 0


def sample(collector):
    """Shows two neighbouring chunks of one document, so that the overlap can be seen."""
    for name, chunks in collector.chunks.items():
        if len(chunks) > 2 and 1 in chunks and 2 in chunks:
            print(f"\n{name}, chunks 2 and 3 of {len(chunks)} in flow {collector.flow}:")
            for index in (1, 2):
                text = " ".join(chunks[index]["text"].split())
                print(f"  {index + 1}. {text if len(text) < 200 else text[:110] + ' ... ' + text[-80:]}")
            print()
            return


def say(text, end="\n"):
    print(f"{text:110}" if end == "\r" else text, end=end, flush=True)


if __name__ == "__main__":
    os.environ.pop("WEIR_GATEWAY", None)
    main()
