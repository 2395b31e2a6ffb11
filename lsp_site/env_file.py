"""The file of settings (`.env`), read strictly: what would be dropped without a word stops the start instead.

A fault names the line by its number and shows nothing of what stands in it, which may be a key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from lsp_site.names import BEFORE_THE_FILE, is_known, nearest

_MARK = b"\xef\xbb\xbf"
_LINE = re.compile(r"(?:export +)?([A-Za-z_][A-Za-z0-9_]*)=(.*)")
_IN_QUOTES = re.compile(r"'([^']*)'|\"((?:[^\"\\]|\\.)*)\"")


class EnvFile:
    """What a file says, and what is wrong with it: one sentence each."""

    def __init__(self, raw: bytes, environment: Mapping[str, str]) -> None:
        self.values: dict[str, str] = {}
        self.faults: list[str] = []
        self._environment = environment
        self._lines: dict[str, int] = {}
        if raw.startswith(_MARK):
            self.faults.append(" begins with a byte-order mark, which hides its first line: save it without one.")
        try:
            lines = raw.removeprefix(_MARK).decode("utf-8").split("\n")
        except UnicodeDecodeError:
            self.faults.append(" must be text in UTF-8.")
            return
        for number, line in enumerate(map(str.strip, lines), start=1):
            self._read(number, line)

    def _read(self, number: int, line: str) -> None:
        if not line or line.startswith("#"):
            return
        try:
            name, value = assignment(line)
            self._refuse_without_effect(name, value)
        except ValueError as fault:
            self.faults.append(f", line {number}: {fault}.")
            return
        self._lines[name] = number
        self.values[name] = value

    def _refuse_without_effect(self, name: str, value: str) -> None:
        """Raises: ValueError for what would be read and change nothing."""
        if name in self._lines:
            raise ValueError(f"it sets the same as line {self._lines[name]}")
        if name in BEFORE_THE_FILE:
            if self._environment.get(name) != value:
                raise ValueError(f"{name} is looked for before this file is read: set it in the environment")
        elif not is_known(name):
            meant = nearest(name)
            meant = f": {meant} is meant, or else " if meant else ", and "
            raise ValueError(f"there is no such setting{meant}the names of other programs belong in the environment")


def assignment(line: str) -> tuple[str, str]:
    """Name and value. Raises: ValueError that repeats nothing of the line."""
    if not line.isprintable():
        raise ValueError("it has an invisible character")
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError("it must be NAME=value, without spaces around the =")
    return match[1], _value(match[2].strip())


def _value(text: str) -> str:
    if text[:1] in ("'", '"') and text:
        quoted = _IN_QUOTES.fullmatch(text)
        if quoted is None:
            raise ValueError("its quotes must be around the whole value")
        return quoted[1] if quoted[2] is None else re.sub(r"\\([\"\\$`])", r"\1", quoted[2])
    if re.search(r"(^|\s)#", text):
        raise ValueError("a comment must have a line of its own, and a # in a value quotes around it")
    return text


def fill(environment: MutableMapping[str, str], base: Path) -> list[str]:
    """What the file says is in the environment, except what that said before. Returns the faults of the file."""
    named = environment.get("LSP_ENV_FILE")
    if named == "":
        return []
    path = Path(named) if named else base / ".env"
    try:
        file = EnvFile(path.read_bytes(), environment)
    except FileNotFoundError:
        return [f"LSP_ENV_FILE names {path}, which is not there."] if named else []
    except OSError as error:
        return [f"{path} cannot be read: {error.strerror}."]
    for name, value in file.values.items():
        environment.setdefault(name, value)
    return [f"{path}{fault}" for fault in file.faults]
