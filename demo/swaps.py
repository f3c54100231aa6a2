"""A swap of a processor in a running flow."""

import subprocess
import sys
import time

# Compiling a component with an interpreter in it takes a while on a small machine.
LONGEST = "300s"


class Swap:
    def __init__(self, weir, flow, processor, component, news):
        self.weir, self.flow, self.processor, self.component, self.news = weir, flow, processor, component, news
        self.begin = self.end = 0.0
        self.complete_before = 0
        self.process = None

    @property
    def is_due(self):
        return self.process is None

    @property
    def is_under_way(self):
        return self.process is not None and not self.end

    def start(self, complete_count):
        """Starts it when so many documents are through; the command, for people."""
        self.begin, self.complete_before = time.monotonic(), complete_count
        arguments = ["swap", self.flow, self.processor, self.component, "--wait", "--timeout", LONGEST]
        self.process = self.weir.start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return f"weir {' '.join(arguments[:5])} ({self.news})"

    def answer(self):
        """What the command said, once, when it has ended."""
        if not self.is_under_way or self.process.poll() is None:
            return None
        said = self.process.stdout.read()
        if self.process.returncode != 0:
            sys.exit(f"demo: the swap failed:\n{said}")
        self.end = time.monotonic()
        return ": ".join(line.strip() for line in said.splitlines())
