"""An order with all that belongs to it, in as few statements as there is something to read."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from django.db.models import Exists, Model, OuterRef, QuerySet

from orders.errors import OrderNotFound
from orders.models import ChannelOpening, ChannelOrder, OnchainPayment
from orders.postgres.known import ByKey

#: What an order may have several of, and how it is read with what belongs to it.
_LISTS: Final = {"onchain_payments": "onchain_payments", "openings": "openings__transaction"}
_MODELS: Final[dict[str, type[Model]]] = {"onchain_payments": OnchainPayment, "openings": ChannelOpening}
_ROWS: Final[dict[str, ByKey[Any]]] = {
    "onchain_payments": ByKey(OnchainPayment.objects.all, "order"),
    "openings": ByKey(lambda: ChannelOpening.objects.select_related("transaction"), "order"),
}


def order_or_raise(order_id: UUID) -> ChannelOrder:
    """The order with all that belongs to it: in one statement while nothing was deposited or opened.

    Raises: OrderNotFound.
    """
    order = _ORDER.get(order_id)
    if order is None:
        raise OrderNotFound
    for name, rows in _ROWS.items():
        _has(order, name, rows.all(order_id) if getattr(order, f"has_{name}") else [])
    return order


def _has_any() -> dict[str, Exists]:
    return {f"has_{name}": Exists(_MODELS[name]._default_manager.filter(order=OuterRef("pk"))) for name in _ROWS}


def _has(order: ChannelOrder, name: str, those: list[Any]) -> None:
    """As if they had been prefetched with it. What is filtered is asked for anew, as of any list that was read."""
    for each in those:
        each.order = order
    rows = getattr(order, name).get_queryset()
    rows._result_cache, rows._prefetch_done = those, True
    order.__dict__.setdefault("_prefetched_objects_cache", {})[name] = rows


def orders_with_details() -> QuerySet[ChannelOrder]:
    """Orders with invoice, deposits and openings, in a fixed number of statements."""
    return _with_what_it_has().prefetch_related(*_LISTS.values())


def _with_what_it_has() -> QuerySet[ChannelOrder]:
    """Orders with all that there is but one of for each."""
    orders = ChannelOrder.objects.select_related("hold_invoice", "reservation", "service", "lsp_node__snapshot")
    return orders.defer(*(f"lsp_node__snapshot__{name}" for name in ("uris", "coin_sizes", "coins_aside")))  # long


_ORDER: Final = ByKey(lambda: _with_what_it_has().annotate(**_has_any()))
