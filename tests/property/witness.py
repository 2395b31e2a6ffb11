"""Who was told to give way, as PostgreSQL saw it: whoever sets the mark, or lifts it, a trigger writes it down."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from django.db import connection

_LIVE = "('negotiating', 'funded', 'committed', 'publishing', 'published', 'conflicting', 'cancelling')"
_BEGIN = f"""
CREATE TABLE property_told (
    number serial, order_id uuid, lifted bool, firmness text, state text, rail text, invoice text, opens bool,
    has_deposits bool
);
CREATE FUNCTION property_tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO property_told (order_id, lifted, firmness, state, rail, invoice, opens, has_deposits)
    SELECT o.id, NEW.gives_way_at IS NULL, OLD.firmness, o.state, coalesce(o.counted_payment, ''),
           coalesce(i.state, ''),
           EXISTS (SELECT FROM orders_channelopening a WHERE a.order_id = o.id AND a.state IN {_LIVE}),
           EXISTS (SELECT FROM orders_onchainpayment d WHERE d.order_id = o.id AND d.state <> 'vanished')
    FROM orders_channelorder o LEFT JOIN orders_holdinvoice i ON i.order_id = o.id WHERE o.id = NEW.order_id;
    RETURN NULL;
END $$;
CREATE TRIGGER property_tell AFTER UPDATE ON orders_reservation FOR EACH ROW
    WHEN ((OLD.gives_way_at IS NULL) <> (NEW.gives_way_at IS NULL)) EXECUTE FUNCTION property_tell();
"""
_END = """
DROP TRIGGER property_tell ON orders_reservation;
DROP FUNCTION property_tell();
DROP TABLE property_told;
"""
_FIELDS = "order_id, lifted, firmness, state, rail, invoice, opens, has_deposits"


@dataclass(frozen=True)
class Told:
    """What an order was in the moment in which its mark was set, or lifted."""

    order_id: UUID
    lifted: bool
    firmness: str
    state: str
    rail: str
    invoice: str
    opens: bool
    has_deposits: bool

    @property
    def is_eviction(self) -> bool:
        """Not what a return of its own, recorded before, has set free."""
        return not self.lifted and self.invoice not in {"returning", "cancelled"}


@contextmanager
def present() -> Iterator[None]:
    """The trigger is there, and gone afterwards."""
    with connection.cursor() as cursor:
        cursor.execute(_BEGIN)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(_END)


def forget() -> None:
    """Nobody was ever told."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM property_told")


def told() -> list[Told]:
    """All that was seen, in order."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_FIELDS} FROM property_told ORDER BY number")
        return [Told(*row) for row in cursor.fetchall()]
