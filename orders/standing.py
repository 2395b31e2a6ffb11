"""What every purchase is made of and seldom changes: what staff have put on sale or stopped, and the node as last seen.

A connection reads it once for each version of it. That it still stands is asked with the stock, in one statement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from orders import queries
from orders.models import NodeSnapshot, Service, Switch, SwitchName
from orders.postgres.line import line
from orders.queries import Stock

#: Each writing of a row leaves another version of it, at another place: no two that are ever seen have both alike.
_ROWS: Final = "(SELECT coalesce(string_agg({table}.xmin::text || {table}.ctid::text, ''), '') FROM {table})"
_VERSION: Final = " || '/' || ".join(
    _ROWS.format(table=table) for table in ("orders_switch", "orders_service", "orders_node", "orders_nodesnapshot")
)
_WITH_STOCK: Final = f"SELECT {_VERSION}, stock.* FROM ({queries.STOCK}) AS stock"  # noqa: S608  our own text
_KEPT: Final = "standing"


@dataclass(frozen=True, slots=True)
class Standing:
    """All of it at one moment. The rows are other readers' too: nobody may change them."""

    off: Mapping[str, Switch]
    #: On sale, the default first.
    services: tuple[Service, ...]
    #: None: the node was never seen, and nothing is known of the stock.
    seen: NodeSnapshot | None
    stock: Stock | None

    def paused(self, name: SwitchName) -> Switch | None:
        """The switch, where staff have put it off; None: this goes on."""
        return self.off.get(name)

    def service(self, service_id: UUID | None) -> Service | None:
        """The service that is meant, the default where none is; None: it is not on sale."""
        return next((each for each in self.services if service_id in {None, each.pk}), None)


def read(client_hash: str = "") -> Standing:
    """It all as it stands now, and the stock with what waits for this client."""
    kept = line().kept.get(_KEPT)
    if kept is not None:
        version, (off, services, seen) = kept
        asked, stock = _asked(seen, client_hash)
        if asked == version:
            return Standing(off, services, seen, stock)
    return _read_anew(client_hash)


def _read_anew(client_hash: str) -> Standing:
    """Its version is asked first: what is written meanwhile is read with it, and once more by the next."""
    with line().prepared() as cursor:
        cursor.execute(f"SELECT {_VERSION}")
        version = cursor.fetchone()[0]
    off = {switch.name: switch for switch in Switch.objects.filter(on=False)}
    services, seen = tuple(queries.services_on_sale()), queries.snapshot()
    if seen is None:
        return Standing(off, services, None, None)
    line().kept[_KEPT] = version, (off, services, seen)
    return Standing(off, services, seen, queries.stock(seen, client_hash))


def _asked(seen: NodeSnapshot, client_hash: str) -> tuple[Any, Stock]:
    """The version of what stands, and the stock as reckoned with what was seen."""
    with line().prepared() as cursor:
        cursor.execute(_WITH_STOCK, queries.stock_asked(seen, client_hash))
        version, *row = cursor.fetchone()
    return version, queries.stock_told(row, seen)
