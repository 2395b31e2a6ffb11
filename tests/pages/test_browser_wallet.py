"""A wallet that runs in a browser, on a page of another origin than ours: it orders a channel by LSPS1 and polls."""

from __future__ import annotations

from typing import Any

from tests.factories import pubkey
from tests.pages.conftest import Shop

#: As such wallets do it: the options first, then an order, then the order again; what is not ok has a code.
WALLET = """
async ([base, body]) => {
  const asked = async (path, options) => {
    const answer = await fetch(base + path, options);
    const told = await answer.json();
    return answer.ok ? told : {refused: answer.status, code: told.error.code, about: told.error.data.property};
  };
  const ordered = (changed) => asked('/create_order', {
    method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify({...body, ...changed}),
  });
  const info = await asked('/get_info');
  const made = await ordered({lsp_balance_sat: info.min_initial_lsp_balance_sat});
  return {
    info, made,
    seen: await asked('/get_order?order_id=' + encodeURIComponent(made.order_id)),
    small: await ordered({lsp_balance_sat: '1'}),
    unknown: await asked('/get_order?order_id=none'),
  };
}
"""
BODY = {
    "client_balance_sat": "0",
    "required_channel_confirmations": 1,
    "funding_confirms_within_blocks": 6,
    "channel_expiry_blocks": 4032,
    "token": "btcpay-lsp-plugin",
    "announce_channel": True,
    "public_key": pubkey(1),
}


def test_a_page_of_another_origin_orders_and_reads_refusals_too(shop: Shop, browser: Any) -> None:
    page = browser.new_page()
    page.goto(shop.url.replace("127.0.0.1", "localhost") + "/healthz")
    for root in ("/api/v1", "/api/lsps1/v1"):
        told: dict[str, Any] = page.evaluate(WALLET, [shop.url + root, BODY])
        assert told["made"]["order_state"] == "CREATED" and told["made"]["payment"]["bolt11"]["invoice"]
        assert told["seen"] == told["made"]
        assert told["small"] == {"refused": 422, "code": 100, "about": "min_initial_lsp_balance_sat"}
        assert told["unknown"] == {"refused": 404, "code": 101, "about": "order_id"}
    page.close()
