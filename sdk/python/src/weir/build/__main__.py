"""The command line: `python -m weir.build`."""

import argparse
import sys
from pathlib import Path

from weir.build.component import BuildError, Project, build


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m weir.build", description="Build the WebAssembly component of a Weir project in Python")
    parser.add_argument("--project", type=Path, default=Path(), help="the folder of the project [default: .]")
    parser.add_argument("--source", default="processor.py", help="the Python file, relative to the project [default: processor.py]")
    parser.add_argument("--descriptor", type=Path, required=True, help="the descriptor (JSON) generated from weir.toml")
    parser.add_argument("--work", type=Path, help="the folder for intermediate files [default: PROJECT/.weir/build]")
    parser.add_argument("--output", type=Path, required=True, help="the component to write, without the section weir:descriptor")
    given = parser.parse_args()
    work = given.work or given.project / ".weir" / "build"
    try:
        built = build(Project(given.project, given.source, given.descriptor.read_text("utf-8"), work), given.output)
    except (BuildError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for warning in built.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return 0


sys.exit(main())
