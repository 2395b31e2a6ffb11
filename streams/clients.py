"""How the clients stand with us whose orders are in our hands: who goes before whom. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from uuid import UUID

from orders.admission.standing import Standing


class Clients:
    """Of each order in our hands; one without a standing is a client by itself."""

    def __init__(self) -> None:
        self._standing: dict[UUID, Standing] = {}
        self._before: dict[UUID, int] = {}

    def told(self, order_ids: Iterable[UUID], standing: Mapping[UUID, Standing]) -> None:
        """These orders are in our hands, and the clients' standing is this now."""
        for order_id in order_ids:
            self.left(order_id)
        in_hands = Counter(each.client_hash for each in self._standing.values())
        for order_id, each in standing.items():
            self._before[order_id] = each.paid + in_hands[each.client_hash]
            in_hands[each.client_hash] += 1
        self._standing |= standing

    def is_suspect(self, order_id: UUID) -> bool:
        """The order's client has lately had us work for nothing."""
        return order_id in self._standing and self._standing[order_id].is_suspect

    def before(self, order_id: UUID) -> int:
        """How many of its client's orders go before it, about: one that is paid and in our hands counts twice."""
        return self._before.get(order_id, 0)

    def left(self, order_id: UUID) -> None:
        """The order is in our hands no more."""
        self._standing.pop(order_id, None)
        self._before.pop(order_id, None)

    def clear(self) -> None:
        """No order is."""
        self._standing.clear()
        self._before.clear()
