"""What a peer may ask: each method, and what it is answered. They parse, call one operation or query, and tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings

from lightning import connection
from lsps import buying, lsps1, lsps2, lsps5
from lsps.bolt8 import dialects
from lsps.bolt8.codec import Call
from lsps.kept import Kept
from lsps.reading import Params, no_order
from lsps.refusing import CLIENT_REJECTED, JIT_TOKEN_UNKNOWN, NO_METHOD, NOT_AVAILABLE, Refusal
from orders import limits
from orders.errors import TokenNotTaken
from orders.jit import ability, selling
from orders.keys import client_hash
from orders.models import ChannelOrder
from orders.models.order import Door
from orders.operations import couponing

#: What is on offer changes when staff say so: a hundred peers that ask at once cost the database one look.
_KEPT_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Method:
    """One row of the table."""

    answer: Callable[[str, Call], Any]
    #: It asks the node, and may wait for it.
    is_slow: bool = False
    #: It is LSPS2's: there is no such method where that is off.
    is_jit: bool = False
    #: It is LSPS5's: the same of that.
    is_waking: bool = False


def of(call: Call) -> Method:
    """Raises: Refusal where there is no such method."""
    method = METHODS.get(call.method)
    if method is None or (method.is_jit and ability.why_off()) or (method.is_waking and not settings.LSPS5_ENABLED):
        raise Refusal(NO_METHOD, "There is no such method.")
    return method


def protocols() -> list[int]:
    """What we speak, by the numbers of their specifications. LSPS0 itself is not told (bLIP-50)."""
    return [1, *([] if ability.why_off() else [2]), *([5] if settings.LSPS5_ENABLED else [])]


def _list_protocols(peer: str, call: Call) -> dict[str, Any]:
    Params(call.params, ())
    return {"protocols": protocols()}


def _get_info(peer: str, call: Call) -> dict[str, Any]:
    """As it was some seconds ago; who buys is held to what is on offer now."""
    lsps1.read_get_info(call.params)
    return offered.of(_words(call))


def _create_order(peer: str, call: Call) -> dict[str, Any]:
    """The peer is the buyer, and the node that gets the channel."""
    asked = lsps1.read_create_order(dialects.of(call).params(call.params), network=settings.LND_NETWORK)
    buyer = lsps1.buyers_node(asked, peer=peer)
    _require_patience(peer)
    order = buying.create(
        asked, buyer, door=Door.LSPS1_BOLT8, node=connection.node(), client_hash=client_hash(client(peer))
    )
    return _told(order, call)


def _get_order(peer: str, call: Call) -> dict[str, Any]:
    """Only to who made it, and to who gets its channel. Raises: Refusal, which does not tell those from none."""
    order = ChannelOrder.objects.filter(pk=lsps1.read_get_order(call.params)).first()
    if order is None or not _is_theirs(order, peer):
        no_order()
    return _told(order, call)


#: By the words of those who ask.
offered: Final[Kept[lsps1.Dialect, dict[str, Any]]] = Kept(buying.info, seconds=_KEPT_SECONDS)


def _jit_info(peer: str, call: Call) -> dict[str, Any]:
    """What this peer is offered; nothing of it is for who shows a code that is none of ours."""
    token = lsps2.read_get_info(call.params)
    try:
        coupon = couponing.shown(token)
    except TokenNotTaken as refused:
        raise Refusal(JIT_TOKEN_UNKNOWN, refused.message, "token") from None
    if coupon is not None:  # never passed over: they count on what it would have brought
        raise Refusal(JIT_TOKEN_UNKNOWN, "This code is for channels that are bought.", "token")
    return lsps2.info(selling.menu(peer))


def _jit_buy(peer: str, call: Call) -> dict[str, Any]:
    """The peer gets the channel: nobody buys for another."""
    asked = lsps2.read_buy(call.params)
    _require_patience(peer)
    wanted = selling.Wanted(peer, asked.parameters, asked.promise, asked.payment_size_msat)
    return lsps2.bought(selling.buy(wanted))


def _set_webhook(peer: str, call: Call) -> dict[str, Any]:
    """The peer's own: it is what calls it."""
    wanted = lsps5.read_set(call.params)
    wait_seconds = limits.wait_seconds(f"LSPS5_RATE:{client(peer)}", settings.LSPS5_RATE)
    if wait_seconds is not None:
        sentence = f"Too many webhooks: wait {wait_seconds} seconds."
        raise Refusal(NOT_AVAILABLE, sentence, again_in_seconds=wait_seconds)
    return lsps5.register(peer, wanted)


def _list_webhooks(peer: str, call: Call) -> dict[str, Any]:
    """None of anybody else."""
    Params(call.params, ())
    return lsps5.listed(peer)


def _remove_webhook(peer: str, call: Call) -> dict[str, Any]:
    """Of the peer's own."""
    return lsps5.remove(peer, lsps5.read_remove(call.params))


METHODS: Final[Mapping[str, Method]] = {
    "lsps0.list_protocols": Method(_list_protocols),
    "lsps1.get_info": Method(_get_info),
    "lsps1.create_order": Method(_create_order, is_slow=True),
    "lsps1.get_order": Method(_get_order),
    "lsps2.get_info": Method(_jit_info, is_jit=True),
    "lsps2.buy": Method(_jit_buy, is_jit=True),
    "lsps5.set_webhook": Method(_set_webhook, is_waking=True),
    "lsps5.list_webhooks": Method(_list_webhooks, is_waking=True),
    "lsps5.remove_webhook": Method(_remove_webhook, is_waking=True),
}


def client(peer: str) -> str:
    """What limits count the peer by: its key, which it has proven. Nobody's network address looks like it."""
    return f"node:{peer}"


def _is_theirs(order: ChannelOrder, peer: str) -> bool:
    return order.node_pubkey == peer or order.client_hash == client_hash(client(peer))


def _require_patience(peer: str) -> None:
    """By the limit of the other doors, which all processes count together."""
    wait_seconds = limits.wait_seconds(f"BUY_RATE:{client(peer)}", settings.BUY_RATE)
    if wait_seconds is not None:
        raise Refusal(CLIENT_REJECTED, f"Too many orders: wait {wait_seconds} seconds.", again_in_seconds=wait_seconds)


def _told(order: ChannelOrder, call: Call) -> dict[str, Any]:
    return dialects.of(call).order(buying.told(order.pk, _words(call)))


def _words(call: Call) -> lsps1.Dialect:
    return dialects.of(call).words(aliases=settings.LSPS1_ALIASES)
