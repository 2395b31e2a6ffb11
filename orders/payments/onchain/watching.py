"""The wallet is read for deposits, from the last block that was read."""

from __future__ import annotations

from django.db.models import Min
from django.utils import timezone

from lightning.node import LndNode
from orders.models import ChannelOrder, Node, NodeSnapshot
from orders.payments.onchain import recording
from orders.wallet.looking import LOOK_BACK_BLOCKS, as_the_chain_has_it


def read_deposits(node: LndNode, seen: NodeSnapshot) -> None:
    """Every deposit the node knows has its row as the chain is now; one that is gone has vanished.

    Money: seen from the last height read, minus what a reorganisation may take back.
    """
    at, height = timezone.now(), node.info().block_height
    from_height = max(0, (seen.node.deposits_height or _first_height(height)) - LOOK_BACK_BLOCKS)
    known = recording.known_since(from_height)  # before the look: what is recorded meanwhile has not vanished
    paying = recording.relevant(node.transactions(from_height=from_height))
    transactions = [as_the_chain_has_it(node, transaction) for transaction in paying]
    whole = recording.record(transactions)
    recording.forget(known, transactions)
    # What could not be recorded is read again: the height stays.
    Node.objects.filter(pk=seen.pk).update(deposits_at=at, **({"deposits_height": height} if whole else {}))


def _first_height(height: int) -> int:
    oldest = ChannelOrder.objects.aggregate(height=Min("created_height"))["height"]
    return int(oldest) if oldest is not None else height
