"""The buyer names the node that gets the channel.

The order's id claims what nobody has claimed. A claim that stands is changed by who shows the order's token; by the id
alone only once the claimed node has failed it, and never so that a channel becomes public or the payment goes back: an
id is seen by more eyes than the buyer's.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from lightning.types import NodeAddress
from orders import ceilings
from orders.actors import Authority, Kind, open_to
from orders.admission import placing
from orders.causes import CANCELLED, COINS_PROMISED_ELSEWHERE, NOT_SERVED, Cause
from orders.errors import ClaimStands, NotAllowed, NotClaimable
from orders.models import ChannelOrder
from orders.nudges import nudge
from orders.openings import terms
from orders.openings.reasons import PEERS_FAULT
from orders.operations.addressing import require_openable, require_served
from orders.payments import onchain, security
from orders.states import DELIVERED, OpeningState, OrderState
from orders.transitions import locked, move, note

#: Of one order's claim, by whoever has shown the same.
MOST_CHANGES: Final = 20
_CHANGES: Final = (Cause.CLAIMED, Cause.CLAIM_DETAILED, Cause.CLAIM_TAKEN_BACK)
#: Where an order is, or may yet be, delivered to the node that it names.
_STANDS: Final = DELIVERED | {OrderState.CREATED, OrderState.URI_SET, OrderState.GIVE_UP}


@open_to(Kind.BUYER, Kind.TOKEN, Kind.NODE, Kind.COMMAND)
def claim(order_id: UUID, address: NodeAddress, *, announced: bool | None, actor: Authority) -> ChannelOrder:
    """The order's channel will be opened to `address`, public or not as `announced` says.

    Spec: POST /channel/manual_finalise; LUD-02 callback.
    Money: unchanged; the payment stays secured until an opening succeeds or the order gives up.
    Repeat: safe; the same claim again is fine for as long as it stands.
    Raises: OrderNotFound, NotClaimable, NotAllowed, InvalidField (our own node, or a host that is never dialled),
    NotServed, NodeFull, NotAvailable (the exchange rate of a limit is not known).
    """
    require_openable(address)
    restores = actor.kind is Kind.COMMAND  # our records, for a channel that is there
    most_sat = None if restores else ceilings.most_node_sat()
    if not restores:
        require_served(address)
    if actor.kind is Kind.NODE and actor.name != address.pubkey:
        raise NotAllowed("A node claims for itself alone.")
    with locked(order_id) as order:
        asks_anew = order.state == OrderState.GIVE_UP and is_open(order)
        same_node = order.node_pubkey == address.pubkey and order.state in _STANDS
        if same_node and not (asks_anew and _is_another(order, address, announced)):
            _correct(order, address, announced, actor)
            return order
        if not is_open(order):
            raise NotClaimable(why_not_claimed(order))
        _require_not_returning(order)
        if order.live_opening is not None:
            raise NotClaimable("The channel to another node is being opened already.")
        if order.state != OrderState.PAID:
            _require_right_to_change(order, actor)
            _require_steady(order, actor)
        if same_node and announced and not _is_theirs(order, actor):
            raise ClaimStands("Who makes the channel public shows its order_token.")
        if most_sat is not None:
            placing.counting()
            ceilings.require_node(address.pubkey, order.capacity_sat, most_sat, besides=order)
        if asks_anew:
            _take_up_again(order)
        onchain.withdraw_refunds(order, only_ends_order=True, actor=actor)
        _take(order, address, announced)
        move(order, OrderState.URI_SET, cause=Cause.CLAIMED, actor=actor, node=str(address))
    return order


def is_open(order: ChannelOrder) -> bool:
    """A claim may be made, as far as the state says: also of an order that gave up, while its money is with us.

    Not where the coins went to others, nor where staff have ended it.
    """
    if order.state != OrderState.GIVE_UP:
        return order.is_claimable
    ended = {COINS_PROMISED_ELSEWHERE, CANCELLED, NOT_SERVED}
    return order.give_up_reason not in ended and not order.is_going and not security.insecurity(order)


def _is_another(order: ChannelOrder, address: NodeAddress, announced: bool | None) -> bool:
    """The node is to be found elsewhere, or the channel is to be public where it was not, or the other way."""
    new_host = bool(address.host) and address.host != order.node_host
    return new_host or (announced is not None and announced != _is_announced(order))


def _take_up_again(order: ChannelOrder) -> None:
    """Why it gave up is over: another window begins."""
    order.give_up_reason, order.give_up_until, order.open_deadline_at = "", None, None


def _take(order: ChannelOrder, address: NodeAddress, announced: bool | None) -> None:
    now = timezone.now()
    order.node_pubkey, order.node_host = address.pubkey, address.host
    order.announced_by_claim = announced
    if order.open_deadline_at is None:  # the window runs from the first claim: changing one's mind gains no time
        order.open_deadline_at = now + timedelta(seconds=settings.OPEN_WINDOW_SECONDS)
    order.claimed_at = now
    order.failed_openings, order.last_failure_reason = 0, ""


def _correct(order: ChannelOrder, address: NodeAddress, announced: bool | None, actor: Authority) -> None:
    """The same node again brings nothing new, or what it brings is taken, or refused: never passed over in silence."""
    new_host = bool(address.host) and address.host != order.node_host
    new_privacy = announced is not None and announced != _said(order)
    if order.state not in {OrderState.CREATED, OrderState.URI_SET}:
        new_privacy = announced is not None and announced != _is_announced(order)
    if not (new_host or new_privacy):
        return
    if not _can_change(order, announced):
        raise NotClaimable("It is too late to change the claim: the channel is being opened, or over.")
    _require_not_returning(order)
    _require_right_to_change(order, actor)
    if announced and new_privacy and not _is_theirs(order, actor):
        raise ClaimStands("Who makes the channel public shows its order_token.")
    _require_steady(order, actor)
    order.node_host = address.host or order.node_host
    order.announced_by_claim = order.announced_by_claim if announced is None else announced
    note(order, Cause.CLAIM_DETAILED, actor=actor, node=str(address), announced=announced)
    nudge(order)


def _can_change(order: ChannelOrder, announced: bool | None) -> bool:
    """While an attempt is live another host is kept for the next one; but a channel that is public stays so."""
    live = order.live_opening
    is_early = order.state in {OrderState.CREATED, OrderState.URI_SET}
    return is_early and (live is None or announced in {None, live.announced})


def _said(order: ChannelOrder) -> bool | None:
    """What the buyer has said of it, if anything."""
    return order.announced_by_purchase if order.announced_by_claim is None else order.announced_by_claim


def _is_announced(order: ChannelOrder) -> bool:
    """What the channel is; where there is none, what it would have been."""
    attempts = [opening for opening in order.openings.all() if opening.state != OpeningState.FAILED]
    return attempts[-1].announced if attempts else terms.of(order).announced


@open_to(Kind.BUYER, Kind.TOKEN, Kind.NODE)
def unclaim(order_id: UUID, *, actor: Authority) -> ChannelOrder:
    """The claim is taken back; the order waits for another.

    Spec: LUD-02, cancel=1. Money: unchanged. Repeat: safe.
    Raises: OrderNotFound, NotClaimable (an opening has begun, the order is over, or the claim stands and is not theirs
    to change), NotAllowed.
    """
    with locked(order_id) as order:
        if order.state == OrderState.PAID:
            return order
        if order.state != OrderState.URI_SET or order.live_opening is not None:
            raise NotClaimable("The claim cannot be taken back any more.")
        _require_not_returning(order)
        _require_right_to_change(order, actor)
        if (order.claim_expires_at or timezone.now()) <= timezone.now() and not _is_theirs(order, actor):
            raise ClaimStands("Without a claim the payment would go back now. Its order_token is needed for that.")
        _require_steady(order, actor)
        node, order.node_pubkey, order.node_host = order.node_pubkey, "", ""
        order.claimed_at, order.announced_by_claim = None, None
        order.open_deadline_at = None  # the claim window bounds how often this can be done
        order.failed_openings, order.last_failure_reason = 0, ""
        move(order, OrderState.PAID, cause=Cause.CLAIM_TAKEN_BACK, actor=actor, node=node)
    return order


def _require_right_to_change(order: ChannelOrder, actor: Authority) -> None:
    """Of a claim that stands."""
    if _is_theirs(order, actor) or has_failed(order):
        return
    raise ClaimStands(
        "The order is claimed. Its order_token, or an attempt that its node has failed, is needed to change that."
    )


def _is_theirs(order: ChannelOrder, actor: Authority) -> bool:
    """The buyer by token, the claimed node itself, or who restores our records. An id may be a stranger's."""
    is_its_node = actor.kind is Kind.NODE and actor.name == order.node_pubkey
    return actor.kind in {Kind.TOKEN, Kind.COMMAND} or is_its_node


def has_failed(order: ChannelOrder) -> bool:
    """The claimed node was at fault: at the last look, or in an attempt since the claim."""
    if order.state not in {OrderState.URI_SET, OrderState.GIVE_UP} or order.claimed_at is None:
        return False
    failed = [o for o in order.openings.all() if o.state == OpeningState.FAILED and o.created_at >= order.claimed_at]
    reasons = {order.last_failure_reason, order.give_up_reason, *(opening.failure_reason for opening in failed)}
    return not PEERS_FAULT.isdisjoint(reasons)


def _require_not_returning(order: ChannelOrder) -> None:
    if security.goes_back(order):
        raise NotClaimable("The payment is going back.")


def _require_steady(order: ChannelOrder, actor: Authority) -> None:
    """Each change starts attempts anew, at peers' cost and ours: a buyer may change his mind, not for ever.

    Counted by what was shown, so that who has the id alone uses up nothing of what the token may do.
    """
    changes = order.events.filter(cause__in=_CHANGES, actor=str(actor)).count()
    if changes >= MOST_CHANGES:
        raise NotClaimable("The claim was changed too often.")


def why_not_claimed(order: ChannelOrder) -> str:
    """Why an order that is not claimable cannot be claimed."""
    if order.state == OrderState.CREATED:
        return "The order is not paid yet."
    if order.give_up_reason == COINS_PROMISED_ELSEWHERE:
        return f"The order cannot be claimed any more: our coins went to others ({order.give_up_reason})."
    if order.state == OrderState.EXPIRED:
        return "The order has expired."
    return f"The order cannot be claimed any more: it is in state {order.get_state_display()}."
