"""Builds the component of a project: `python -m weir.build`, which `weir build` calls.

It requires only the environment that it runs in: a virtual environment with `weir-sdk[build]` and the project's requirements.
"""

from weir.build.component import COMPONENTIZE_PY, BuildError, Project, build

__all__ = ["COMPONENTIZE_PY", "BuildError", "Project", "build"]
