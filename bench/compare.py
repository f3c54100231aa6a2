#!/usr/bin/env python3
"""Runs benches of two builds in turns and prints after against before: bench/compare.py BEFORE AFTER [BENCH...]

BEFORE and AFTER are folders with `weir`, `weir-bench` and, in `guests`, the components of the tests. The builds take turns, and the order
changes from round to round. A figure above 1 means that AFTER is better. Where a bench measures a limit in the same run, its ratio against
that limit is compared, since a shared machine changes its speed between two runs; otherwise its rate or time is.
"""

import re
import statistics
import subprocess
import sys
from pathlib import Path

ROUNDS_COUNT = 7
TIMEOUT_S = 300
# Name, arguments, where the figure is, and whether more of it is better.
BENCHES = [
    ("flow, of the log alone", ["flow", "--rounds", "1"], r"median of 1: .* ratio ([\d.]+)", True),
    ("handle, of a bare call", ["handle", "--rounds", "9"], r"minimum of 9: .* ratio ([\d.]+)", False),
    ("post, of bare axum", ["post", "--rounds", "1", "--messages", "100000"], r"median of 1: .* ratio ([\d.]+)", True),
    ("import, messages a second", ["import", "--rounds", "1"], r"import (\d+)/s", True),
    ("request, 64 outstanding, a second", ["request"], r"concurrency 1, 64 outstanding: .* (\d+)/s", True),
    ("request, 1 outstanding, us", ["request"], r"concurrency 1, 1 outstanding: median (\d+) us", False),
    ("start, ms to the settle", ["start", "--rounds", "10"], r"settled after (\d+) ms", False),
    ("status of 200 flows, ms", ["status", "--rounds", "10"], r"calls: (\d+) ms", False),
]


def figure(build: Path, arguments: list[str], pattern: str) -> float:
    command = [build / "weir-bench", "--guests", build / "guests", *arguments]
    output = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True).stdout
    found = re.findall(pattern, output)
    if not found:
        sys.exit(f"{' '.join(arguments)}: no figure in\n{output}")
    return float(found[-1])


def main() -> None:
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    before, after = (Path(folder).resolve() for folder in sys.argv[1:3])
    wanted = sys.argv[3:]
    for name, arguments, pattern, more_is_better in BENCHES:
        if wanted and arguments[0] not in wanted:
            continue
        figures: dict[Path, list[float]] = {before: [], after: []}
        for at in range(ROUNDS_COUNT):
            for build in (before, after) if at % 2 == 0 else (after, before):
                figures[build].append(figure(build, arguments, pattern))
        old, new = (statistics.median(figures[build]) for build in (before, after))
        gain = new / old if more_is_better else old / new
        spread = f"{min(figures[before]):g} to {max(figures[before]):g}, {min(figures[after]):g} to {max(figures[after]):g}"
        print(f"{name}: before {old:g}, after {new:g}, after against before {gain:.2f} ({spread})", flush=True)


if __name__ == "__main__":
    main()
