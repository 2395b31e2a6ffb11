"""The funding transaction of an attempt: drafted, checked, and recorded before the peer hears of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from lightning import transactions
from lightning.errors import InsufficientFunds, Rejected
from lightning.node import LndNode
from lightning.types import FeeRates, FundedPsbt, FundingRequest, Utxo
from orders import locks, marks, queries
from orders.causes import Cause
from orders.locks import Lock
from orders.models import ChannelOpening, ChannelOrder, TransactionKind, WalletTransaction
from orders.models.order import Door
from orders.openings import promised, turns
from orders.openings.reasons import Broken
from orders.states import OpeningState
from orders.transitions import locked, move_opening, note
from orders.wallet import budget, choosing, coins, shape
from orders.wallet.looking import wallet_transaction

#: How often we choose again when others were quicker.
_MOST_CHOICES: Final = 3
#: What needs more waits for bigger coins that are leased just now: dust that strangers have sent makes dear fundings,
#: each of whose coins is a call to our node.
_MANY_INPUTS: Final = 50
#: Of our coins payments that are under way hold no more than that.
_MOST_CARRIED_PERCENT: Final = 25
#: They may be free again soon, and are no failure of the order that needs them.
COINS_KEPT: Final = ("LSP_BUSY", "The coins that other openings have not leased are kept for first attempts.")
COINS_CARRIED: Final = ("LSP_BUSY", "Payments that are under way hold as many of our coins as they may.")
COINS_LEASED: Final = ("LSP_BUSY", "Other openings, which may yet fail, have leased the coins.")


def obstacle(order: ChannelOrder, wanted_sat: int, node: LndNode) -> tuple[str, str] | None:
    """Why our coins do not pay for it now: (reason, detail); what it costs is looked at again once it is drafted."""
    coins = node.coins(min_confirmations=settings.FUNDING_MIN_CONFS)
    native = choosing.native(coins)
    if order.is_jit and _carries_much(choosing.total_sat(native)):
        return COINS_CARRIED
    fees = _rates(order, wanted_sat, node)
    sat_per_kw = max(fees.estimate_sat_per_kw, fees.minimum_sat_per_kw)
    draft = partial(shape.draft, wanted_sat=wanted_sat, sat_per_kw=sat_per_kw)
    amounts = [coin.amount_sat for coin in native]
    made = draft(amounts)
    is_well = made is not None and made.inputs <= _MANY_INPUTS
    leased = [] if is_well and turns.is_first(order) else queries.leased_by_attempts()
    waited_for = draft([*amounts, *leased]) if leased and not is_well else None
    if waited_for is not None and (made is None or waited_for.inputs <= _MANY_INPUTS):
        return COINS_LEASED
    if made is not None and leased and not turns.is_first(order) and _are_kept(amounts, leased, wanted_sat, sat_per_kw):
        return COINS_KEPT
    if made is not None:
        return budget.objection(budget.left_sat(order), fees, fee_sat=made.fee_sat, vbytes=made.vbytes)
    native_sat = sum(amounts)
    nested_sat = choosing.total_sat(coins) - native_sat
    besides = f"; {nested_sat} sat lie in nested ones, which fund no channel" if nested_sat else ""
    return "INSUFFICIENT_FUNDS", f"The node has {native_sat} sat in deep coins{besides}."


def _carries_much(free_sat: int) -> bool:
    carried_sat, leased_sat = sum(queries.leased_by_attempts(Door.LSPS2)), sum(queries.leased_by_attempts())
    return is_much_carried(carried_sat=carried_sat, all_sat=free_sat + leased_sat)


def is_much_carried(*, carried_sat: int, all_sat: int) -> bool:
    """Channels that open just in time have leased as much as they may, of what is free and what attempts have leased:
    for as long as a payer and his wallet like, which may be the same. One more may begin while they have less.
    """
    return carried_sat * 100 > all_sat * _MOST_CARRIED_PERCENT


def _are_kept(free: Sequence[int], leased: Sequence[int], wanted_sat: int, sat_per_kw: int) -> bool:
    """With this one more, fewer coins were free than are kept, while others may yet give theirs back.

    Of coins as of places: peers that fail again and again must not hold them all. Counted are channels like this one.
    """
    most = settings.PARALLEL_OPENINGS
    count = partial(shape.channels, wanted_sat=wanted_sat, sat_per_kw=sat_per_kw, most_inputs=_MANY_INPUTS, up_to=most)
    left = count(free)
    return 0 < left <= turns.limits(min(most, left + count(leased))).kept


def _rates(order: ChannelOrder, wanted_sat: int, node: LndNode) -> FeeRates:
    """For the blocks that are left of what was promised; where the order's budget does not bear that, for all of them.

    An order that may confirm late has paid for a low fee: while its buyer is away nobody pays him a higher one.
    """
    now = timezone.now()
    left = _conf_target(order, (now - (order.paid_at or now)).total_seconds())
    fees, whole = _estimate(left, node), _conf_target(order, 0)
    if left == whole:
        return fees
    sat_per_kw = max(fees.estimate_sat_per_kw, fees.minimum_sat_per_kw)
    made = shape.draft([coin.amount_sat for coin in _native(node)], wanted_sat=wanted_sat, sat_per_kw=sat_per_kw)
    budget_sat = budget.left_sat(order)
    if made is None or budget.objection(budget_sat, fees, fee_sat=made.fee_sat, vbytes=made.vbytes) is None:
        return fees
    return _estimate(whole, node)


def _estimate(target: int, node: LndNode) -> FeeRates:
    """For so many blocks, and never above what is asked for fewer: a node that cannot look so far ahead says a number
    of its own, which may be a high one.
    """
    fees = node.fee_rates(conf_target=target)
    if target == settings.FUNDING_CONF_TARGET:
        return fees
    usual = node.fee_rates(conf_target=settings.FUNDING_CONF_TARGET)
    return min(fees, usual, key=lambda rates: rates.estimate_sat_per_kw)


def _conf_target(order: ChannelOrder, waited_seconds: float) -> int:
    within, usual = order.funding_confirms_within_blocks, settings.FUNDING_CONF_TARGET
    return promised.conf_target(within, waited_seconds=waited_seconds, usual_blocks=usual)


def fund(order_id: UUID, opening: ChannelOpening, request: FundingRequest, node: LndNode) -> None:
    """Our coins are leased and the unsigned funding transaction is recorded: the attempt is FUNDED.

    Checked before the peer hears of it: later a refusal would strand a half-made channel at the peer.
    """
    if request.amount_sat != opening.capacity_sat:
        raise Broken("FAILED_OPENING", f"The node asks for {request.amount_sat} sat.")
    fees = _rates(opening.order, request.amount_sat, node)
    try:
        funded = _draft(opening.order, request, max(fees.estimate_sat_per_kw, fees.minimum_sat_per_kw), node)
    except InsufficientFunds:  # others were quicker, since we asked for the obstacle
        why = obstacle(opening.order, opening.capacity_sat, node)
        if why in {COINS_LEASED, COINS_KEPT, COINS_CARRIED}:
            raise Broken(*why) from None
        raise
    index, fee_sat = _check_funding(opening, request, funded, fees, node)
    free_sat = choosing.total_sat(_native(node)) if opening.order.is_jit else 0
    _record_funded(order_id, opening, funded, index, fee_sat, free_sat=free_sat)


def _draft(order: ChannelOrder, request: FundingRequest, sat_per_kw: int, node: LndNode) -> FundedPsbt:
    """The unsigned transaction, of native coins only. The node chooses them, unless it takes a nested one.

    Nor does it where it could take hundreds: others may be quicker with the big ones, and to give hundreds back is as
    many calls. Raises: InsufficientFunds, Broken.
    """
    draft = partial(
        node.fund_psbt,
        address=request.address,
        amount_sat=request.amount_sat,
        sat_per_kw=sat_per_kw,
        min_confirmations=settings.FUNDING_MIN_CONFS,
        lock_id=marks.lock_id(order.pk),
        lease_seconds=settings.FUNDING_LEASE_SECONDS,
    )
    if len(_native(node)) <= _MANY_INPUTS:
        funded = draft()
        if not any(lease.is_nested for lease in funded.leases):
            return funded
        coins.release(marks.lock_id(order.pk), node)
    for _ in range(_MOST_CHOICES):
        chosen = choosing.enough(_native(node), wanted_sat=request.amount_sat, sat_per_kw=sat_per_kw)
        if len(chosen) > _MANY_INPUTS:
            _require_no_obstacle(order, request.amount_sat, node)
        try:
            return draft(inputs=[coin.outpoint for coin in chosen])
        except Rejected as error:  # others may have taken one since we looked
            if error.reason != "leased_by_another":
                raise
    raise Broken("LSP_BUSY", "Others took the coins that we had chosen.")


def _native(node: LndNode) -> list[Utxo]:
    return choosing.native(node.coins(min_confirmations=settings.FUNDING_MIN_CONFS))


def _require_no_obstacle(order: ChannelOrder, wanted_sat: int, node: LndNode) -> None:
    """Raises: Broken, with nothing leased."""
    why = obstacle(order, wanted_sat, node)
    if why is not None:
        raise Broken(*why)


def _check_funding(
    opening: ChannelOpening, request: FundingRequest, funded: FundedPsbt, fees: FeeRates, node: LndNode
) -> tuple[int, int]:
    """(index of the funding output, fee in satoshis) of a transaction that is as it must be."""
    try:
        unsigned = transactions.read_psbt(funded.psbt)
    except ValueError as error:  # an input whose txid is not final before it is signed
        raise Broken("FAILED_OPENING", str(error)) from error
    script = transactions.address_script(request.address)
    paying = [i for i, output in enumerate(unsigned.outputs) if output == (script, request.amount_sat)]
    others = {i for i in range(len(unsigned.outputs)) if i not in paying}
    if len(paying) != 1 or others - {funded.change_index}:
        raise Broken("FAILED_OPENING", "The funding transaction pays something else.")
    for txid in {coin.txid for coin in unsigned.inputs}:
        parent = wallet_transaction(node, txid)
        if parent is None or not parent.confirmations:
            raise Broken("FAILED_OPENING", f"The coins of {txid} were taken back by a reorganisation.")
    leased = {lease.outpoint: lease.amount_sat for lease in funded.leases}
    if set(unsigned.inputs) != set(leased):
        raise Broken("FAILED_OPENING", "The funding transaction spends coins that are not leased.")
    fee_sat = sum(leased.values()) - sum(amount for _, amount in unsigned.outputs)
    lowest = unsigned.vbytes * 4 * fees.minimum_sat_per_kw // 1000
    why = budget.objection(budget.left_sat(opening.order), fees, fee_sat=fee_sat, vbytes=unsigned.vbytes)
    if why is not None:
        raise Broken(*why)
    if fee_sat < lowest:
        raise Broken("FAILED_OPENING", f"The funding transaction pays {fee_sat} sat; {lowest} are asked to relay.")
    change = unsigned.outputs[funded.change_index][1] if funded.change_index >= 0 else 0
    _check_reserve(opening, change, node)
    return paying[0], fee_sat


def _check_reserve(opening: ChannelOpening, change_sat: int, node: LndNode) -> None:
    """LND keeps coins to bump closes of announced channels, and refuses late when they would be spent."""
    required = node.required_reserve_sat(additional_public_channels=1 if opening.announced else 0)
    left = choosing.total_sat(node.coins(min_confirmations=0)) + change_sat
    if left < required:
        raise Broken("INSUFFICIENT_FUNDS", f"{left} sat would be left of the {required} sat kept for closes.")


def _record_funded(
    order_id: UUID, opening: ChannelOpening, funded: FundedPsbt, index: int, fee_sat: int, *, free_sat: int
) -> None:
    unsigned = transactions.read_psbt(funded.psbt)
    with locked(order_id) as order:
        current = order.openings.get(pk=opening.pk)
        if current.state != OpeningState.NEGOTIATING:
            raise Broken("FAILED_OPENING", "Another process has taken the attempt over.")
        if order.is_jit:  # several may have begun at once: each is counted before the next
            locks.hold(Lock.BEGINNINGS)
            if _carries_much(free_sat + sum(lease.amount_sat for lease in funded.leases)):
                raise Broken(*COINS_CARRIED)
        transaction = WalletTransaction.objects.create(
            kind=TransactionKind.FUNDING,
            label=marks.label(TransactionKind.FUNDING, order_id),
            txid=unsigned.txid,
            psbt=funded.psbt,
            lock_id=marks.lock_id(order_id),
            inputs=[[str(lease.outpoint), lease.amount_sat, lease.pk_script.hex()] for lease in funded.leases],
            change_index=funded.change_index,
            fee_sat=fee_sat,
            created_at=timezone.now(),
        )
        move_opening(order, current, OpeningState.FUNDED, transaction=transaction, output_index=index)
        note(order, Cause.OPENING_FUNDED, attempt=current.attempt, outpoint=current.funding_outpoint, fee_sat=fee_sat)
