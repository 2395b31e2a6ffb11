"""The wallet is read for deposits, from the last block that was read; and now and then again, from far back."""

from __future__ import annotations

import logging
import os
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Min
from django.utils import timezone

from lightning.errors import LightningError
from lightning.node import LndNode
from lightning.steady import info_once
from orders.models import ChannelOrder, Node, NodeSnapshot
from orders.payments.onchain import recording
from orders.states import OrderState
from orders.wallet.looking import LOOK_BACK_BLOCKS, as_the_chain_has_them

log = logging.getLogger(__name__)

#: What was missed, whatever made us miss it, is found within this time.
_AGAIN_AFTER: Final = timedelta(hours=1)
#: From the oldest order that waits for its payment, and a week at least, since deposits come late too.
_WEEK_BLOCKS: Final = 1008
_FARTHEST_BLOCKS: Final = 4 * _WEEK_BLOCKS

#: One that fails is slow too: every pass would wait for it.
_AFTER_FAILURE: Final = timedelta(minutes=10)

#: Which processes have done so: a fork inherits what its parent has noted.
_read_again_by: set[int] = set()
#: When each process tried and failed last.
_failed_at: dict[int, datetime] = {}


def read_deposits(node: LndNode, seen: NodeSnapshot) -> None:
    """Every deposit the node knows has its row as the chain is now; one that is gone has vanished.

    Money: seen from the last height that was read whole, minus what a reorganisation may take back. A wallet that has
    not read all blocks may tell less than there is: then nothing counts as read, and nothing as vanished.
    """
    ours, at = Node.objects.get(pk=seen.pk), timezone.now()
    info = info_once(lambda info: info.wallet_synced, node)  # before the look: a block may come meanwhile
    from_height = max(0, (ours.deposits_height or _first_height(info.block_height)) - LOOK_BACK_BLOCKS)
    known = recording.known_since(from_height)  # before the look: what is recorded meanwhile has not vanished
    paying = recording.relevant(node.transactions(from_height=from_height))
    transactions = as_the_chain_has_them(node, paying)
    whole = recording.record(transactions)
    if not info.wallet_synced:
        return
    recording.forget(known, transactions)
    # What could not be recorded is read again: the height stays.
    Node.objects.filter(pk=ours.pk).update(deposits_at=at, **({"deposits_height": info.block_height} if whole else {}))
    if _is_time_to_read_again(ours, at):
        _try_to_read_again(node, ours, info.block_height, at)


def _is_time_to_read_again(ours: Node, now: datetime) -> bool:
    """A process that starts does so too: who knows what happened before."""
    before, failed_at = ours.deposits_reread_at, _failed_at.get(os.getpid())
    if failed_at is not None and failed_at <= now < failed_at + _AFTER_FAILURE:
        return False
    return os.getpid() not in _read_again_by or before is None or not now - _AGAIN_AFTER < before <= now


def _try_to_read_again(node: LndNode, ours: Node, height: int, at: datetime) -> None:
    """Read, or put off: what else there is to compare does not wait for what is read only to be sure."""
    try:
        _read_again(node, ours, height, at)
    except LightningError as error:
        _failed_at[os.getpid()] = at
        log.warning("deposits are not read again from far back: %s", error)


def _read_again(node: LndNode, ours: Node, height: int, at: datetime) -> None:
    """Whatever pays an order has its row, although the height that was read had passed it."""
    found = node.transactions(from_height=max(0, _far_back(height)))
    checked = as_the_chain_has_them(node, recording.unknown(found))
    missed = [transaction for transaction in checked if transaction.confirmations]
    for transaction in missed:
        log.warning("deposit=%s was not seen when its block was read", transaction.txid)
    if recording.record(missed):
        _read_again_by.add(os.getpid())
        Node.objects.filter(pk=ours.pk).update(deposits_reread_at=at)


def _far_back(height: int) -> int:
    unpaid = ChannelOrder.objects.filter(state=OrderState.CREATED).aggregate(height=Min("created_height"))["height"]
    oldest = min(height if unpaid is None else int(unpaid), height - _WEEK_BLOCKS) - LOOK_BACK_BLOCKS
    return max(oldest, _first_height(height) - LOOK_BACK_BLOCKS, height - _FARTHEST_BLOCKS)


def _first_height(height: int) -> int:
    oldest = ChannelOrder.objects.aggregate(height=Min("created_height"))["height"]
    return int(oldest) if oldest is not None else height
