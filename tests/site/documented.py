"""What the pages for people tell to do: their blocks and commands, as they stand there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.house.source import ROOT

PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
#: These are run; `json` is an answer, `ini` is a file; `text` and `mermaid` are to be looked at.
RUNNABLE = {"sh", "python", "js"}
LANGUAGES = RUNNABLE | {"json", "ini", "text", "mermaid"}
#: A span between backticks that begins with one of these is a command.
PROGRAMS = {"make", "manage.py", "curl", "lncli", "docker", "systemctl", "sudo", "apt", "pip", "python", "python3"}
PROGRAMS |= {"pg_dump", "pg_restore", "psql", "createuser", "createdb", "git", "cp", "install", "useradd"}


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: str  # relative to the project
    heading: str
    language: str
    text: str


def blocks(page: str, heading: str | None = None, language: str | None = None) -> list[Block]:
    """Those of a page, of one of its headings, of one language."""
    found = _blocks(ROOT / page)
    return [b for b in found if heading in (None, b.heading) and language in (None, b.language)]


def _blocks(path: Path) -> Iterator[Block]:
    heading = ""
    inside: list[str] | None = None
    language = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            if inside is None:
                inside, language = [], line[3:].strip()
            else:
                yield Block(str(path.relative_to(ROOT)), heading, language, "\n".join(inside) + "\n")
                inside = None
        elif inside is not None:
            inside.append(line)
        elif line.startswith("#"):
            heading = line.lstrip("# ")


def commands(script: str) -> list[str]:
    """The commands of a `sh` block, each on one line or on several that belong together; comments are left out."""
    found, begun = [], ""
    for line in script.splitlines():
        begun += line + "\n"
        if not begun.strip() or line.endswith("\\") or not _is_whole(begun):
            continue
        if words := shlex.split(begun, comments=True):
            found.append(begun.strip() if "#" not in begun else shlex.join(words))
        begun = ""
    assert not begun.strip(), f"a command without its end: {begun}"
    return found


def _is_whole(text: str) -> bool:
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return False
    return True


def inline_commands(page: str) -> list[str]:
    """What stands between backticks in the page's sentences and tables and is a command, without the way to Python."""
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    spans = [plain(span) for span in re.findall(r"`([^`\n]+)`", text)]
    return [span for span in spans if span.split()[0] in PROGRAMS and len(span.split()) > 1 and "…" not in span]


def plain(command: str) -> str:
    """The command without whose it is and where its program is."""
    command = re.sub(r"^(sudo -u \w+ )?", "", command)
    command = re.sub(r"^(/srv/lsp/)?(\.venv/bin/)?python3? (?=manage\.py)", "", command)
    return re.sub(r"^(/srv/lsp/)?\.venv/bin/", "", command)
