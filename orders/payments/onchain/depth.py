"""How deep deposits are in the chain as it is now."""

from __future__ import annotations

from collections.abc import Sequence

from lightning.node import LndNode
from orders.models import ChannelOrder, OnchainPayment
from orders.wallet.looking import LOOK_BACK_BLOCKS, as_the_chain_has_them


def of(order: ChannelOrder, deposits: Sequence[OnchainPayment], node: LndNode) -> dict[str, int]:
    """The depth of each of their transactions that the node's wallet has, 0 in no block.

    In one call, and one for each block, however many there are. Raises: NodeUnavailable.
    """
    if not deposits:
        return {}
    wanted = {deposit.txid for deposit in deposits}
    read_height = order.lsp_node.deposits_height or order.created_height
    lowest = min(deposit.block_height or read_height for deposit in deposits)
    listed = node.transactions(from_height=max(0, lowest - LOOK_BACK_BLOCKS))
    found = as_the_chain_has_them(node, [transaction for transaction in listed if transaction.txid in wanted])
    return {transaction.txid: transaction.confirmations for transaction in found}
