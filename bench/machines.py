#!/usr/bin/env python3
"""Measures a Weir of several processes on one machine: bench/machines.py WEIR ECHO.wasm BROKER_URL [MESSAGES [ROUNDS]]

BROKER_URL is a RabbitMQ of its own, for example that of `target/debug/rabbitmq`. A flow of three echo processors works off messages of 1 KiB
with one host and with two, in turns; then a processor of it is swapped with `--wait` over three hosts while messages flow, and the leading
flow service is killed while another one stands by. Each message is counted at the end: the numbers of lost and duplicated messages are printed.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

DEADLINE_S = 300
FLOW = "line"
SWAPS_COUNT = 10
TAKEOVERS_COUNT = 5
BLUEPRINT = {
    "blueprint": {},
    "flow": {
        f"echo:{{id}}-{at}": {
            "topics": {"input": f"flow:tg:stage-{at}:{{id}}", "output": f"flow:tg:stage-{at + 1}:{{id}}"},
            "component": "echo@1.0.0",
        }
        for at in range(3)
    },
    "interfaces": {"in": {"flow": "flow:tg:stage-0:{id}"}, "out": {"flow": "flow:tg:stage-3:{id}"}},
}


class Site:
    """The processes, each with a data folder of its own."""

    def __init__(self, weir: str, broker: str, folder: Path) -> None:
        self.weir, self.broker, self.folder = weir, broker, folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.address = ""

    def start(self, role: str, name: str, *arguments: str) -> None:
        (self.folder / name).mkdir(exist_ok=True)
        log = open(self.folder / f"{name}.log", "ab")
        environment = os.environ | {"WEIR_BROKER_URL": self.broker}
        if self.address:
            environment["WEIR_GATEWAY"] = self.address
        command = [self.weir, "run", role, "--data", str(self.folder / name), *arguments]
        self.processes[name] = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def end(self, name: str) -> None:
        process = self.processes.pop(name)
        process.terminate()
        process.wait(timeout=DEADLINE_S)

    def gateway(self) -> None:
        self.start("gateway", "gateway", "--listen", "127.0.0.1:0")
        self.address = until("the gateway's address", self.noted)

    def noted(self) -> str | None:
        printed = (self.folder / "gateway.log").read_text()
        return next((word.rstrip(",;") for word in printed.split() if word.startswith("http://127.0.0.1:")), None)

    def run(self, *arguments: str, text: str | None = None) -> str:
        command = [self.weir, "--gateway", self.address, *arguments]
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=DEADLINE_S)
        if done.returncode != 0:
            raise RuntimeError(f"weir {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def hosts_count(self) -> int:
        status = json.loads(self.run("--json", "status"))
        return sum(1 for host in status["hosts"] if host["presence"] == "reporting" and len(host["processors"]) == 3)

    def arrived(self) -> int:
        """How many messages have passed all stages."""
        queues = json.loads(self.run("--json", "queues", FLOW))
        rows = queues["queues"] if isinstance(queues, dict) else queues
        (exit_queue,) = [row for row in rows if row["topic"] == f"flow:tg:stage-3:{FLOW}"]
        return exit_queue.get("ready-count") or exit_queue.get("depth-count") or 0

    def send(self, first: int, count: int) -> None:
        padding = "x" * 980
        lines = "".join(json.dumps({"number": number, "text": padding}) + "\n" for number in range(first, first + count))
        self.run("send", FLOW, "in", "--each-line", "-", text=lines)

    def take(self, at_least: int) -> list[int]:
        """The numbers of all messages that have passed."""
        until(f"{at_least} messages", lambda: self.arrived() >= at_least)
        lines = self.run("take", FLOW, "out", "--count", str(self.arrived())).splitlines()
        return [json.loads(line)["number"] for line in lines]


def until(what: str, look):
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        with contextlib.suppress(RuntimeError, FileNotFoundError):
            if found := look():
                return found
        time.sleep(0.1)
    sys.exit(f"timed out after {DEADLINE_S} s waiting for {what}")


class Tally:
    """Lost and duplicated messages over all measures."""

    def __init__(self) -> None:
        self.sent = self.lost = self.doubled = 0

    def count(self, first: int, count: int, taken: list[int]) -> None:
        expected = set(range(first, first + count))
        self.sent += count
        self.lost += len(expected - set(taken))
        self.doubled += len(taken) - len(set(taken))

    def __str__(self) -> str:
        return f"{self.sent} sent, {self.lost} lost, {self.doubled} duplicated"


def rate(site: Site, hosts_count: int, count: int, tally: Tally, first: int) -> float:
    """Messages a second through all stages, between a tenth and nine tenths of them."""
    site.send(first, count)
    for at in range(hosts_count):
        site.start("host", f"host-{at}", "--name", f"host-{at}")
    samples = []
    while not samples or samples[-1][1] < count * 9 // 10:
        samples.append((time.monotonic(), site.arrived()))
        time.sleep(0.05)
    inner = [(at, arrived) for at, arrived in samples if arrived >= count // 10]
    tally.count(first, count, site.take(count))
    for at in range(hosts_count):
        site.end(f"host-{at}")
    return (inner[-1][1] - inner[0][1]) / (inner[-1][0] - inner[0][0])


def swaps(site: Site, tally: Tally, first: int) -> list[float]:
    """Milliseconds of each `weir swap --wait` over three hosts, while messages flow."""
    for at in range(3):
        site.start("host", f"host-{at}", "--name", f"host-{at}")
    until("three hosts", lambda: site.hosts_count() == 3)
    sent, end = [first], threading.Event()

    def keep_sending() -> None:
        while not end.is_set():
            site.send(sent[0], 500)
            sent[0] += 500

    sending = threading.Thread(target=keep_sending)
    sending.start()
    times = []
    for at in range(SWAPS_COUNT):
        begun = time.monotonic()
        site.run("swap", FLOW, f"echo:{FLOW}-1", f"echo@{2 - at % 2}.0.0", "--wait")
        times.append((time.monotonic() - begun) * 1000)
    end.set()
    sending.join()
    tally.count(first, sent[0] - first, site.take(sent[0] - first))
    return times


def takeovers(site: Site) -> list[float]:
    """Milliseconds from the kill of the leader to the first operation that the standby has answered."""
    leader, standby, times = "flow-0", "flow-1", []
    site.start("flow", standby)
    for _ in range(TAKEOVERS_COUNT):
        until("the standby", lambda: "standing by" in (site.folder / f"{standby}.log").read_text())
        begun = time.monotonic()
        site.kill(leader)
        site.run("blueprint", "list")
        times.append((time.monotonic() - begun) * 1000)
        (site.folder / f"{leader}.log").unlink()
        leader, standby = standby, leader
        site.start("flow", standby)
    return times


def measure(site: Site, component: str, count: int, rounds: int) -> None:
    site.start("config", "config")
    site.start("flow", "flow-0")
    site.gateway()
    for version in ("1.0.0", "2.0.0"):
        until(f"echo@{version}", lambda: site.run("deploy", f"echo@{version}", component) or True)
    blueprint = site.folder / "line.json"
    blueprint.write_text(json.dumps(BLUEPRINT))
    until("the flow service", lambda: site.run("blueprint", "put", FLOW, str(blueprint)) or True)
    site.run("flow", "start", FLOW, FLOW)
    tally, first, rates = Tally(), 0, {1: [], 2: []}
    # A host compiles the component once; later ones of its folder find the code.
    for hosts_count in (1, 2):
        rate(site, hosts_count, 1000, tally, first)
        first += 1000
    for at in range(rounds):
        for hosts_count in (1, 2) if at % 2 == 0 else (2, 1):
            rates[hosts_count].append(rate(site, hosts_count, count, tally, first))
            first += count
    one, two = (statistics.median(rates[hosts_count]) for hosts_count in (1, 2))
    spread = ", ".join(f"{min(found):.0f} to {max(found):.0f}" for found in rates.values())
    print(f"three stages: one host {one:.0f}/s, two hosts {two:.0f}/s, ratio {two / one:.2f} (medians of {rounds}; {spread})", flush=True)
    found = swaps(site, tally, first)
    print(f"swap --wait over three hosts: median {statistics.median(found):.0f} ms, worst {max(found):.0f} ms of {len(found)}", flush=True)
    found = takeovers(site)
    print(f"takeover: median {statistics.median(found):.0f} ms, worst {max(found):.0f} ms of {len(found)}")
    print(f"messages: {tally}")


def main() -> None:
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    weir, component, broker = sys.argv[1:4]
    count, rounds = (int(given) for given in (sys.argv[4:] + ["20000", "5"][len(sys.argv) - 4 :])[:2])
    with tempfile.TemporaryDirectory(prefix="weir-machines-") as folder:
        site = Site(str(Path(weir).resolve()), broker, Path(folder))
        try:
            measure(site, component, count, rounds)
        except BaseException:
            for name in site.processes:
                sys.stderr.write(f"--- {name} ---\n" + (Path(folder) / f"{name}.log").read_text()[-1500:])
            raise
        finally:
            for process in site.processes.values():
                process.kill()
                process.wait()


if __name__ == "__main__":
    main()
