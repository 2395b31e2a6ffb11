"""Functions of at most 60 lines and files of at most 400; docstrings are not counted.

`python -m tests.house.size` lists what is too long, and then how long functions and files are in general.
"""

from __future__ import annotations

import ast
import statistics
import sys

from tests.house.source import Source, with_tests

LONGEST_FUNCTION = 60
LONGEST_FILE = 400

_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def docstring_lines(node: ast.AST) -> int:
    """Lines of all docstrings in and under `node`."""
    total = 0
    for inner in ast.walk(node):
        if isinstance(inner, _Documented) and ast.get_docstring(inner, clean=False) is not None:
            first = inner.body[0]
            total += (first.end_lineno or first.lineno) - first.lineno + 1
    return total


def functions(source: Source) -> dict[str, int]:
    """The length of each function, from its `def` on, by `file:line name`."""
    lengths = {}
    for node in ast.walk(source.tree):
        if isinstance(node, _Function):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1 - docstring_lines(node)
            lengths[f"{source.name}:{node.lineno} {node.name}"] = lines
    return lengths


def file_length(source: Source) -> int:
    return len(source.text.splitlines()) - docstring_lines(source.tree)


def too_long(sources: tuple[Source, ...]) -> list[str]:
    """One sentence for each function and file above the limit."""
    found = []
    for source in sources:
        if (length := file_length(source)) > LONGEST_FILE:
            found.append(f"{source.name} has {length} lines (at most {LONGEST_FILE})")
        for name, lines in functions(source).items():
            if lines > LONGEST_FUNCTION:
                found.append(f"{name} has {lines} lines (at most {LONGEST_FUNCTION})")
    return found


def main() -> int:
    sources = with_tests()
    problems = too_long(sources)
    for problem in problems:
        print(problem)
    lengths = sorted(lines for source in sources for lines in functions(source).values())
    files = [file_length(source) for source in sources]
    print(
        f"sizes: {len(lengths)} functions, median {statistics.median(lengths):g}, "
        f"nine in ten at most {lengths[int(len(lengths) * 0.9)]}; "
        f"{len(files)} files, median {statistics.median(files):g}"
    )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
