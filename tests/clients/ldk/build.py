"""Builds the wallet: once, before the first test that wants it.

    python -m tests.clients.ldk.build

The program lands in `bin/` next to this file, and is built again when its sources or what pins its crates are newer.
What the compiler makes on the way outlives this folder: a new clone on the same machine builds only the wallet itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROGRAM = HERE / "bin" / "ldk-wallet"
#: A build older than these is stale.
SOURCES = (HERE / "Cargo.toml", HERE / "Cargo.lock", HERE / "src" / "main.rs")


class CargoMissing(RuntimeError):
    """The wallet has to be built, and there is no cargo to build it with."""

    def __init__(self) -> None:
        super().__init__("cargo is not installed")


class BuildFailed(RuntimeError):
    """The build stopped; the message carries the end of what the compiler said."""


def is_fresh() -> bool:
    """The program is there, and no older than what it is made of."""
    newest_source = max(source.stat().st_mtime for source in SOURCES)
    return PROGRAM.exists() and PROGRAM.stat().st_mtime >= newest_source


def program(say: Callable[[str], None] = lambda line: None) -> Path:
    """The current program; built now where needed.

    `say` hears of it before: with nothing in the cache it takes minutes.
    Repeat: safe; nothing is done when everything is current.
    Raises: CargoMissing; BuildFailed.
    """
    if is_fresh():
        return PROGRAM
    if shutil.which("cargo") is None:
        raise CargoMissing
    say("building the ldk wallet (once; it takes minutes)")
    built = cache() / "debug" / PROGRAM.name
    _build()
    PROGRAM.parent.mkdir(exist_ok=True)
    unfinished = PROGRAM.with_suffix(".unfinished")
    shutil.copy(built, unfinished)  # with the time of now: cargo's own may be older than the sources
    unfinished.replace(PROGRAM)
    return PROGRAM


def cache() -> Path:
    """Where cargo keeps what it has built."""
    if chosen := os.environ.get("CARGO_TARGET_DIR"):
        return Path(chosen).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "lsp-ldk"


def _build() -> None:
    # locked: a build never edits Cargo.lock, so what is committed is what was built.
    command = ["cargo", "build", "--quiet", "--locked"]
    environment = {**os.environ, "CARGO_TARGET_DIR": str(cache())}
    done = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildFailed(f"cargo build failed:\n{done.stderr[-2000:]}")


def main() -> int:
    try:
        print(f"the wallet is {program(say=lambda line: print(line, flush=True))}")
    except (CargoMissing, BuildFailed) as problem:
        print(f"the wallet cannot be built: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
