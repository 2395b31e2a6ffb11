"""What looks like a node's certificate and macaroon, for configurations that never reach a node."""

from __future__ import annotations

from pathlib import Path

from simulator.certificate import certificate

#: As LND writes the beginning of one.
MACAROON = b"\x02\x01\x03lnd" + b"\x07" * 64


def node_files(folder: Path) -> dict[str, str]:
    """The settings that name both, and the files they name."""
    folder.mkdir(exist_ok=True)
    certificate(folder)
    (folder / "lsp.macaroon").write_bytes(MACAROON)
    return {"LND_TLS_CERT": str(folder / "tls.cert"), "LND_MACAROON": str(folder / "lsp.macaroon")}
