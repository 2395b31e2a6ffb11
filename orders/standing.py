"""What every purchase is made of and seldom changes: what staff have put on sale or stopped, and the node as last seen.

A connection reads each part of it once for each version. That all still stands is asked with the stock, in one
statement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from uuid import UUID

from orders import queries
from orders.models import NodeSnapshot, Service, Switch, SwitchName
from orders.postgres.line import line
from orders.queries import Stock

#: Each writing of a row leaves another version of it, at another place: no two that are ever seen have both alike.
_ROWS: Final = "(SELECT coalesce(string_agg({table}.xmin::text || {table}.ctid::text, ''), '') FROM {table})"
_KEPT: Final = "standing"


class _Part(NamedTuple):
    tables: tuple[str, ...]
    read: Callable[[], Any]


_PARTS: Final = (
    _Part(("orders_switch",), lambda: {switch.name: switch for switch in Switch.objects.filter(on=False)}),
    _Part(("orders_service",), lambda: tuple(queries.services_on_sale())),
    _Part(("orders_node", "orders_nodesnapshot"), queries.snapshot),
)
_VERSIONS: Final = ", ".join(" || '/' || ".join(_ROWS.format(table=each) for each in part.tables) for part in _PARTS)
_WITH_STOCK: Final = f"SELECT {_VERSIONS}, stock.* FROM ({queries.STOCK}) AS stock"  # noqa: S608  our own text


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


class _Kept(NamedTuple):
    """The parts as they were read, none of them before its version."""

    versions: Sequence[str]
    parts: Sequence[Any]

    @property
    def seen(self) -> NodeSnapshot | None:
        seen: NodeSnapshot | None = self.parts[-1]
        return seen


def read(client_hash: str = "", *, besides: UUID | None = None) -> Standing:
    """It all as it stands now, and the stock with what waits for this client, one order left out."""
    line().close_if_health_check_failed()
    line().ensure_connection()  # another one has kept nothing of what this one is about to read
    kept: _Kept | None = line().kept.get(_KEPT)
    versions, stock = _asked(kept.seen if kept else None, client_hash, besides)
    now = _Kept(versions, [_part(number, versions, kept) for number in range(len(_PARTS))])
    line().kept[_KEPT] = now
    if now.seen is not None and (kept is None or now.seen is not kept.seen):
        stock = queries.stock(now.seen, client_hash, besides=besides)
    off, services, seen = now.parts
    return Standing(off, services, seen, stock)


def _part(number: int, versions: Sequence[str], kept: _Kept | None) -> Any:
    """Its version was asked first: what is written meanwhile is read with it, and once more by the next."""
    if kept is not None and kept.versions[number] == versions[number]:
        return kept.parts[number]
    return _PARTS[number].read()


def _asked(seen: NodeSnapshot | None, client_hash: str, besides: UUID | None) -> tuple[Sequence[str], Stock | None]:
    """The version of each part, and the stock as reckoned with what was seen."""
    with line().prepared() as cursor:
        if seen is None:
            cursor.execute(f"SELECT {_VERSIONS}")
            return cursor.fetchone(), None
        cursor.execute(_WITH_STOCK, queries.stock_asked(seen, client_hash, besides))
        row = cursor.fetchone()
    return row[: len(_PARTS)], queries.stock_told(row[len(_PARTS) :], seen)
