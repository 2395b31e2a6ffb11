"""How far the node follows its chain: at once, or late, as it is told. In memory only: a node that starts is synced."""

from __future__ import annotations

from dataclasses import dataclass, field

from simulator.chain import Block


@dataclass
class Sync:
    """What keeps the node from saying that it is synced."""

    #: It says that it knows the whole chain.
    is_at_tip: bool = True
    #: Its wallet reads each block as it comes; else only when this is set again.
    wallet_reads: bool = True
    #: So many answers after each block say that something of the node has not caught up with it.
    doubts_at_block: int = 0
    #: What the wallet has not read yet.
    unread: list[Block] = field(default_factory=list)
    _doubts: int = 0

    @property
    def is_wallet_synced(self) -> bool:
        """The wallet has read all blocks."""
        return self.is_at_tip and not self.unread

    def asked(self) -> bool:
        """Whether everything has caught up, as one answer says it."""
        doubt = self._doubts > 0
        self._doubts -= doubt
        return self.is_wallet_synced and not doubt

    def block_came(self, block: Block) -> bool:
        """Whether the wallet reads it now."""
        self._doubts = self.doubts_at_block
        if not self.wallet_reads:
            self.unread.append(block)
        return self.wallet_reads

    def block_went(self, block: Block) -> bool:
        """Whether the wallet had read it."""
        if block not in self.unread:
            return True
        self.unread.remove(block)
        return False

    def catch_up(self) -> list[Block]:
        """The blocks that the wallet reads now."""
        blocks, self.unread = self.unread, []
        return blocks
