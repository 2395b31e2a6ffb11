"""The project's own source files, parsed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("lsp_site", "streams", "watch", "lsps", "orders", "simulator", "lightning", "chain")


@dataclass(frozen=True)
class Source:
    """One file."""

    name: str  # relative to the project
    text: str
    tree: ast.Module


@cache
def first_party() -> tuple[Source, ...]:
    """Every file of the packages that is written by hand (migrations and generated code are not)."""
    return tuple(_sources(PACKAGES))


@cache
def with_tests() -> tuple[Source, ...]:
    return (*first_party(), *_sources(("tests",)))


def _sources(folders: tuple[str, ...]) -> Iterator[Source]:
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    if "lsp_site" in folders:
        paths.append(ROOT / "manage.py")
    for path in sorted(paths):
        if "migrations" not in path.parts and "_pb2" not in path.name:
            text = path.read_text(encoding="utf-8")
            yield Source(str(path.relative_to(ROOT)), text, ast.parse(text, filename=str(path)))


def imported(source: Source) -> set[str]:
    """The dotted names that the file imports."""
    names: set[str] = set()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names
