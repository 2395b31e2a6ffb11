"""A person has seen why the wallet has another sum than the books: an entry says so, and they add up again."""

from __future__ import annotations

import logging
from uuid import UUID

from django.db import transaction

from lightning.node import LndNode
from orders import trail
from orders.actors import Authority, Kind, open_to
from orders.auditing import wallet
from orders.auditing.wallet import Moved
from orders.books import recounting
from orders.books.posting import About, post
from orders.errors import NotPossible
from orders.models import Account, AuditKind, ChannelOrder, Entry, EntryKind

log = logging.getLogger(__name__)


@open_to(Kind.COMMAND)
def correct(txid: str, *, reason: str, node: LndNode, actor: Authority) -> int:
    """The books have of the transaction what the wallet has: the difference (sat) is a loss, or the less of one.

    Nothing that our rows say is touched: where these differ from the books there is a defect to be found.
    Repeat: refused, as nothing differs any more. Raises: NotPossible, NodeUnavailable.
    """
    if not reason.strip():
        raise NotPossible("A reason is needed: it stays in the books.")
    moved = {each.txid: each for each in wallet.sorted_out(wallet.read(node))}
    found = moved.get(txid)
    by_sat = (found.should_sat if found else 0) - recounting.booked_by_transaction().get(txid, 0)
    if not by_sat:
        raise NotPossible("The books have of this transaction what the wallet has.")
    log.warning("books: transaction=%s corrected by %+d sat by %s: %s", txid, by_sat, actor, reason)
    about = About(EntryKind.CORRECTION, txid, _order_of(txid, found), txid=txid, words=f"{reason.strip()} ({actor})")
    with transaction.atomic():
        post(about, {Account.WALLET: by_sat * 1000, Account.LOSSES: -by_sat * 1000})
        words = f"transaction {txid} corrected by {by_sat:+d} sat: {reason.strip()}"
        trail.add(AuditKind.BOOKS, words, actor=actor, order_id=about.order_id)
    return by_sat


def _order_of(txid: str, found: Moved | None) -> UUID | None:
    """Whose it is, if there is a row of that order."""
    booked = Entry.objects.filter(txid=txid).exclude(order=None).values_list("order_id", flat=True)
    named = found.order_id if found is not None else booked.first()
    return named if named is not None and ChannelOrder.objects.filter(pk=named).exists() else None
