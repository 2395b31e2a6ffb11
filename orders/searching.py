"""Orders by what a person has in hand: a piece of an id, a hash, a node, an address, a transaction."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Final
from uuid import UUID

from django.db.models import Q, QuerySet

from orders import keys
from orders.errors import Ambiguous, OrderNotFound
from orders.ids import SHORT_LENGTH
from orders.models import ChannelOpening, ChannelOrder, HoldInvoice, OnchainPayment, Refund, WalletTransaction

#: The ids of some.
Orders = QuerySet[Any, Any]

#: Shorter words are looked for in order ids only: they would be the beginning of too many hashes.
_SHORTEST_FACT: Final = 6
_MOST_NAMED: Final = 5
_HEX: Final = re.compile(r"[0-9a-f]+")
_ID_DIGITS: Final = 32


def matching(text: str, *, whole_ids: bool = True) -> Q:
    """Orders that every word of `text` belongs to; of a memo with its reference, the order.

    Without `whole_ids` ids are looked for no further than everybody sees of them: else one could be felt for.
    Each thing that a word may be is looked for by an index of its own, whatever number of orders there is.
    """
    return _by_reference(text) or _of_every_word(text, lambda word: [_by_id(word, whole_ids), *_by_facts(word)])


def named(text: str, *, whole_ids: bool = True) -> Q:
    """As `matching`, by what names an order alone: its id or its reference."""
    return _by_reference(text) or _of_every_word(text, lambda word: [_by_id(word, whole_ids)])


def _of_every_word(text: str, found_by: Callable[[str], list[Orders]]) -> Q:
    condition = Q()
    for word in text.split():
        condition &= _any_of(found_by(word))
    return condition


def _any_of(found: Sequence[Orders]) -> Q:
    """A union, since PostgreSQL reads all orders for one condition `OR` another of other tables."""
    first, *others = found
    return Q(pk__in=first.union(*others) if others else first)


def _by_reference(text: str) -> Q | None:
    found = [order_id for word in text.split() if (order_id := keys.order_of_reference(word)) is not None]
    return Q(pk__in=found) if found else None


def _by_id(typed: str, whole_ids: bool) -> Orders:
    """Orders whose id begins so."""
    word = _plain(typed)
    digits = word.replace("-", "")
    if not _HEX.fullmatch(digits) or len(digits) > _ID_DIGITS or not (whole_ids or len(word) <= SHORT_LENGTH):
        return ChannelOrder.objects.none().values("pk")
    first, last = (UUID(digits.ljust(_ID_DIGITS, digit)) for digit in "0f")
    return ChannelOrder.objects.filter(pk__gte=first, pk__lte=last).order_by().values("pk")


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
    reference = _by_reference(text)
    if reference is not None:
        return [reference]
    return [_any_of(found) for found in ([_by_id(text, True)], _by_facts(text)) if found] if _plain(text) else []


def _plain(word: str) -> str:
    """The word as we store it: without a scheme, a node's host, or an output's index."""
    word = word.strip().lower().removeprefix("lightning:").removeprefix("bitcoin:")
    word = word.partition("@")[0].partition("?")[0]
    return re.sub(r"^([0-9a-f]{64}):\d+$", r"\1", word)


def _by_facts(typed: str) -> list[Orders]:
    """Orders that have what begins so: a key, a hash, a transaction; or whose address, invoice or channel it is."""
    word = _plain(typed)
    if len(word) < _SHORTEST_FACT:
        return []
    named = {word, typed.strip().removeprefix("bitcoin:")}  # some addresses have capitals
    return [*(_by_digits(word) if _HEX.fullmatch(word) else ()), *_by_names(word, named)]


def _by_digits(word: str) -> Iterator[Orders]:
    sent = WalletTransaction.objects.filter(txid__startswith=word).values("pk")
    orders, openings = ChannelOrder.objects.order_by(), ChannelOpening.objects.order_by()
    yield orders.filter(~Q(node_pubkey=""), node_pubkey__startswith=word).values("pk")
    yield orders.filter(~Q(closing_txid=""), closing_txid__startswith=word).values("pk")
    yield HoldInvoice.objects.filter(payment_hash__startswith=word).values("order")
    yield OnchainPayment.objects.order_by().filter(txid__startswith=word).values("order")
    yield openings.filter(transaction__in=sent).values("order")
    yield openings.filter(conflict__in=sent).values("order")
    yield openings.filter(~Q(closing_txid=""), closing_txid__startswith=word).values("order")
    yield Refund.objects.order_by().filter(transaction__in=sent).values("order")


def _by_names(word: str, named: Collection[str]) -> Iterator[Orders]:
    yield ChannelOrder.objects.order_by().filter(deposit_address=word).values("pk")
    yield ChannelOrder.objects.order_by().filter(~Q(refund_address=""), refund_address__in=named).values("pk")
    yield Refund.objects.order_by().filter(~Q(address=""), address__in=named).values("order")
    yield HoldInvoice.objects.filter(payment_request=word).values("order")
    yield ChannelOpening.objects.order_by().filter(~Q(short_channel_id=""), short_channel_id=word).values("order")
