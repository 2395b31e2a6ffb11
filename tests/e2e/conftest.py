"""The shop: our server's domain on the network's real node."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client

from orders.books import recounting
from orders.models import Service
from tests.e2e.shop import Shop
from tests.regtest.fixtures import adding_peers
from tests.regtest.network import Network


@pytest.fixture
def shop(network: Network, transactional_db: None, settings: Any) -> Iterator[Shop]:
    """Everything a purchase needs, in this process."""
    lsp = network.lsp
    settings.LND_GRPC, settings.LND_NETWORK = lsp.grpc_address, "regtest"
    settings.LND_TLS_CERT, settings.LND_MACAROON = str(lsp.tls_certificate), str(lsp.admin_macaroon)
    settings.ONCHAIN_ENABLED, settings.ONCHAIN_CONFIRMATIONS = True, 1
    settings.RETRY_FIRST_SECONDS, settings.RETRY_MAX_SECONDS = 1, 2
    settings.BUY_RATE = settings.READ_RATE = settings.CLAIM_RATE = "100000/min"
    if not Service.objects.exists():
        Service.objects.create()
    yield Shop(network, Client())
    assert recounting.differences() == ([], 0)  # whatever was done to it: each move is in the books


@pytest.fixture
def add_own(network: Network) -> Iterator[Callable[..., Any]]:
    """Starts nodes of the test's own, for what would disturb others."""
    with adding_peers(network, "own") as add:
        yield add


@pytest.fixture
def server_environment(shop: Shop, database_url: str) -> dict[str, str]:
    """The environment of a process of ours (`manage.py …`) that serves the shop: its database, its node, its keys."""
    lsp = shop.network.lsp
    passed_on = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return passed_on | {
        "DJANGO_SETTINGS_MODULE": "lsp_site.settings",
        "LSP_ENV_FILE": "",
        "LSP_HOME": str(django_settings.LSP_HOME),
        "DATABASE_URL": database_url,
        "LND_GRPC": lsp.grpc_address,
        "LND_TLS_CERT": str(lsp.tls_certificate),
        "LND_MACAROON": str(lsp.admin_macaroon),
        "LND_NETWORK": "regtest",
        "ONCHAIN_CONFIRMATIONS": "1",
        "PAUSE_IF_BEHIND": "off",
        "RETRY_FIRST_SECONDS": "1",
        "RETRY_MAX_SECONDS": "2",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
