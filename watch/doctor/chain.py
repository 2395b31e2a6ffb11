"""Checks of the chain source. Pure: values in, a finding out. Where it fails, deposits are as they are without it."""

from __future__ import annotations

from typing import Final

from watch.doctor.finding import Finding, failure, ok, warning

_NAME: Final = "chain_source"
_APART_BLOCKS: Final = 2


def not_set() -> Finding:
    """Nothing is missing: deposits reserve coins once they are in a block."""
    return ok(_NAME, "none: deposits reserve coins once they are in a block")


def unreachable(problem: str) -> Finding:
    """It gave no answer that can be used."""
    mend = "Look at CHAIN_RPC, CHAIN_RPC_CERT and that node; meanwhile deposits reserve coins once they are in a block."
    return warning(_NAME, problem, mend)


def elsewhere() -> Finding:
    """Its chain is not our node's: it knows nothing of our deposits."""
    mend = "Set CHAIN_RPC to a Bitcoin node on the network and the chain of LND."
    return failure(_NAME, "is on another chain than our node", mend)


def follows(height: int, node_height: int) -> Finding:
    """It is on our node's chain, as far as that one goes."""
    seen = f"block {height:,}, our node's {node_height:,}"
    if abs(height - node_height) <= _APART_BLOCKS:
        return ok(_NAME, seen)
    return warning(_NAME, seen, "Wait until both are synced; where it stays so, look whether both have peers.")
