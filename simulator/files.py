"""Files that nobody ever sees half of."""

from __future__ import annotations

from pathlib import Path


def write(path: Path, content: bytes, *, secret: bool = True) -> None:
    """The file has this content; a secret one is readable by its owner alone."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=0o600 if secret else 0o644)
    unfinished.write_bytes(content)
    unfinished.replace(path)
