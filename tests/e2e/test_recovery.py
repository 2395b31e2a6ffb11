"""A database that was put back to before the sale, on a node that knows better."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from orders import models, queries, reconcile, recovering
from orders.models import SwitchName
from orders.recovering import Kind, Unknown
from tests.chaos.test_losses import put_back, snapshot
from tests.e2e.shop import Shop
from tests.regtest.network import Network
from tests.regtest.payment import FAILED, SUCCEEDED
from tests.regtest.waiting import until


@pytest.fixture
def network(network: Network) -> Iterator[Network]:
    """A node of its own: the shared one remembers orders of other tests."""
    with Network() as own:
        yield own


def recover(*arguments: str) -> str:
    out = StringIO()
    try:
        call_command("recover", *arguments, stdout=out)
    except CommandError as left:
        out.write(f"FAILED {left}")
    return out.getvalue()


def serious(shop: Shop) -> list[Unknown]:
    """All but deposits: the node was given its coins from outside, and those are nobody's order."""
    return [unknown for unknown in recovering.survey(shop.node) if unknown.kind is not Kind.DEPOSIT]


def test_the_server_starts_paused_and_recover_adopts_what_carries_a_known_order(
    shop: Shop, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert serious(shop) == []
    quote = shop.buy()
    before = snapshot()  # the order is not even paid
    payment = shop.pay(quote)
    shop.run(quote, "paid")
    shop.claim(quote)
    shop.run(quote, "open", mine=True)
    put_back(before)

    settings.PAUSE_IF_BEHIND = True
    monkeypatch.setattr(reconcile, "_asked", set())
    reconcile.look(shop.node)  # as a process that starts does
    assert queries.paused(SwitchName.SALES) and queries.paused(SwitchName.OPENINGS)
    assert shop.client.get("/node/info").json()["services"][0]["available"] is False

    listed = recover("--dry-run")
    assert "channel" in listed and quote["order_id"] in listed
    assert shop.order(quote).state == "created"
    done = recover("--resume")
    assert f"adopted       order {quote['order_id']}" in done and "go on" in done
    assert queries.paused(SwitchName.SALES) is None
    shop.run(quote, "open", mine=True)
    assert payment.wait() == SUCCEEDED
    shop.assert_delivered(quote)
    assert serious(shop) == []


def test_a_held_payment_of_a_lost_order_is_listed_and_returned_when_asked(shop: Shop) -> None:
    before = snapshot()
    quote = shop.buy()
    payment = shop.pay(quote)
    put_back(before)
    assert not models.ChannelOrder.objects.filter(pk=quote["order_id"]).exists()
    assert [(u.kind, str(u.order_id)) for u in serious(shop)] == [(Kind.PAYMENT, quote["order_id"])]
    assert "FAILED" in recover()
    assert "Pause the sales" in recover("--return-payments")
    call_command("pause", "--sales", "--reason", "restored", stdout=StringIO())
    assert "returned" in recover("--return-payments", "--resume")
    assert payment.wait() == FAILED
    until(lambda: serious(shop) == [], "nothing is left")


def test_a_deposit_to_an_address_of_a_lost_order_is_listed(shop: Shop) -> None:
    before = snapshot()
    quote = shop.buy()
    put_back(before)
    shop.network.chain.send(quote["btc_address"], 12_345)
    found = until(
        lambda: [u for u in recovering.survey(shop.node) if u.kind is Kind.DEPOSIT and u.amount_sat == 12_345],
        "the deposit is listed",
    )
    assert len(found) == 1
