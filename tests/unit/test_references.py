"""What the payer of an invoice reads, and what only we make of it."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID, uuid4

import pytest

from orders import keys, marks
from orders.ids import shortened
from orders.models import TransactionKind


def test_found_b1_the_memo_of_an_invoice_has_nothing_of_the_orders_id() -> None:
    """Who is shown an invoice, or pays it for somebody, must not be able to claim the order."""
    for _ in range(50):
        order_id = uuid4()
        memo = marks.invoice_memo(order_id)
        assert re.fullmatch(r"Lightning channel, order [a-z2-7]{32}", memo)
        written = memo.rpartition(" ")[2]
        assert not [n for n in range(25) if order_id.hex[n : n + 8] in written]
        assert marks.order_of_invoice(memo) == order_id


def test_memos_of_invoices_from_before_are_still_ours() -> None:
    order_id = uuid4()
    assert marks.order_of_invoice(f"Lightning channel, order {order_id}") == order_id


@pytest.mark.parametrize(
    "memo",
    [
        "", "coffee", "Lightning channel, order ", "Lightning channel, order 5", "{uuid}", "order {uuid}",
        "{reference}", "lightning channel, order {reference}", "Lightning channel, order {reference}x",
        "Lightning channel, order {other}", "Lightning channel, order {random}", "Lightning channel, order {hex}",
        "Lightning channel, order {v1}", "Lightning channel, order {reference_of_v1}",
    ],
)  # fmt: skip
def test_what_other_programs_write_at_the_same_node_is_left_alone(memo: str, settings: Any) -> None:
    order_id, of_another_kind, ours = uuid4(), UUID("11111111-1111-1111-8111-111111111111"), settings.PREIMAGE_KEY
    settings.PREIMAGE_KEY = "cd" * 32
    words: dict[str, Any] = {"other": keys.reference(order_id)}
    settings.PREIMAGE_KEY = ours
    words |= {"uuid": order_id, "hex": order_id.hex, "reference": keys.reference(order_id), "random": "abcd2345" * 4}
    words |= {"v1": of_another_kind, "reference_of_v1": keys.reference(of_another_kind)}
    assert marks.order_of_invoice(memo.format(**words)) is None


def test_a_reference_is_the_same_for_ever_and_in_either_case() -> None:
    order_id = uuid4()
    assert keys.reference(order_id) == keys.reference(order_id)
    assert keys.order_of_reference(keys.reference(order_id).upper()) == order_id
    assert shortened(keys.reference(order_id)) == keys.reference(order_id)


def test_no_letter_of_a_reference_may_be_wrong() -> None:
    reference = keys.reference(uuid4())
    for place in range(32):
        for letter in "a7":
            changed = reference[:place] + letter + reference[place + 1 :]
            assert changed == reference or keys.order_of_reference(changed) is None


def test_another_key_makes_other_references_and_reads_none_of_ours(settings: Any) -> None:
    order_id = uuid4()
    ours = keys.reference(order_id)
    settings.PREIMAGE_KEY = "cd" * 32
    assert keys.reference(order_id) != ours
    assert keys.order_of_reference(ours) is None


def test_the_keys_of_references_are_the_preimage_of_no_order() -> None:
    """A preimage is the hash of 16 bytes under the same key."""
    made = {keys._for_references(purpose) for purpose in ("cipher", "check")}
    assert len(made) == 2
    assert all(len(f"order-reference:{purpose}") != len(uuid4().bytes) for purpose in ("cipher", "check"))


def test_what_only_our_node_keeps_has_the_id_itself() -> None:
    """It is how an order is found to be opened already, also under another PREIMAGE_KEY."""
    order_id = uuid4()
    assert marks.order_of_channel(marks.channel_memo(order_id)) == order_id
    assert marks.order_of_label(marks.label(TransactionKind.FUNDING, order_id), TransactionKind.FUNDING) == order_id


def test_a_token_is_known_whole_only() -> None:
    order_id = uuid4()
    token = keys.order_token(order_id)
    assert keys.is_order_token(token, order_id)
    for wrong in ("", token[:-1], token.upper(), f"{token} ", keys.order_token(uuid4()), str(order_id), "ü", "\ud800"):
        assert not keys.is_order_token(wrong, order_id)


def test_a_refund_names_every_order_in_whatever_hand() -> None:
    first, second, third = uuid4(), uuid4(), uuid4()
    label = f"Refund: {str(first).upper()}, {second.hex}; and {keys.reference(third).upper()}."
    assert marks.orders_of_refund(label) == {first, second, third}
    for other in (f"funding:{first}", f"no refund of {first}", "refund", ""):
        assert marks.orders_of_refund(other) == set()
