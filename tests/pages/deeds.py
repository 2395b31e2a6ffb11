"""What each deed of staff asks for, and what is found in the database once it is done. Who adds a deed adds a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import psycopg

from lsp_site.running import embedded
from tests.fakes import regtest_address
from tests.pages.conftest import Shop

ADDRESS: Final = regtest_address(424_242)
#: What is typed for a reason: with the order in it, so that a row that has no order is found by it.
WHY: Final = "Asked for by the buyer of {}."

_MOVED: Final = """
    SELECT to_state FROM orders_orderevent
     WHERE order_id = %(order)s AND actor = 'staff:boss' AND to_state <> from_state
"""
_REFUND: Final = "SELECT state FROM orders_refund WHERE order_id = %(order)s"
_CLOSING: Final = "SELECT kind, state, overrides_lease, reason FROM orders_channelclosing WHERE order_id = %(order)s"
_WITHDRAWN: Final = "SELECT state FROM orders_channelclosing WHERE order_id = %(order)s"
_LEASE: Final = "SELECT lease_gift_blocks FROM orders_channelorder WHERE id = %(order)s"
_ADDRESS: Final = "SELECT refund_address FROM orders_channelorder WHERE id = %(order)s"
_BAN: Final = "SELECT kind, created_by FROM orders_ban WHERE reason = %(why)s AND lifted_at IS NULL"
_FLAG: Final = "SELECT lowered_by FROM orders_flag WHERE order_id = %(order)s AND words = 'Look at it.'"
_NOTE: Final = "SELECT facts->>'note' FROM orders_orderevent WHERE order_id = %(order)s AND cause = 'noted'"


@dataclass(frozen=True, slots=True)
class Done:
    """The cause that the journal has, what is typed ("" stands for the reason), and what a statement finds."""

    cause: str
    statement: str
    found: tuple[Any, ...]
    typed: tuple[str, ...] = ()


def _closing(kind: str, *, early: bool) -> Done:
    return Done("close_wanted", _CLOSING, (kind, "waiting", early, WHY), typed=("",))


DONE: Final[dict[str, Done]] = {
    "retry": Done("retried", _MOVED, ("uri_set",)),
    "give_up": Done("gave_up", _MOVED, ("give_up",)),
    "cancel": Done("cancelled", _MOVED, ("rejected",)),
    "return_money": Done("cancelled", _MOVED, ("rejected",)),
    "record_returned": Done("returned_by_hand", _MOVED, ("refunded",)),
    "revive": Done("late_payment_accepted", _MOVED, ("paid",)),
    "pay_back": Done("refund_address_given", _ADDRESS, (ADDRESS,), typed=(ADDRESS,)),
    "keep_refund": Done("refund_kept", _REFUND, ("kept",), typed=("",)),
    "release_refund": Done("refund_due", _REFUND, ("due",)),
    "grant_refund": Done("refund_granted", _REFUND, ("due",)),
    "decline_refund": Done("refund_declined", _REFUND, ("withdrawn",), typed=("",)),
    "close_channel": _closing("together", early=False),
    "force_channel": _closing("forced", early=False),
    "override_lease": _closing("together", early=True),
    "override_lease_by_force": _closing("forced", early=True),
    "withdraw_close": Done("close_withdrawn", _WITHDRAWN, ("withdrawn",)),
    "extend_lease": Done("lease_extended", _LEASE, (30 * 144,), typed=("30", "")),
    "note": Done("noted", _NOTE, (WHY,), typed=("",)),
    "ban_node": Done("", _BAN, ("node", "staff:boss"), typed=("",)),
    "ban_address": Done("", _BAN, ("refund_address", "staff:boss"), typed=("",)),
    "ban_payers": Done("", _BAN, ("payer", "staff:boss"), typed=("",)),
    "settle_flag": Done("staff_have_looked", _FLAG, ("staff:boss",)),
}


def why(order_id: str) -> str:
    """The reason that is typed for this order."""
    return WHY.format(order_id[:8])


def check(shop: Shop, done: Done, order_id: str) -> None:
    """Raises: AssertionError where the database has not what the deed is to leave there, in the person's name."""
    given = {"order": order_id, "why": why(order_id), "cause": done.cause}
    expected = tuple(why(order_id) if each == WHY else each for each in done.found)
    with _connected(shop) as server:
        rows = server.execute(done.statement, given).fetchall()
        assert rows == [expected], rows
        if done.cause:
            journal = "SELECT actor FROM orders_orderevent WHERE order_id = %(order)s AND cause = %(cause)s"
            assert server.execute(journal, given).fetchall() == [("staff:boss",)]


def _connected(shop: Shop) -> psycopg.Connection[Any]:
    folder = embedded.socket_folder(shop.home / "simulated")
    return psycopg.connect(host=str(folder), port=embedded.PORT, user=embedded.USER, dbname=embedded.DATABASE)
