"""The parts of payments that a channel was opened for, on a page for staff."""

from __future__ import annotations

import pytest
from django.utils import timezone

from orders.jit import gathering
from orders.models import HoldInvoice, JitPart, PartDecision
from orders.states import InvoiceState
from tests.integration.staff import browser, seen, staff
from tests.integration.test_jit_gathering import bought, part, shop

__all__ = ["shop"]

PAGE = "/admin/orders/jitpart/"


def passed_on(invoice: InvoiceState) -> JitPart:
    """It went on less our fee, and its order's payment is there now."""
    gathering.hear(part(bought()))
    JitPart.objects.update(decision=PartDecision.RESUME, decided_at=timezone.now(), fee_msat=4_747_000)
    HoldInvoice.objects.update(state=invoice)
    return JitPart.objects.get()


@pytest.mark.parametrize(
    ("invoice", "became", "fee"),
    [
        (InvoiceState.HELD, "passed on", "4,747"),
        (InvoiceState.SETTLED, "passed on", "4,747"),
        (InvoiceState.CANCELLED, "passed on, went back", "0"),
    ],
)
def test_of_what_went_back_that_is_said_and_no_fee(invoice: InvoiceState, became: str, fee: str) -> None:
    row = passed_on(invoice)
    client = browser(staff("vera", "view_jitpart"))
    page = seen(client.get(f"{PAGE}{row.pk}/change/"))
    assert f"What became of it: {became} " in f"{page} " and f"Our fee of it (sat): {fee} " in page
    listed = client.get(PAGE).content.decode()
    assert f">{became}</span>" in listed and f">{fee}</td>" in listed


def test_what_is_not_decided_about_waits_at_no_fee() -> None:
    gathering.hear(part(bought()))
    page = seen(browser(staff("vera", "view_jitpart")).get(f"{PAGE}{JitPart.objects.get().pk}/change/"))
    assert "What became of it: waits" in page and "Our fee of it (sat): 0 " in page
