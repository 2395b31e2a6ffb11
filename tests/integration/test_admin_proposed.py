"""A refund that is proposed, before staff: what they read, may do, and that nothing happens before they do."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from orders.models import ChannelOrder, Refund
from orders.states import InvoiceState, RefundState
from tests.factories import OrderFactory
from tests.fakes import regtest_address
from tests.integration.staff import do, page_of, seen
from tests.refunding import RefundFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def order(snapshot: Any) -> ChannelOrder:
    """Paid by Lightning; its channel closed before it was usable."""
    made: ChannelOrder = OrderFactory(closed=True, invoice__state=InvoiceState.SETTLED)
    Refund.objects.create(
        order=made, state=RefundState.PROPOSED, amount_sat=5_000, ends_order=False, cause="closed_unused",
        created_at=made.created_at,
    )  # fmt: skip
    return made


def state() -> str:
    return Refund.objects.get().state


def test_the_page_of_the_order_has_it_and_both_buttons(boss: Client, order: ChannelOrder) -> None:
    page = seen(boss.get(page_of(order)))
    assert "Proposed" in page and "closed unused" in page
    assert "Grant the proposed refund" in page and "Decline the proposed refund" in page


def test_staff_read_what_goes_where_before_they_grant_it(boss: Client, order: ChannelOrder) -> None:
    asked = do(boss, "grant_refund", order)
    assert "5,000 sat of our money go to the buyer on chain, as soon as an address is known" in asked
    assert state() == RefundState.PROPOSED
    do(boss, "grant_refund", order, sure="1")
    assert state() == RefundState.DUE


@pytest.mark.parametrize("deed", ["grant_refund", "decline_refund"])
def test_what_is_counted_is_what_was_proposed_and_not_all_that_was_paid(
    boss: Client, order: ChannelOrder, deed: str
) -> None:
    page = do(boss, deed, order, typed="He asks for it.")
    assert "Closed 5,000 5,000 sat" in page and f"{order.order_total_sat:,}" not in page


def test_an_address_can_be_said_before_it_is_granted(boss: Client, order: ChannelOrder) -> None:
    do(boss, "pay_back", order, typed=regtest_address(5), sure="1")
    order.refresh_from_db()
    assert (order.refund_address, state()) == (regtest_address(5), RefundState.PROPOSED)


def test_who_declines_says_why(boss: Client, order: ChannelOrder) -> None:
    do(boss, "decline_refund", order, typed="", sure="1")
    assert state() == RefundState.PROPOSED
    do(boss, "decline_refund", order, typed="He closed it himself.", sure="1")
    assert (state(), Refund.objects.get().detail) == (RefundState.WITHDRAWN, "He closed it himself.")


def run(order: ChannelOrder, *arguments: str) -> str:
    out = StringIO()
    call_command("refund", str(order.pk), *arguments, stdout=out)
    return out.getvalue()


def test_so_it_is_by_the_command(order: ChannelOrder) -> None:
    assert "granted: it goes back as soon as an address is known" in run(order, "--grant")
    assert state() == RefundState.DUE
    with pytest.raises(CommandError, match="No refund of this order is proposed"):
        run(order, "--grant")


def test_so_it_is_declined_by_the_command(order: ChannelOrder) -> None:
    assert "declined" in run(order, "--decline", "He closed it.")
    assert state() == RefundState.WITHDRAWN


def test_of_another_order_nothing_is_offered(boss: Client) -> None:
    for other in (OrderFactory(closed=True), RefundFactory(kept=True).order):
        assert "proposed refund" not in seen(boss.get(page_of(other)))
