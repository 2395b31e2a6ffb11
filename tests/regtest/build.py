"""Builds the two programs of the test network, and the description of lnd's RPC interface.

    python -m tests.regtest.build

Everything lands in `bin/` next to this file and is built again when `go.mod` or `go.sum` is newer.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
BIN = HERE / "bin"
#: What the go command pins; a build older than these is stale.
PINS = (HERE / "go.mod", HERE / "go.sum")

PROGRAMS = {
    "btcd": "github.com/btcsuite/btcd",
    "lnd": "github.com/lightningnetwork/lnd/cmd/lnd",
}
#: RPC services that lnd leaves out by default; `lowscrypt` makes a new wallet cheap, for tests only.
TAGS = "invoicesrpc chainrpc walletrpc signrpc peersrpc lowscrypt"

#: lnd's RPC interface as a compiled descriptor set.
DESCRIPTORS = "lnd.protoset"
PROTO_FILES = (
    "lightning.proto",
    "stateservice.proto",
    "walletunlocker.proto",
    "chainrpc/chainkit.proto",
    "chainrpc/chainnotifier.proto",
    "invoicesrpc/invoices.proto",
    "peersrpc/peers.proto",
    "routerrpc/router.proto",
    "signrpc/signer.proto",
    "verrpc/verrpc.proto",
    "walletrpc/walletkit.proto",
)


class GoMissing(RuntimeError):
    """The programs have to be built, and there is no Go to build them with."""

    def __init__(self) -> None:
        super().__init__("Go is not installed")


class BuildFailed(RuntimeError):
    """The build stopped; the message carries the end of what the compiler said."""


def stale() -> list[str]:
    """The names in `bin/` that are missing or older than what pins them."""
    newest_pin = max(pin.stat().st_mtime for pin in PINS)
    products = (*PROGRAMS, DESCRIPTORS)
    return [name for name in products if not _is_fresh(BIN / name, newest_pin)]


def binaries(say: Callable[[str], None] = lambda line: None) -> Path:
    """The folder with current `btcd`, `lnd` and the descriptor set; built now where needed.

    `say` hears of each build before it starts: on a small machine lnd alone takes some five minutes.
    Repeat: safe; nothing is done when everything is current.
    Raises: GoMissing; BuildFailed.
    """
    to_build = stale()
    if to_build and shutil.which("go") is None:
        raise GoMissing
    BIN.mkdir(exist_ok=True)
    for name in to_build:
        say(f"building {name}{' (once; it takes minutes)' if name == 'lnd' else ''}")
        target = BIN / name
        unfinished = target.with_suffix(".unfinished")
        if name == DESCRIPTORS:
            _compile_descriptors(unfinished)
        else:
            _go_build(PROGRAMS[name], unfinished)
        os.utime(unfinished)  # go keeps the old time when nothing changed
        unfinished.replace(target)
    return BIN


def _is_fresh(path: Path, newest_pin: float) -> bool:
    return path.exists() and path.stat().st_mtime >= newest_pin


def _go_build(package: str, target: Path) -> None:
    # readonly: a build never edits go.mod or go.sum, so what is committed is what was built.
    _run(["go", "build", "-mod=readonly", "-trimpath", "-tags", TAGS, "-o", str(target), package])


def _compile_descriptors(target: Path) -> None:
    """One descriptor set from the .proto files of exactly the lnd that go.mod names."""
    _run(["go", "mod", "download", "github.com/lightningnetwork/lnd"])
    lnd = _run(["go", "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", "github.com/lightningnetwork/lnd"]).strip()
    protoc = [sys.executable, "-m", "grpc_tools.protoc"]
    _run([*protoc, f"-I{lnd}/lnrpc", "--include_imports", f"--descriptor_set_out={target}", *PROTO_FILES])


def _run(command: list[str]) -> str:
    environment = {**os.environ, "CGO_ENABLED": "0"}
    done = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildFailed(f"{command[0]} {command[1]} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def main() -> int:
    try:
        folder = binaries(say=lambda line: print(line, flush=True))
    except (GoMissing, BuildFailed) as problem:
        print(f"the test network cannot be built: {problem}", file=sys.stderr)
        return 1
    print(f"the programs of the test network are in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
