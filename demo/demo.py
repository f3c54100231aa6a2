#!/usr/bin/env python3
"""Sends a folder of real documents through two flows of one blueprint, swaps a processor in each while they run, and checks the output.

Each flow splits the documents, redacts the chunks and ranks their key terms. In one flow the redactor is swapped for a new version, in the
other the splitter in Rust for one in Python. Among the documents are letters with personal data that were made up. Everything goes through the command line and the exits of the flows, as an operator would do it. Only the standard library
is used.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from collect import Collector
from documents import letters, mixed, real_documents
from report import Report
from swaps import Swap
from weir import Weir

HERE = pathlib.Path(__file__).resolve().parent
STALL_S = 60
# How long the flow is watched after the swap before the rest is sent, which causes gaps of its own.
AFTER_S = 1
BLUEPRINT = "read-documents"
FLOWS = {
    "fine": {"size": 400, "overlap": 50, "border": "sentence", "replacement": "label", "terms": 4, "words": 3},
    "coarse": {"size": 2000, "overlap": 200, "border": "paragraph", "replacement": "last-4", "terms": 8, "words": 2},
}
# For each flow: what is swapped, its replacement, and what is new about it.
SWAPS = {
    "fine": ("redactor", "redactor@0.2.0", "it also finds IP addresses"),
    "coarse": ("splitter", "splitter@0.2.0", "in Python instead of Rust"),
}


def main():
    arguments = parse_arguments()
    arguments.results.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="weir-demo-") as folder:
        folder = pathlib.Path(folder)
        texts, planted = letters(folder / "letters")
        documents = mixed(real_documents(arguments.folders), texts)
        size_bytes = sum(len(text.encode()) for text in documents.values())
        say(f"{len(documents) - len(texts)} documents and {len(texts)} fictitious letters, {size_bytes / 1e6:.1f} MB of text, through two flows:")
        for flow, parameters in FLOWS.items():
            say(f"  {flow:7} splitter -> redactor -> keywords   " + " ".join(f"{name}={value}" for name, value in parameters.items()))
        say("")
        (folder / "weir").mkdir()
        weir = Weir(arguments.weir, folder / "weir", broker_of(arguments))
        try:
            set_up(weir, arguments.components)
            run = Run(weir, documents, arguments.results)
            run.go()
            dead = weir.json("dead-letters", "list", "--json")
            print("\n" + weir.run("status"))
            # An external broker would keep their queues.
            for flow in FLOWS:
                weir.run("flow", "stop", flow, "--discard")
        finally:
            weir.stop()
        report = Report(run, documents, planted, size_bytes, dead)
        report.print()
        print(f"the output is in {arguments.results}/")
    sys.exit(0 if report.is_good() else 1)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weir", type=pathlib.Path, required=True, help="the binary")
    parser.add_argument("--components", type=pathlib.Path, required=True, help="the folder of built plugins")
    parser.add_argument("--broker", help="the URL of RabbitMQ or Pulsar to use instead of the embedded broker; no other Weir may use its virtual host or its tenant `tg`")
    parser.add_argument("--pulsar-admin", help="the URL of Pulsar's admin API")
    parser.add_argument("--token-file", type=pathlib.Path, help="a file with a token for Pulsar; its role must be permitted to create the tenant `tg`")
    parser.add_argument("--results", type=pathlib.Path, default=pathlib.Path("demo-results"), help="the folder for the output")
    parser.add_argument("folders", nargs="*", type=pathlib.Path, help="folders or files to read")
    arguments = parser.parse_args()
    is_pulsar = (arguments.broker or "").startswith("pulsar")
    if is_pulsar and not arguments.pulsar_admin:
        parser.error("Pulsar requires --pulsar-admin, for example --pulsar-admin http://HOST:8080")
    if not is_pulsar and (arguments.pulsar_admin or arguments.token_file):
        parser.error("--pulsar-admin and --token-file require --broker pulsar://HOST:6650")
    return arguments


def broker_of(arguments):
    """The settings that name the broker, as variables: a URL may hold a password, which others could read on a command line."""
    named = {
        "WEIR_BROKER_URL": arguments.broker,
        "WEIR_BROKER_PULSAR_ADMIN": arguments.pulsar_admin,
        "WEIR_BROKER_TOKEN_FILE": arguments.token_file and str(arguments.token_file.resolve()),
    }
    return {name: value for name, value in named.items() if value}


def set_up(weir, components):
    # The largest of the licences produces thousands of chunks; the default limit is 1,000 sends per message.
    many = ["--limit", "sends-count=20000"]
    weir.run("deploy", "splitter@0.1.0", components / "weir_splitter.wasm", *many)
    weir.run("deploy", "redactor@0.1.0", components / "weir_redactor.wasm")
    weir.run("deploy", "keywords", components / "weir_keywords.wasm")
    types = json.loads((HERE / "parameter-types.json").read_text())
    values = [{"type": "parameter-type", "key": key, "value": json.dumps(value)} for key, value in types.items()]
    weir.post("/api/v1/config", {"operation": "put", "values": values})
    weir.run("blueprint", "put", BLUEPRINT, HERE / "blueprint.json")
    for flow, parameters in FLOWS.items():
        pairs = [word for name, value in parameters.items() for word in ("-p", f"{name}={value}")]
        weir.run("flow", "start", BLUEPRINT, flow, *pairs, "--description", f"Chunks of {parameters['size']} characters")
    # Only now, so that both flows start with the first versions.
    weir.run("deploy", "redactor@0.2.0", components / "weir_redactor_ip.wasm")
    weir.run("deploy", "splitter@0.2.0", components / "weir_splitter_python.wasm", *many, "--limit", "memory-bytes=268435456", "--limit", "time-ms=120000")


class Run:
    """Sends most documents, swaps while they flow, sends the rest, and waits until all is there."""

    def __init__(self, weir, documents, results):
        self.weir, self.documents, self.results = weir, documents, results
        self.collectors = {flow: Collector(weir, flow, documents, results / f"chunks-{flow}.ndjson") for flow in FLOWS}
        self.begin = self.end = 0.0
        self.swaps = {flow: Swap(weir, flow, *swap) for flow, swap in SWAPS.items()}
        self.senders, self.is_rest_sent = [], False
        names = list(documents)
        self.most, self.rest = names[: len(names) * 7 // 10], names[len(names) * 7 // 10 :]
        self.files = {"most": self.write("most", self.most), "rest": self.write("rest", self.rest)}

    def go(self):
        self.begin = time.monotonic()
        for collector in self.collectors.values():
            collector.start()
        self.send("most")
        self.watch()
        self.end = time.monotonic()
        for sender in self.senders:
            if sender.wait() != 0:
                sys.exit("demo: sending failed:\n" + sender.stderr.read())

    def write(self, part, names):
        lines = self.weir.data.parent / f"{part}.ndjson"
        with open(lines, "w", encoding="utf-8") as out:
            for name in names:
                out.write(json.dumps({"id": name, "title": pathlib.Path(name).name, "text": self.documents[name]}) + "\n")
        return lines

    def send(self, part):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        self.senders += [self.weir.start("send", flow, "documents", self.files[part], "--each-line", **quiet) for flow in FLOWS]

    def watch(self):
        """Shows what arrives until all is there or in the dead letters, or nothing has come for a minute."""
        collectors = list(self.collectors.values())
        last_count, last_change, shown, asked = -1, time.monotonic(), 0.0, time.monotonic()
        while any(collector.is_alive() for collector in collectors):
            time.sleep(0.05)
            self.swap_if_due()
            now, count = time.monotonic(), sum(collector.count() for collector in collectors)
            if count != last_count or any(swap.is_under_way for swap in self.swaps.values()):
                last_count, last_change = count, now
            elif now - last_change > STALL_S or (now - last_change > 3 and now - asked > 3 and self.is_rest_dead()):
                for collector in collectors:
                    collector.process.terminate()
                say(f"\nno output for {now - last_change:.0f} s: giving up")
                return
            if now - asked > 3:
                asked = now
            if sys.stdout.isatty() or now - shown > 2:
                shown = now
                say(f"{now - self.begin:5.1f} s  " + "   ".join(map(self.progress, FLOWS)), "\r" if sys.stdout.isatty() else "\n")
        if sys.stdout.isatty():
            print()

    def progress(self, flow):
        collector = self.collectors[flow]
        return f"{flow} {collector.complete}/{len(self.documents)} documents, {collector.count()} chunks"

    def swap_if_due(self):
        """Swaps once half of what was sent is through; what is sent a while after the swaps shows that they last."""
        now = time.monotonic()
        for flow, swap in self.swaps.items():
            if swap.is_due and self.collectors[flow].complete * 2 >= len(self.most):
                say(f"{now - self.begin:5.1f} s  {swap.start(self.collectors[flow].complete)}")
            elif answer := swap.answer():
                say(f"{now - self.begin:5.1f} s  {answer}")
        if not self.is_rest_sent and all(swap.end and now - swap.end > AFTER_S for swap in self.swaps.values()):
            self.is_rest_sent = True
            self.send("rest")

    def is_rest_dead(self):
        missing = sum(len(self.documents) - collector.complete for collector in self.collectors.values())
        return missing <= len(self.weir.json("dead-letters", "list", "--json"))


def say(text, end="\n"):
    print(f"{text:110}" if end == "\r" else text, end=end, flush=True)


if __name__ == "__main__":
    for name in ("WEIR_GATEWAY", "WEIR_TOKEN"):
        os.environ.pop(name, None)
    main()
