"""The shop: our server's domain on the network's real node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from orders.models import Service
from tests.e2e.shop import Shop
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
