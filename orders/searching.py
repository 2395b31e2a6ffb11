"""Orders by what a person has in hand: a piece of an id, a hash, a node, an address, a transaction."""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID

from django.db.models import Q

from orders.errors import Ambiguous, OrderNotFound
from orders.models import ChannelOpening, ChannelOrder, HoldInvoice, OnchainPayment

#: Shorter words are looked for in order ids only: they would be the beginning of too many hashes.
_SHORTEST_FACT: Final = 6
_MOST_NAMED: Final = 5


def matching(text: str) -> Q:
    """Orders that every word of `text` belongs to."""
    condition = Q()
    for word in map(_plain, text.split()):
        condition &= Q(id__contains=_dashed(word)) | _by_facts(word)
    return condition


def one(text: str) -> UUID:
    """The id of the one order that `text` names: an id or its beginning, or else what belongs to the order.

    Raises: OrderNotFound, Ambiguous.
    """
    word = _plain(text)
    for condition in (Q(id__startswith=_dashed(word)), _by_facts(word)) if word else ():
        ids = list(ChannelOrder.objects.filter(condition).values_list("pk", flat=True)[: _MOST_NAMED + 1])
        if len(ids) == 1:
            return ids[0]
        if ids:
            names = ", ".join(str(order_id) for order_id in ids[:_MOST_NAMED])
            more = ", …" if len(ids) > _MOST_NAMED else ""
            raise Ambiguous(f"{text} is more than one order: {names}{more}")
    raise OrderNotFound(f"No order has {text or 'an empty name'}.")


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
    return (
        Q(node_pubkey__startswith=word)
        | Q(deposit_address=word)
        | Q(closing_txid__startswith=word)
        | Q(pk__in=invoices.values("order"))
        | Q(pk__in=deposits.values("order"))
        | Q(pk__in=openings.values("order"))
    )
