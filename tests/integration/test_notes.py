"""Notes of staff on an order: kept with who wrote them, harmless, and changed by nobody."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client

from orders import actors
from orders.causes import Cause
from orders.errors import InvalidField
from orders.models import OrderEvent
from orders.operations import noting
from orders.states import OrderState
from tests.factories import OrderFactory
from tests.integration.staff import browser, do, journal, page_of, seen, staff

pytestmark = pytest.mark.django_db


def test_a_note_is_kept_with_its_writer_shown_and_harmless(boss: Client) -> None:
    order = OrderFactory(open=True)
    assert "Nothing happens to anybody's money." in do(boss, "note", order)
    text = "He called.\n<script>alert(1)</script> & {{ secret }}"
    page = boss.get(page_of(order)) if do(boss, "note", order, typed=text) else None
    assert page is not None and "He called." in seen(page) and "staff:alice" in seen(page)
    assert "<script>alert(1)" not in page.content.decode() and "&lt;script&gt;alert(1)" in page.content.decode()
    assert journal(order) == [("noted", "staff:alice")]
    order.refresh_from_db()
    assert order.state == OrderState.OPEN and order.due_at is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "A note of 1 to 2,000 characters is required."),
        ("  \n ", "A note of 1 to 2,000 characters is required."),
        ("x" * 2_001, "A note of 1 to 2,000 characters is required."),
        (
            "a bell \x07",
            "A note has no control characters, nor what is not seen or turns the text beside it round: U+0007.",
        ),
        ("turned \u202e round", "turns the text beside it round: U+202E."),
        ("isolated \u2067 so", "turns the text beside it round: U+2067."),
        ("a mark \u200f of it", "turns the text beside it round: U+200F."),
        ("hid\u200bden", "turns the text beside it round: U+200B."),
    ],
)
def test_what_is_no_note_is_said_and_not_kept(boss: Client, text: str, why: str) -> None:
    order = OrderFactory(open=True)
    with pytest.raises(InvalidField):
        noting.write(order.pk, text, actor=actors.staff("ada"))
    assert why in do(boss, "note", order, typed=text)
    assert journal(order) == []


@pytest.mark.parametrize("text", ["👩\u200d🔧 mends it", "می\u200cخواهد", "of\u00a0his\ttwo"])
def test_joined_letters_and_pictures_are_noted(text: str) -> None:
    order = OrderFactory(open=True)
    noting.write(order.pk, text, actor=actors.staff("ada"))
    assert OrderEvent.objects.get(order=order).facts["note"] == text


@pytest.mark.parametrize("change", ["UPDATE orders_orderevent SET actor = 'x'", "DELETE FROM orders_orderevent"])
def test_nobody_changes_a_note_past_the_pages_either(change: str) -> None:
    order = OrderFactory(open=True)
    noting.write(order.pk, "Ask before closing.", actor=actors.staff("ada"))
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"{change} WHERE order_id = %s", [order.pk])
    assert OrderEvent.objects.get(order=order, cause=Cause.NOTED).actor == "staff:ada"


def test_who_may_only_look_reads_notes_without_the_ids_in_them() -> None:
    order = OrderFactory(open=True)
    noting.write(order.pk, f"See {order.pk} too.", actor=actors.staff("ada"))
    client = browser(staff("rita", "view_channelorder"))
    page = client.get(page_of(order)).content.decode()
    assert f"See {str(order.pk)[:8]} too." in page and str(order.pk) not in page
    assert 'name="deed"' not in page
