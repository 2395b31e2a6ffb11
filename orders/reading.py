"""An order with all that belongs to it, in as few statements as there is something to read."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.db.models import Exists, Model, OuterRef, QuerySet, prefetch_related_objects

from orders.errors import OrderNotFound
from orders.models import ChannelOpening, ChannelOrder, OnchainPayment

#: What an order may have several of, and how it is read with what belongs to it.
_LISTS: Final = {"onchain_payments": "onchain_payments", "openings": "openings__transaction"}
_ROWS: Final[dict[str, type[Model]]] = {"onchain_payments": OnchainPayment, "openings": ChannelOpening}


def order_or_raise(order_id: UUID) -> ChannelOrder:
    """The order with all that belongs to it: in one statement while nothing was deposited or opened.

    Raises: OrderNotFound.
    """
    order = _with_what_it_has().annotate(**_has_any()).filter(pk=order_id).first()
    if order is None:
        raise OrderNotFound
    there = {name for name in _LISTS if getattr(order, f"has_{name}")}
    prefetch_related_objects([order], *(_LISTS[name] for name in sorted(there)))
    for name in _LISTS.keys() - there:
        _has_none(order, name)
    return order


def _has_any() -> dict[str, Exists]:
    return {f"has_{name}": Exists(rows._default_manager.filter(order=OuterRef("pk"))) for name, rows in _ROWS.items()}


def _has_none(order: ChannelOrder, name: str) -> None:
    """As if they had been read with it. What is filtered is asked for anew, as of any list that was read."""
    rows = getattr(order, name).get_queryset()
    rows._result_cache, rows._prefetch_done = [], True
    order.__dict__.setdefault("_prefetched_objects_cache", {})[name] = rows


def orders_with_details() -> QuerySet[ChannelOrder]:
    """Orders with invoice, deposits and openings, in a fixed number of statements."""
    return _with_what_it_has().prefetch_related(*_LISTS.values())


def _with_what_it_has() -> QuerySet[ChannelOrder]:
    """Orders with all that there is but one of for each."""
    orders = ChannelOrder.objects.select_related("hold_invoice", "reservation", "service", "lsp_node__snapshot")
    return orders.defer(*(f"lsp_node__snapshot__{name}" for name in ("uris", "coin_sizes", "coins_aside")))  # long
