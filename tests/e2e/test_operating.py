"""What the operator's page says of lnd, on a real one."""

from __future__ import annotations

import shlex
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from lightning.credentials import Credentials
from lightning.node import LndNode
from tests.regtest.fixtures import AddPeer
from tests.regtest.network import Network
from tests.site.documented import blocks
from tests.site.test_run import ROOT, free_address

PAGE = "docs/operating.md"


def test_the_macaroon_is_baked_as_the_page_says(network: Network, tmp_path: Path) -> None:
    """By the page's own words, with lnd's folder in a home of ours."""
    lsp, out = network.lsp, tmp_path / "lsp.macaroon"
    admin = tmp_path / ".lnd/data/chain/bitcoin/mainnet/admin.macaroon"
    admin.parent.mkdir(parents=True)
    admin.write_bytes(lsp.admin_macaroon.read_bytes())
    [block] = blocks(PAGE, "Baking the macaroon", "sh")
    script = block.text.replace(".venv/bin/python", sys.executable).replace(
        "--out ", f"--out {shlex.quote(str(tmp_path))}/"
    )
    environment = {"HOME": str(tmp_path), "LSP_HOME": str(tmp_path), "LSP_ENV_FILE": "", "LND_NETWORK": "regtest"}
    environment |= {"LND_GRPC": lsp.grpc_address, "LND_TLS_CERT": str(lsp.tls_certificate), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(["bash", "-e", "-c", script], env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    node = LndNode(Credentials(lsp.grpc_address, str(lsp.tls_certificate), str(out), "regtest"))
    assert node.info().pubkey == lsp.pubkey and out.read_bytes() != lsp.admin_macaroon.read_bytes()


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    """All that the page writes into lnd.conf, with an address of this test."""
    text = "\n".join(block.text for block in blocks(PAGE, "lnd.conf", "ini"))
    assert "rpclisten=0.0.0.0:10009" in text
    path = tmp_path / "lnd.conf"
    path.write_text(text.replace("0.0.0.0:10009", free_address()))
    return path


def test_lnd_takes_the_lines_of_the_page(add_peer: AddPeer, configuration: Path) -> None:
    """It does not start with a line that it does not know, and a name in its certificate shows that it read them."""
    lnd = add_peer(f"--configfile={configuration}")
    assert b"host.docker.internal" in ssl.PEM_cert_to_DER_cert(lnd.tls_certificate.read_text())
