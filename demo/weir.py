"""A `weir up` of our own, with its data in a temporary folder, and its command line."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request


class Weir:
    def __init__(self, binary, data, broker):
        """`broker` has the variables that name one; without any it is the embedded broker."""
        self.binary, self.data = binary, data
        environment = os.environ | broker
        if "WEIR_BROKER_PULSAR_ADMIN" in broker:
            self.prepare_broker(environment)
        self.log = open(data / "up.log", "w+b")
        self.process = subprocess.Popen(
            [binary, "up", "--data", data, "--listen", "127.0.0.1:0"],
            stdout=self.log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
        )
        deadline = time.monotonic() + 30
        while not (data / "gateway.json").exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.log.seek(0)
                sys.exit("demo: `weir up` did not start:\n" + self.log.read().decode(errors="replace"))
            time.sleep(0.02)
        self.url = json.loads((data / "gateway.json").read_text())["url"]

    def prepare_broker(self, environment):
        """Makes the tenant with its namespaces."""
        done = subprocess.run([self.binary, "--data", self.data, "init"], env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            sys.exit(f"demo: `weir init` failed:\n{done.stdout}{done.stderr}")

    def command(self, *arguments):
        return [str(self.binary), "--data", str(self.data), *map(str, arguments)]

    def run(self, *arguments):
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            sys.exit(f"demo: `weir {' '.join(map(str, arguments))}` failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def start(self, *arguments, **streams):
        return subprocess.Popen(self.command(*arguments), text=True, stdin=subprocess.DEVNULL, **streams)

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
