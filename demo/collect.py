"""Reads what leaves the flows, and counts."""

import json
import subprocess
import threading
import time


class Collector(threading.Thread):
    """Takes from the exit of a flow until every document has all its chunks there."""

    def __init__(self, weir, flow, documents, file):
        super().__init__(daemon=True)
        self.flow, self.expected, self.file = flow, set(documents), file
        self.chunks, self.doubled, self.complete = {}, 0, 0
        self.arrivals = []
        self.process = weir.start("take", flow, "chunks", "--follow", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE)

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
        now = time.monotonic()
        have = self.chunks.setdefault(chunk["document"], {})
        if chunk["index"] in have:
            self.doubled += 1
            return
        self.arrivals.append(now)
        have[chunk["index"]] = {**chunk, "arrived": now}
        if len(have) == chunk["count"]:
            self.complete += 1

    def count(self):
        return len(self.arrivals)

    def all(self):
        """All chunks, in the order in which they came."""
        return sorted((chunk for chunks in self.chunks.values() for chunk in chunks.values()), key=lambda chunk: chunk["arrived"])

    def lost(self):
        """Chunks that their document's count promises, and documents of which nothing came."""
        lost = 0
        for document in self.expected:
            have = self.chunks.get(document)
            lost += 1 if not have else next(iter(have.values()))["count"] - len(have)
        return lost

    def longest_gap(self, begin, end):
        """The longest time between two chunks that follow each other, of which one at least came between two moments; None without any."""
        pairs = zip(self.arrivals, self.arrivals[1:])
        return max((after - before for before, after in pairs if after >= begin and before <= end), default=None)

    def last_arrival(self, documents):
        """When the last chunk of some documents came."""
        chunks = (chunk for document in documents for chunk in self.chunks.get(document, {}).values())
        return max((chunk["arrived"] for chunk in chunks), default=0.0)
