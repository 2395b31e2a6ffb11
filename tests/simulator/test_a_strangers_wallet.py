"""LNURL-channel as a wallet reads it that knows nothing of us: the package `lnurl`, unmodified, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from lightning.types import NodeAddress
from tests.e2e.shop import Shop

# The package is not for Python 3.13.
lnurl = pytest.importorskip("lnurl")


@pytest.fixture
def served(shop: Shop, live_server: Any, settings: Any) -> Shop:
    """The shop behind a real port, which its LNURLs lead to."""
    settings.PUBLIC_URL = live_server.url
    return shop


def scan(code: str) -> Any:
    return asyncio.run(lnurl.handle(code))


def call_back(offer: Any, **query: Any) -> Any:
    return asyncio.run(lnurl.get(f"{offer.callback}?{urlencode({'k1': offer.k1, **query})}"))


@pytest.mark.parametrize("shown", [str, str.upper, "lightning:{}".format], ids=["lower", "upper", "scheme"])
def test_a_wallet_scans_the_code_of_a_paid_order_and_gets_its_channel(
    served: Shop, add_peer: Any, shown: Callable[[str], str]
) -> None:
    peer = add_peer()
    quote = served.buy()
    served.pay(quote, peer)
    served.run(quote, "paid")
    offer = scan(shown(quote["lnurl_channel"]))
    assert isinstance(offer, lnurl.LnurlChannelResponse)
    assert (str(offer.uri), offer.k1) == (served.network.lsp.p2p_address, quote["order_id"])
    # Before it calls back the wallet's node connects to `uri`; simulated ones are connected from our end.
    served.node.connect(NodeAddress.parse(peer.p2p_address), timeout_seconds=5)
    assert isinstance(call_back(offer, remoteid=peer.pubkey, private=1), lnurl.LnurlSuccessResponse)
    served.run(quote, "open", mine=True)
    served.assert_delivered(quote, peer)
    assert served.channel_at(peer, quote).private is True


def test_a_wallet_is_told_why_where_there_is_no_channel_for_it(served: Shop, add_peer: Any) -> None:
    first, second = add_peer(), add_peer()
    quote = served.buy()
    refused = scan(quote["lnurl_channel"])
    assert isinstance(refused, lnurl.LnurlErrorResponse) and refused.reason
    served.pay(quote, first)
    served.run(quote, "paid")
    offer = scan(quote["lnurl_channel"])
    assert call_back(offer, remoteid=first.pubkey, private=0).ok
    assert call_back(offer, remoteid=first.pubkey, private=0).ok
    refused = call_back(offer, remoteid=second.pubkey, private=0)
    assert isinstance(refused, lnurl.LnurlErrorResponse) and "order_token" in refused.reason
