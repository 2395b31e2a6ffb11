"""Where each order of the old shop ends, once its customer, the chain and time are no hindrance any more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.upgrade.old_shop import OldShop, Traces, person_because


@dataclass(frozen=True)
class End:
    """The order's state, its invoice's (None: it has none), and what the node has for it."""

    state: str
    invoice: str | None
    channels: int = 0
    person: str = ""  # how the words begin that call for one still; what ended by itself calls nobody any more
    fundings: int | None = None  # None: as many as channels


OPEN, OPEN_ONCHAIN = End("open", "settled", 1), End("open", "cancelled", 1)
BACK, OVER = End("refunded", "cancelled"), End("expired", "cancelled")
CLOSED = End("closed", "settled", 1)


def flagged(person: str, end: End = OPEN) -> End:
    """The same end, and a person is called."""
    return End(end.state, end.invoice, end.channels, person, end.fundings)


ENDS = {
    # a month ago
    "adopted": OPEN,
    "bumped": OPEN,
    "by_claim_private": OPEN_ONCHAIN,
    "by_claim_public": OPEN,
    "by_purchase_private": OPEN,
    "by_purchase_public": OPEN,
    "by_service_private": OPEN,
    "by_service_public": CLOSED,  # its customer closes it after the upgrade
    "channel_unknown": End("opening", "settled", 0, "The funding is mined, but the node does not know", fundings=1),
    "closed": CLOSED,
    "closed_unused": flagged("The channel closed before it was ever usable.", CLOSED),
    "closing": CLOSED,
    "double_spent": End("open", "settled", 0, "The funding of this order's channel was double-spent."),
    "expired": OVER,
    "expired_by_node": OVER,
    "expired_cancelled": OVER,
    "forgotten": OPEN_ONCHAIN,
    "given_up_onchain": OPEN_ONCHAIN,  # staff retry it
    "inactive": OPEN,
    "late_and_seen": OVER,
    "mined_after_all": flagged("The funding was mined although we had put it out"),
    "moved": OPEN,
    "paid_late": flagged("6170 sat arrived on chain after the order had ended.", OVER),
    "refunded_by_node": BACK,
    "refunded_cancelled": BACK,
    "refunded_refused": BACK,
    "refunded_unclaimed": BACK,
    "rejected": End("rejected", "cancelled", 0, "Cancelled; the buyer's money is with us and is to be returned."),
    "returned_by_hand": BACK,
    "revived": OPEN_ONCHAIN,
    "settled_by_hand": End("give_up", "settled", 0, "The Lightning payment was settled at the node although"),
    "underpaid_ended": flagged("Ended unpaid with 5270 sat on chain", OVER),
    "unpaid": flagged("The funding is published but the node had returned the payment", OPEN_ONCHAIN),
    # some hours ago
    "conflicting": BACK,
    "deposit_vanished": End("paid", "cancelled", 0, "A deposit that counted is not in the node's wallet any more."),
    "funded_old": OPEN,
    "funding_lost": OPEN,
    "other_key": BACK,
    "overdue": OVER,
    "put_back": OPEN,
    "put_back_paid": OPEN,
    "sent_back": End("give_up", "cancelled", 0, "The wallet has sent this order's money back"),
    "stuck": OPEN,
    "unadoptable": End("uri_set", "held", 0, "The node has a channel or funding of this order that cannot be adopted."),
    "unmined": OPEN,
    # this hour
    "both_rails": flagged("Paid by Lightning, and 3000 sat arrived on chain besides."),
    "cancelled_unpaid": OVER,
    "cancelling": OPEN,
    "coin_taken": OPEN,
    "conflict_dear": OPEN,
    "conflict_deep": OPEN,
    "conflict_rebuilt": OPEN,
    "crowded": OPEN,
    "dear": OPEN,
    "defect": BACK,
    "deposit_reorganised": OPEN_ONCHAIN,
    "deposit_seen": OPEN_ONCHAIN,
    "deposits_over": End("paid", "cancelled", 0, "6170 sat are to go back on chain, and no address is known"),
    "expiring": OVER,
    "funded": OPEN,
    "funded_pending": OPEN,
    "gave_up": BACK,
    "gave_up_returning": BACK,
    "held": OPEN,
    "held_over": BACK,
    "held_unclaimed": BACK,
    "invoice_unknown": End("open", "held", 1, "The node does not know the invoice of the payment"),
    "lsp_busy": OPEN,
    "negotiating": OPEN,
    "no_invoice": End("open", None, 1),
    "not_ready": OPEN,
    "offline": OPEN,
    "paused": OPEN,
    "peer_busy": OPEN,
    "poor": OPEN,
    "published": OPEN,
    "publishing": OPEN,
    "publishing_refused": OPEN,
    "publishing_unheard": OPEN,
    "quoted": OPEN,  # its buyer pays after the upgrade
    "quoted_unpaid": OVER,
    "replaced": OVER,
    "retried": OPEN,
    "returning": BACK,
    "settled": OPEN,
    "shallow": OPEN,
    "silent": OPEN,
    "taken_back": OPEN,
    "two_rails": OPEN_ONCHAIN,
    "underpaid": flagged("5270 sat are to go back on chain, and no address is known", OVER),
    "unsecured": OPEN_ONCHAIN,
    "unsettled": OPEN,
}

#: Their channels are not announced: the claim says so, or the purchase, or the service.
PRIVATE = {"by_claim_private", "by_purchase_private", "by_service_private", "offline", "lsp_busy", "held"}


def wrong_ends(shop: OldShop, names: Iterable[str] = ENDS) -> list[str]:
    """A line for each order that ended elsewhere, or for which the node has something else."""
    seen = shop.traces()
    lines = (_wrong(shop.order(name), name, ENDS[name], seen) for name in names)
    return [line for line in lines if line]


def _wrong(order: Any, name: str, end: End, seen: Traces) -> str:
    person, invoice = person_because(order), getattr(order, "hold_invoice", None)
    channels, fundings = (len(found.get(str(order.pk), [])) for found in (seen.channels, seen.fundings))
    funded = end.channels if end.fundings is None else end.fundings
    wrong = [
        f"is {order.state}, not {end.state}" if order.state != end.state else "",
        f"says {person!r}" if not person.startswith(end.person) or bool(person) != bool(end.person) else "",
        f"has {channels} channels, not {end.channels}" if channels != end.channels else "",
        f"has {fundings} fundings, not {funded}" if fundings != funded else "",
        _wrong_invoice(invoice, end, seen),
        *(_wrong_channel(channel, order, name) for channel in seen.channels.get(str(order.pk), [])),
    ]
    return f"{name} " + ", ".join(filter(None, wrong)) if any(wrong) else ""


def _wrong_invoice(invoice: Any, end: End, seen: Traces) -> str:
    """It is not as it should be, or the node has another word for it."""
    ours = invoice.state if invoice else None
    at_node = seen.invoices.get(invoice.payment_hash, _FORGOTTEN) if invoice else None
    if ours != end.invoice:
        return f"has an invoice that is {ours}, not {end.invoice}"
    return "" if at_node in {_AT_NODE.get(ours), _FORGOTTEN} else f"has an invoice that is {at_node} at the node"


def _wrong_channel(channel: Any, order: Any, name: str) -> str:
    """It is not what was sold."""
    sold = (order.lsp_balance_sat + order.client_balance_sat, order.client_balance_sat, name in PRIVATE)
    has = (channel.capacity_sat, channel.push_sat, channel.private)
    return f"has a channel of {has}, not {sold}" if has != sold else ""


#: What the node calls the states of an invoice.
_AT_NODE = {"held": "accepted", "cancelled": "canceled", "settled": "settled", None: None}
_FORGOTTEN = "forgotten"
