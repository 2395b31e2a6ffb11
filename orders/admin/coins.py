"""The wallet's coins as they were last seen: what `manage.py coins` says, without asking the node."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.utils.safestring import SafeString

from orders import queries, story
from orders.admin.shown import pairs
from orders.models import NodeSnapshot
from orders.operations import selling

_SHOWN: Final = 12


@admin.display(description="coins that fund channels")
def coins_that_fund(_: Any, row: NodeSnapshot) -> SafeString | str:
    """How many, the biggest of them, and the largest channel that they pay for."""
    stock = queries.stock(row)
    biggest = ", ".join(f"{amount_sat:,}" for amount_sat in row.shape[:_SHOWN])
    told = [
        ("how many", f"{len(row.shape):,}"),
        ("the biggest", f"{biggest} sat" if biggest else "none"),
        ("promised to open orders", story.sat(stock.promised_sat)),
        ("largest channel to sell now", story.sat(selling.largest_sat(row, stock))),
    ]
    return pairs(told)


@admin.display(description="coins that fund none now")
def coins_that_do_not(_: Any, row: NodeSnapshot) -> SafeString | str:
    """And why."""
    return pairs([(why, f"{count:,}, {story.sat(total_sat)}") for why, (count, total_sat) in row.coins_aside.items()])
