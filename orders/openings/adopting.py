"""An opening that our records do not know is taken over: a database that was put back sells nothing twice."""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID

from django.db import IntegrityError
from django.utils import timezone

from lightning.node import LndNode
from lightning.types import ChainTransaction, Lease, Outpoint
from orders import marks
from orders.causes import Cause, FlagKind
from orders.flags import raise_flag
from orders.models import ChannelOpening, ChannelOrder, TransactionKind, WalletTransaction
from orders.openings.retrying import postpone
from orders.openings.tracing import Trace
from orders.states import OpeningState, OrderState, TransactionState
from orders.transitions import begin_opening, locked, move, move_transaction, note
from orders.wallet.looking import wallet_transaction

#: (outpoint, amount_sat, script_hex) of a coin; 0 and "": not known.
Input = tuple[str, int, str]
#: Of what cannot be adopted: nobody tells us what becomes of it.
_LOOK_AGAIN: Final = timedelta(minutes=10)


def adopt(order_id: UUID, trace: Trace, node: LndNode) -> None:
    """The order is OPENING with an attempt made from what the node knows; no other is begun.

    Money: where the funding is in the wallet it is followed, and the payment settled, as any other. Where only a
    pending channel is left (its signed funding was lost with our records) the attempt is put out by a conflict on
    an input leased under the order's lock id; where none is leased a person has to look.
    Repeat: safe. Raises: NodeUnavailable.
    """
    lock_id = marks.lock_id(order_id)
    leases = [lease for lease in node.leases() if lease.lock_id == lock_id]
    inputs = _spent(trace.transaction, node) if trace.transaction else _leased(leases)
    try:
        _take_over(order_id, trace, leases, inputs)
    except IntegrityError:  # another order is opening to this peer: later
        postpone(order_id, "PEER_BUSY", "Another order of this node is being opened.")


def _take_over(order_id: UUID, trace: Trace, leases: list[Lease], inputs: list[Input]) -> None:
    with locked(order_id) as order:
        if order.state != OrderState.URI_SET or order.live_opening is not None:
            return
        if trace.outpoint is None or (trace.transaction is None and not leases):
            words = "The node has a channel or funding of this order that cannot be adopted."
            raise_flag(order, FlagKind.NOT_ADOPTABLE, words)
            order.due_at = timezone.now() + _LOOK_AGAIN  # a person may mend it at the node, and the deadline comes
            return
        opening = _opening(order, trace, trace.outpoint, inputs)
        outpoint = str(trace.outpoint)
        move(order, OrderState.OPENING, cause=Cause.OPENING_ADOPTED, attempt=opening.attempt, outpoint=outpoint)
        if trace.transaction is None:
            note(order, Cause.FUNDING_LOST, outpoint=outpoint)


def _opening(order: ChannelOrder, trace: Trace, outpoint: Outpoint, inputs: list[Input]) -> ChannelOpening:
    now = timezone.now()
    found, channel = trace.transaction, trace.channel
    more_sat = _surplus_sat(order, trace, outpoint)
    state = TransactionState.SIGNED if found else TransactionState.DRAFTED
    transaction, _ = WalletTransaction.objects.get_or_create(
        txid=outpoint.txid,
        defaults={
            "kind": TransactionKind.FUNDING,
            "label": marks.label(TransactionKind.FUNDING, order.pk),
            "psbt": b"",
            "raw": found.raw if found else None,
            "state": state,
            "lock_id": marks.lock_id(order.pk),
            "inputs": inputs,
            "change_index": _change_index(found),
            "fee_sat": _fee_sat(found, inputs),
            "created_at": now,
        },
    )
    if transaction.state in {TransactionState.DRAFTED, TransactionState.EXCLUDED}:
        raw = transaction.raw if found is None else found.raw
        move_transaction(transaction.pk, state if raw is None else TransactionState.SIGNED, raw=raw)
    # The attempt that we thought dead lives on under a new number.
    ChannelOpening.objects.filter(transaction=transaction, output_index=outpoint.index).update(transaction=None)
    return begin_opening(
        order,
        # Always looked at as unpublished: the next look finds the transaction in the wallet, or puts it out.
        state=OpeningState.PUBLISHING,
        created_at=now,
        changed_at=now,
        pending_chan_id=b"",
        node_pubkey=channel.peer_pubkey if channel else order.node_pubkey,
        node_host=order.node_host,
        announced=not getattr(channel, "private", False),
        zero_conf=getattr(channel, "zero_conf", False),
        capacity_sat=order.capacity_sat + more_sat,
        push_sat=order.client_balance_sat + more_sat,
        surplus_sat=more_sat,
        transaction=transaction,
        output_index=outpoint.index,
    )


def _surplus_sat(order: ChannelOrder, trace: Trace, outpoint: Outpoint) -> int:
    """By what the channel that the node has is larger than the one that was sold."""
    outputs = trace.transaction.outputs if trace.transaction else ()
    found = [output.amount_sat for output in outputs if output.index == outpoint.index]
    capacity_sat = trace.channel.capacity_sat if trace.channel else next(iter(found), order.capacity_sat)
    return max(0, capacity_sat - order.capacity_sat)


def _leased(leases: list[Lease]) -> list[Input]:
    return [(str(lease.outpoint), lease.amount_sat, lease.pk_script.hex()) for lease in leases]


def _spent(found: ChainTransaction, node: LndNode) -> list[Input]:
    """Its coins with what they were worth, as far as the wallet still has the transactions that made them."""
    inputs: list[Input] = []
    for spent in found.inputs:
        parent = wallet_transaction(node, spent.txid)
        amounts = {output.index: output.amount_sat for output in parent.outputs} if parent else {}
        inputs.append((str(spent), amounts.get(spent.index, 0), ""))
    return inputs


def _fee_sat(found: ChainTransaction | None, inputs: list[Input]) -> int:
    if found is None:
        return 0
    return max(0, sum(amount for _, amount, _ in inputs) - sum(output.amount_sat for output in found.outputs))


def _change_index(found: ChainTransaction | None) -> int:
    """Where a child could bump it; -1: nowhere."""
    return next((output.index for output in found.outputs if output.ours), -1) if found else -1
