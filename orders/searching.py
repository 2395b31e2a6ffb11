"""Orders by what a person has in hand: a piece of an id, a hash, a node, an address, a transaction."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final
from uuid import UUID

from django.db.models import Q

from orders import keys
from orders.errors import Ambiguous, OrderNotFound
from orders.ids import SHORT_LENGTH
from orders.models import ChannelOpening, ChannelOrder, HoldInvoice, OnchainPayment, Refund

#: Shorter words are looked for in order ids only: they would be the beginning of too many hashes.
_SHORTEST_FACT: Final = 6
_MOST_NAMED: Final = 5


def matching(text: str, *, whole_ids: bool = True) -> Q:
    """Orders that every word of `text` belongs to; of a memo with its reference, the order.

    Without `whole_ids` ids are looked for no further than everybody sees of them: else one could be felt for.
    """
    return _by_reference(text) or _of_every_word(text, lambda word: _by_id(word, whole_ids) | _by_facts(word))


def named(text: str, *, whole_ids: bool = True) -> Q:
    """As `matching`, by what names an order alone: its id or its reference."""
    return _by_reference(text) or _of_every_word(text, lambda word: _by_id(word, whole_ids))


def _of_every_word(text: str, condition_of: Callable[[str], Q]) -> Q:
    condition = Q()
    for word in map(_plain, text.split()):
        condition &= condition_of(word)
    return condition


def _by_reference(text: str) -> Q | None:
    found = [order_id for word in text.split() if (order_id := keys.order_of_reference(word)) is not None]
    return Q(pk__in=found) if found else None


def _by_id(word: str, whole_ids: bool) -> Q:
    if whole_ids:
        return Q(id__contains=_dashed(word))
    return Q(id__startswith=word) if len(word) <= SHORT_LENGTH else Q(pk__in=())


def one(text: str) -> UUID:
    """The id of the one order that `text` names: an id or its beginning, a reference, or else what belongs to it.

    Raises: OrderNotFound, Ambiguous.
    """
    for condition in _narrowing(text):
        ids = list(ChannelOrder.objects.filter(condition).values_list("pk", flat=True)[: _MOST_NAMED + 1])
        if len(ids) == 1:
            return ids[0]
        if ids:
            names = ", ".join(str(order_id) for order_id in ids[:_MOST_NAMED])
            more = ", …" if len(ids) > _MOST_NAMED else ""
            raise Ambiguous(f"{text} is more than one order: {names}{more}")
    raise OrderNotFound(f"No order is known by {text or 'an empty name'}.")


def _narrowing(text: str) -> list[Q]:
    word, reference = _plain(text), _by_reference(text)
    if reference is not None:
        return [reference]
    return [Q(id__startswith=_dashed(word)), _by_facts(word)] if word else []


def _plain(word: str) -> str:
    """The word as we store it: without a scheme, a node's host, or an output's index."""
    word = word.strip().lower().removeprefix("lightning:").removeprefix("bitcoin:")
    word = word.partition("@")[0].partition("?")[0]
    return re.sub(r"^([0-9a-f]{64}):\d+$", r"\1", word)


def _dashed(word: str) -> str:
    """An id that was written without its dashes has them again."""
    if not re.fullmatch(r"[0-9a-f]{9,32}", word):
        return word
    parts = (word[:8], word[8:12], word[12:16], word[16:20], word[20:])
    return "-".join(part for part in parts if part)


def _by_facts(word: str) -> Q:
    if len(word) < _SHORTEST_FACT:
        return Q(pk__in=())
    invoices = HoldInvoice.objects.filter(Q(payment_hash__startswith=word) | Q(payment_request=word))
    deposits = OnchainPayment.objects.filter(txid__startswith=word)
    openings = ChannelOpening.objects.filter(
        Q(transaction__txid__startswith=word)
        | Q(conflict__txid__startswith=word)
        | Q(closing_txid__startswith=word)
        | Q(short_channel_id=word)
    )
    refunds = Refund.objects.filter(Q(transaction__txid__startswith=word) | Q(address__iexact=word))
    return (
        Q(node_pubkey__startswith=word)
        | Q(deposit_address=word)
        | Q(refund_address__iexact=word)
        | Q(closing_txid__startswith=word)
        | Q(pk__in=invoices.values("order"))
        | Q(pk__in=deposits.values("order"))
        | Q(pk__in=openings.values("order"))
        | Q(pk__in=refunds.values("order"))
    )
