"""`make buy` and `make jit` where they have no wallet to buy with."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.site.conftest import NO_NODE, made
from tests.site.test_run import ROOT, UNREACHABLE_NODE, home

__all__ = ["home"]


def make_buy(home: Path, *said: str, target: str = "buy", **environment: str) -> subprocess.CompletedProcess[str]:
    settings = {"LSP_ENV_FILE": "", "LSP_HOME": str(home), "DJANGO_SETTINGS_MODULE": "lsp_site.settings", **environment}
    return subprocess.run(made(target, *said), env=os.environ | settings, capture_output=True, text=True, cwd=ROOT)


@pytest.mark.parametrize(("target", "words"), [("buy", "the wallet is yours"), ("jit", "wallets are real")])
def test_a_configured_node_has_a_wallet_of_its_own(home: Path, target: str, words: str) -> None:
    done = make_buy(home, target=target, **UNREACHABLE_NODE)
    assert done.returncode != 0 and words in done.stderr


@pytest.mark.parametrize("target", ["buy", "jit"])
def test_where_the_simulated_node_is_the_configured_one_its_wallet_buys(tmp_path: Path, target: str) -> None:
    """As with LSP_ENV_FILE=.lsp/simulated/server.env. Here nothing runs, so no purchase comes of it."""
    node = tmp_path / "simulated" / "node"
    node.mkdir(parents=True)
    (node / "listen").write_text(UNREACHABLE_NODE["LND_GRPC"])
    (node / "tls.cert").touch()
    (node / "admin.macaroon").touch()
    done = make_buy(tmp_path, target=target, **UNREACHABLE_NODE)
    assert done.returncode != 0 and "`make run`" in done.stderr and "A node is configured" not in done.stderr


@pytest.mark.parametrize("target", ["buy", "jit"])
def test_without_the_server_a_visitor_is_told_to_start_it(home: Path, target: str) -> None:
    done = make_buy(home, target=target, **NO_NODE)
    assert done.returncode != 0 and "`make run` first" in done.stderr and "Traceback" not in done.stderr


def test_an_invoice_cannot_be_paid_late_and_a_visitor_is_told_how_to_see_that(home: Path) -> None:
    done = make_buy(home, "PAY=late", **NO_NODE)
    assert done.returncode != 0 and "make buy RAIL=onchain PAY=late" in done.stderr
