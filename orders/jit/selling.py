"""A peer is told what a channel costs that opens just in time, and buys one. No node is asked, and nobody pays yet."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from orders import locks, pricing, queries, serving
from orders.barring import Asked
from orders.errors import FeeNotPromised, NotAvailable, NotServed, PaymentTooLarge, PaymentTooSmall, TooManyOrders
from orders.jit import ability, exposure, room
from orders.jit.promises import FeeParameters, Offer, promise, service_of
from orders.locks import Lock
from orders.models import JitPurchase, NodeSnapshot, Service
from orders.opening_fee import LEAST_PART_MSAT, Overflow

#: What LND takes for an alias lies in these blocks, and it counts its own up from 16,000,000: so we begin far above.
_FIRST_BLOCK: Final = 16_050_000
_BLOCKS: Final = 200_000
#: A client's own delay may be so long, in blocks: LND asks for no more, whatever the channel's size.
_MAX_TO_SELF_DELAY: Final = 2_016
#: Where Alby Hub begins to ask that the fee be no more than a tenth of the payment.
_ALWAYS_FAIR_SAT: Final = 5_000
_ANOTHER_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a peer wants to buy, parsed. `payment_size_msat`: None where the payment's first part says it."""

    peer: str
    parameters: FeeParameters
    promise: str
    payment_size_msat: int | None


def menu(peer: str) -> list[Offer]:
    """What the peer is offered, the cheapest first; nothing where none is sold now. Repeat: safe.

    Spec: lsps2.get_info. Money: what is promised here we keep to until it ends, whatever the chain costs then.
    """
    service, seen = ability.service(), queries.snapshot()
    if service is None or seen is None or ability.why_off() or ability.why_paused():
        return []
    said = parameters(service, sat_per_kw=seen.estimate_sat_per_kw, now=timezone.now())
    if said.min_payment_size_msat > said.max_payment_size_msat:
        return []
    return [Offer(said, promise(said, peer=peer, service_id=service.pk))]


def parameters(service: Service, *, sat_per_kw: int, now: datetime) -> FeeParameters:
    """The service's price at this feerate. Where the chain is dear the smallest payment is one that bears it."""
    min_fee_sat = service.jit_minimum_fee_sat + pricing.chain_fee_sat(pricing.OPEN_VBYTES, sat_per_kw)
    bears_sat = 10 * min_fee_sat if min_fee_sat > _ALWAYS_FAIR_SAT else min_fee_sat + 1
    most_msat = min(service.jit_max_payment_sat * 1000, service.jit_size.most_payment_msat())
    return FeeParameters(
        min_fee_msat=min_fee_sat * 1000,
        proportional_ppm=service.jit_rate_ppm,
        valid_until=(now + timedelta(seconds=settings.LSPS2_VALID_SECONDS)).replace(microsecond=0),
        min_lifetime_blocks=service.jit_lifetime_blocks,
        max_client_to_self_delay=_MAX_TO_SELF_DELAY,
        min_payment_size_msat=max(service.jit_min_payment_sat, bears_sat) * 1000,
        max_payment_size_msat=most_msat,
    )


def buy(wanted: Wanted) -> JitPurchase:
    """The peer has a short channel id of its own, which becomes that of a channel once a payment names it.

    Spec: lsps2.buy.
    Money: none moves, and none of our coins is promised.
    Repeat: each time another one, as often as LSPS2_PURCHASES_PER_PEER.
    Raises: FeeNotPromised, PaymentTooSmall, PaymentTooLarge, NotServed, NotAvailable, TooManyOrders.
    """
    _require_open(wanted.peer)
    service = _promised(wanted)
    if wanted.payment_size_msat is not None:
        require_size(wanted.parameters, wanted.payment_size_msat)
        _require_room(service, wanted.parameters, wanted.payment_size_msat)
    with transaction.atomic():
        locks.hold(Lock.PURCHASES)
        _require_few(wanted.peer)
        return _record(service, wanted)


def require_size(said: FeeParameters, payment_msat: int) -> None:
    """A payment of this size bears the fee, and is one that was offered. Raises: PaymentTooSmall, PaymentTooLarge."""
    try:
        fee_msat = said.fee.of(payment_msat)
    except Overflow:
        raise PaymentTooLarge("The fee of a payment of this size cannot be reckoned.") from None
    if payment_msat < said.min_payment_size_msat:
        raise PaymentTooSmall(f"A payment must have at least {said.min_payment_size_msat} msat.")
    if payment_msat > said.max_payment_size_msat:
        raise PaymentTooLarge(f"A payment may have {said.max_payment_size_msat} msat at most.")
    if fee_msat + LEAST_PART_MSAT > payment_msat:
        raise PaymentTooSmall("The fee would be all of the payment.")


def _require_open(peer: str) -> None:
    if serving.objection(Asked(node=peer)) is not None:
        raise NotServed("We do not open channels to this node.", field="node")
    if why := ability.why_paused():
        raise NotAvailable(f"None is sold now: {why}")
    if exposure.waits_until(peer, timezone.now()) is not None:
        raise TooManyOrders("Channels were opened for you whose payments you have not taken: come back later.")


def _promised(wanted: Wanted) -> Service:
    service_id = service_of(wanted.promise, wanted.parameters, peer=wanted.peer)
    if service_id is None:
        raise FeeNotPromised("We have promised you nothing like this.")
    if wanted.parameters.valid_until <= timezone.now():
        raise FeeNotPromised("This holds no more: ask again what it costs.")
    service = queries.services_on_sale().filter(pk=service_id, sells_jit=True).first()
    if service is None:
        raise FeeNotPromised("This is not sold any more: ask again what is.")
    return service


def _require_room(service: Service, said: FeeParameters, payment_msat: int) -> None:
    """Our coins make a channel for it, and our channels may bring it to us. Raises: PaymentTooLarge, NotAvailable."""
    seen = queries.snapshot()
    if seen is None:
        raise NotAvailable("Our node was not seen yet.")
    needed_sat = service.jit_size.channel_sat(payment_msat, said.fee.of(payment_msat)) + _opening_sat(seen)
    if needed_sat > queries.stock(seen).available_sat:
        raise PaymentTooLarge("We do not have the coins for this channel now.")
    if 0 < seen.remote_balance_sat * 1000 < payment_msat:
        raise PaymentTooLarge("More than our channels can bring to us now.")


def _opening_sat(seen: NodeSnapshot) -> int:
    return pricing.chain_fee_sat(pricing.OPEN_VBYTES, seen.estimate_sat_per_kw)


def _require_few(peer: str) -> None:
    """Nobody keeps more than his share of what costs nothing. Raises: TooManyOrders, NotAvailable."""
    standing = JitPurchase.objects.filter(valid_until__gt=timezone.now(), opened_at=None)
    if standing.filter(node_pubkey=peer).count() >= settings.LSPS2_PURCHASES_PER_PEER:
        raise TooManyOrders("You have bought too many that no payment has come for; let one end.")
    if not room.make_for(peer):
        raise NotAvailable("Too many have bought, and are not paid yet; please try again later.")


def _record(service: Service, wanted: Wanted) -> JitPurchase:
    """With a short channel id that nobody ever had: the database refuses another's."""
    for _ in range(_ANOTHER_TRIES):
        try:
            with transaction.atomic():
                return JitPurchase.objects.create(
                    service=service,
                    node_pubkey=wanted.peer,
                    scid=_short_channel_id(),
                    created_at=timezone.now(),
                    payment_size_msat=wanted.payment_size_msat,
                    cltv_expiry_delta=settings.LSPS2_CLTV_BLOCKS,
                    client_trusts_lsp=service.jit_client_trusts_lsp,
                    **asdict(wanted.parameters),
                )
        except IntegrityError:
            continue
    raise NotAvailable("No short channel id was free.")


def _short_channel_id() -> str:
    """By chance, so that nobody else's is guessed: in blocks that LND takes for those of aliases."""
    block, transaction_index, output = secrets.randbelow(_BLOCKS), secrets.randbelow(2**24), secrets.randbelow(2**16)
    return f"{_FIRST_BLOCK + block}x{transaction_index}x{output}"
