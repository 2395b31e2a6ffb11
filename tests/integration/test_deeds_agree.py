"""The button and the operation ask the same guard: what is offered can be done, and what can be done is offered."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from orders import actors
from orders.admin.deeds import DEEDS, Deed
from orders.errors import OrderError
from orders.models import ChannelOrder, HoldInvoice
from orders.queries import order_or_raise
from orders.states import InvoiceState
from tests.factories import DepositFactory, OpeningFactory, OrderFactory, pubkey
from tests.fakes import regtest_address
from tests.refunding import RefundFactory
from tests.undone import undone

pytestmark = pytest.mark.django_db

STATES = (
    "new", "paid_lightning", "paid_onchain", "uri_set", "opening", "open", "closing", "closed", "give_up", "refunded",
    "rejected", "expired",
)  # fmt: skip
DEPOSITS = ("none", "unconfirmed", "deep")
REFUNDS = ({}, {"state": "due"}, {"kept": True}, {"published": True}, {"proposed": True})
#: What is typed for a deed, by the name of its field.
TYPED = {"Address": regtest_address(5), "Reason": "He asked for it.", "Note": "He called.", "Days": "7"}
#: Of a node or an address that stays on the list for the next order, and what never refuses, no more is to be seen.
BESIDES = {"settle_flag", "note", "ban_node", "ban_address", "ban_payers"}
#: Without a node no attempt can be live.
CLAIMED = frozenset(STATES) - {"new", "paid_lightning", "paid_onchain", "refunded", "rejected", "expired"}


def order_that_is(state: str, invoice: str, deposit: str, live: bool) -> ChannelOrder:
    order = OrderFactory(**({} if state == "new" else {state: True}), attempts=False)
    held_sat = order.order_total_sat if invoice in {InvoiceState.HELD, InvoiceState.SETTLED} else 0
    HoldInvoice.objects.filter(order=order).update(state=invoice, held_sat=held_sat)
    if deposit != "none":
        DepositFactory(order=order, **({"unconfirmed": True} if deposit == "unconfirmed" else {"confirmations": 9}))
    if live:
        OpeningFactory(order=order, negotiating=True, node_pubkey=pubkey(order.created_at.microsecond))
    return order_or_raise(order.pk)


def does(deed: Deed, order: ChannelOrder) -> bool:
    """It is undone: the next deed is tried on an order that nothing was done to."""
    with undone():
        try:
            deed.run(order.pk, actors.staff("alice"), "\n".join(TYPED[field.label] for field in deed.fields))
        except OrderError:
            return False
        return True


@pytest.mark.parametrize("state", STATES)
def test_a_button_is_there_where_its_operation_would_not_refuse(state: str) -> None:
    deeds = [deed for deed in DEEDS.values() if deed.name not in BESIDES]
    differ = []
    for facts in itertools.product(InvoiceState.values, DEPOSITS, (False, True) if state in CLAIMED else (False,)):
        order = order_that_is(state, *facts)
        for deed in deeds:
            offered, done = deed.fits(order), does(deed, order)
            if offered != done:
                differ.append((deed.name, *facts))
    assert differ == []


def order_with_refund(state: str, refund: dict[str, Any], address: str) -> ChannelOrder:
    order = order_that_is(state, InvoiceState.CANCELLED, "deep", live=False)
    ChannelOrder.objects.filter(pk=order.pk).update(refund_address=address)
    if refund:
        RefundFactory(order=order, **refund)
    return order_or_raise(order.pk)


@pytest.mark.parametrize(
    "state", ["new", "paid_onchain", "open", "closed", "give_up", "refunded", "rejected", "expired"]
)
def test_so_it_is_where_money_goes_back_on_chain(state: str) -> None:
    deeds = [deed for deed in DEEDS.values() if deed.name not in BESIDES]
    differ = []
    for refund, address in itertools.product(REFUNDS, ("", regtest_address(6))):
        order = order_with_refund(state, refund, address)
        for deed in deeds:
            offered, done = deed.fits(order), does(deed, order)
            if offered != done:
                differ.append((deed.name, refund, address))
    assert differ == []
