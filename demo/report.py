"""Reports what came out, and whether it is correct."""

import json
import pathlib
from collections import Counter, defaultdict

SAMPLES = ["README.md", "ARCHITECTURE.md", "GPL-3", "MPL-2.0", "Artistic"]
NEXT_KIND = "ip"


class Report:
    def __init__(self, run, documents, planted, size_bytes, dead):
        self.run, self.documents, self.planted, self.size_bytes, self.dead = run, documents, planted, size_bytes, dead
        # The flow in which the redactor was swapped; in the other it was the splitter.
        self.swapped = next(flow for flow, swap in run.swaps.items() if swap.processor == "redactor")
        self.flows = list(run.collectors)
        self.lost = sum(collector.lost() for collector in run.collectors.values())
        self.doubled = sum(collector.doubled for collector in run.collectors.values())
        self.leaks = self.find_leaks()
        self.faults = self.find_faults()

    def is_good(self):
        return not (self.lost or self.doubled or self.dead or self.leaks or self.faults)

    def print(self):
        self.print_redacted()
        self.print_letter()
        self.print_terms()
        self.print_swap()
        self.print_sum()

    def print_redacted(self):
        """Counts by kind; of the flow that was swapped, apart for what came before the swap was done and after it."""
        print("WHAT WAS REDACTED, BY KIND")
        rows = []
        for flow in self.flows:
            chunks = self.run.collectors[flow].all()
            if flow != self.swapped:
                rows.append((flow, "", chunks))
                continue
            rows.append((flow, "before the swap", [chunk for chunk in chunks if chunk["arrived"] <= self.run.swaps[flow].end]))
            rows.append((flow, "after the swap", [chunk for chunk in chunks if chunk["arrived"] > self.run.swaps[flow].end]))
        kinds = ["email", "phone", "card", "iban", "token", "secret", "private-key", NEXT_KIND]
        print(f"{'flow':8} {'':15} {'chunks':>7}" + "".join(f"{kind:>{max(7, len(kind) + 1)}}" for kind in kinds))
        for flow, when, chunks in rows:
            counts = sum((Counter(chunk["redacted"]) for chunk in chunks), Counter())
            print(f"{flow:8} {when:15} {len(chunks):>7}" + "".join(f"{counts[kind] or '-':>{max(7, len(kind) + 1)}}" for kind in kinds))
        print()

    def letters_of(self, flow):
        """The chunks of made-up letters, by letter, in their order."""
        chunks = self.run.collectors[flow].chunks
        return {path: chunks.get(path, {}) for path in self.planted}

    def find_leaks(self):
        """What was planted and came out: nothing may, but for what only the next version finds."""
        leaks = []
        for flow, collector in self.run.collectors.items():
            for path, planted in self.planted.items():
                written = json.dumps(list(collector.chunks.get(path, {}).values()), ensure_ascii=False)
                leaks += [f"flow {flow}: the {kind} of {pathlib.Path(path).name}" for kind, text in planted.items() if kind != NEXT_KIND and text in written]
        return leaks

    def shows_address(self, flow):
        """Of each letter in its order, whether its IP address came out."""
        texts = {path: " ".join(chunk["text"] for chunk in chunks.values()) for path, chunks in self.letters_of(flow).items()}
        return [planted[NEXT_KIND] in texts[path] for path, planted in self.planted.items()]

    def find_faults(self):
        """The swap must show in the one flow, once and for good, and not in the other."""
        faults = []
        for flow in self.flows:
            shown = self.shows_address(flow)
            if flow != self.swapped and not all(shown):
                faults.append(f"flow {flow} was not swapped, but redacts like the next version")
            if flow == self.swapped and (all(shown) or sorted(shown, reverse=True) != shown):
                faults.append(f"flow {flow} was swapped, but did not switch to the next version's redaction at one point")
        return faults

    def print_letter(self):
        """The last letter, as it left both flows."""
        path = list(self.planted)[-1]
        print(f"{pathlib.Path(path).name.upper()}, FICTITIOUS")
        print(f"  {'sent':7} {self.middle(self.documents[path])}")
        for flow in self.flows:
            chunks = self.letters_of(flow)[path]
            print(f"  {flow:7} {self.middle(' '.join(chunks[index]['text'] for index in sorted(chunks)))}")
        print()

    def middle(self, text):
        line = " ".join(text.split())
        begin = max(line.find("to my account"), 0)
        return "..." + line[begin : begin + 215] + "..."

    def print_terms(self):
        print("KEY TERMS")
        for flow in self.flows:
            by_document = self.run.collectors[flow].chunks
            names = {pathlib.Path(path).name: path for path in reversed(by_document)}
            chosen = [names[name] for name in SAMPLES if name in names] or sorted(by_document, key=lambda path: -len(by_document[path]))
            for path in chosen[:3]:
                print(f"  {flow:7} {pathlib.Path(path).name:16} " + ", ".join(self.terms(by_document[path].values())))
        print()

    def terms(self, chunks):
        """The terms of most chunks; of two of as many, the one with the better score."""
        counts, best = Counter(), defaultdict(lambda: float("inf"))
        for chunk in chunks:
            for keyword in chunk["keywords"]:
                counts[keyword["term"]] += 1
                best[keyword["term"]] = min(best[keyword["term"]], keyword["score"])
        return sorted(counts, key=lambda term: (-counts[term], best[term]))[:6]

    def print_swap(self):
        print("THE SWAPS")
        for flow in self.flows:
            shown = self.shows_address(flow)
            print(f"  {flow:7} {sum(shown):2} of {len(shown)} letters kept their IP address, {len(shown) - sum(shown):2} lost it")
        for flow, swap in self.run.swaps.items():
            sent = len(self.run.rest)
            print(f"  {flow:7} {swap.processor} ({swap.news}): {swap.complete_before} documents completed before the swap, {sent} sent after it")
            self.print_gap(flow, swap)
        print()

    def print_gap(self, flow, swap):
        chunks = self.run.collectors[flow]
        # Not up to the documents that are sent later: until they arrive there is nothing to do.
        end = min(swap.end + 1, chunks.last_arrival(self.run.most) - 1e-6)
        before = chunks.longest_gap(swap.begin - (end - swap.begin), swap.begin)
        gap = chunks.longest_gap(swap.begin, end)
        if end <= swap.end or gap is None or before is None:
            print(f"          all chunks of {flow} had passed before the swap completed: no gap to measure")
            return
        print(f"          longest gap between two chunks of {flow}: {gap * 1e3:.0f} ms from the swap to {end - swap.end:.1f} s after it, ", end="")
        print(f"{before * 1e3:.0f} ms in an equally long period before")

    def print_sum(self):
        seconds = self.run.end - self.run.begin
        chunks = sum(self.run.collectors[flow].count() for flow in self.flows)
        both = len(self.flows) * self.size_bytes / 1e6
        print(f"{both:.1f} MB in, {chunks} chunks split, redacted and ranked in {seconds:.1f} s: {both / seconds:.1f} MB/s, {chunks / seconds:,.0f} chunks/s")
        kinds = len(next(iter(self.planted.values()))) - 1
        print(f"{len(self.planted) * kinds} pieces of personal data in fictitious letters, {len(self.leaks)} of them in the output")
        for problem in (self.leaks + self.faults)[:10]:
            print(f"  {problem}")
        print(f"{self.lost} lost, {self.doubled} duplicated" + (f", {len(self.dead)} in the dead letters" if self.dead else ""))
