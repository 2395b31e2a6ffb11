"""`python -m tests.pages.arranging 4` beside a running server: orders for each deed, so many, with nothing under way.

Closings are paused, so that what is to be closed stays so. On stdout: of each deed the ids and references.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

#: Beyond all that the history has made.
_FIRST_NUMBER: Final = 50_000
#: Deep, and in a block that nobody reads any more: the node's wallet has no such deposit.
_DEEP: Final = {"block_height": 1, "confirmations": 99}
_TOGETHER, _OVER_WEEKS = "together", 7

Make = Callable[[int], Any]


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lsp_site.settings")
    import django

    django.setup()
    from orders import keys

    _set_apart()
    _pause_closings()
    made = {name: [make(number) for number in range(int(sys.argv[1]))] for name, make in _makers().items()}
    print(json.dumps({name: [[str(each.pk), keys.reference(each.pk)] for each in rows] for name, rows in made.items()}))


def _set_apart() -> None:
    from tests import factories

    for each in (factories.OrderFactory, factories.DepositFactory, factories.TransactionFactory):
        each.reset_sequence(_FIRST_NUMBER, force=True)


def _pause_closings() -> None:
    from orders import actors
    from orders.models import SwitchName
    from orders.operations import pausing

    pausing.pause(SwitchName.CLOSINGS, reason="Somebody looks at the pages.", actor=actors.command("pages"))


def _makers() -> dict[str, Make]:
    """What each deed fits. Paid on chain where it is paid: of an invoice the node would know nothing."""
    return {
        "retry": lambda _: _order(give_up=True, counted_payment="onchain"),
        "give_up": lambda _: _order(uri_set=True, counted_payment="onchain", due_at=_in(minutes=20)),
        "cancel": lambda _: _order(paid_onchain=True),
        "return_money": lambda _: _order(paid_onchain=True),
        "record_returned": lambda _: _order(rejected=True),
        "revive": lambda _: _late(),
        "pay_back": lambda _: _refund(),
        "keep_refund": lambda _: _refund(),
        "release_refund": lambda _: _refund(kept=True),
        "grant_refund": lambda _: _proposed(),
        "decline_refund": lambda _: _proposed(),
        "close_channel": lambda _: _ended(),
        "force_channel": lambda _: _ended(),
        "override_lease": lambda _: _order(open=True),
        "override_lease_by_force": lambda _: _order(open=True),
        "withdraw_close": lambda _: _to_be_closed(),
        "extend_lease": lambda _: _order(open=True),
        "note": lambda _: _order(expired=True),
        "ban_node": lambda number: _order(expired=True, node_pubkey=_key(number)),
        "ban_address": lambda number: _order(expired=True, refund_address=_address(number)),
        "ban_payers": lambda number: _late(deposit={"payers": [f"0014{number:040x}"]}),
        "settle_flag": lambda _: _order(expired=True, flagged=True),
    }


def _order(**given: Any) -> Any:
    from tests.factories import OrderFactory

    return OrderFactory(**{f"deposits__{name}": value for name, value in _DEEP.items()}, **given)


def _late(deposit: dict[str, Any] | None = None) -> Any:
    """Its deposit came when nobody waited for it any more, and is deep."""
    from tests.factories import DepositFactory

    order = _order(expired=True)
    DepositFactory(order=order, **_DEEP, **(deposit or {}))
    return order


def _refund(**given: Any) -> Any:
    """All that came is to go back, or was: of another sum the server would make another refund."""
    from tests.refunding import RefundFactory

    order = _late()
    return RefundFactory(order=order, amount_sat=order.order_total_sat, **given).order


def _proposed() -> Any:
    """It was paid by Lightning, and its channel closed before it was usable."""
    from orders.models import Refund

    order = _order(closed=True)
    given = {"state": "proposed", "ends_order": False, "cause": "closed_unused", "created_at": _in()}
    Refund.objects.create(order=order, amount_sat=5_000, **given)
    return order


def _ended() -> Any:
    """Open, and its lease is over: by the clock, and by the height of a chain that has just begun."""
    at = _in(weeks=-_OVER_WEEKS)
    return _order(open=True, lease_starts_at=at, opened_at=at, lease_starts_height=1, lease_ends_height=2)


def _to_be_closed() -> Any:
    from orders.models import ChannelClosing

    order = _ended()
    given = {"kind": _TOGETHER, "actor": "command:pages", "reason": "Its lease is over."}
    ChannelClosing.objects.create(order=order, opening=order.openings.get(), created_at=_in(), **given)
    return order


def _in(**span: int) -> Any:
    from django.utils import timezone

    return timezone.now() + timedelta(**span)


def _key(number: int) -> str:
    from tests.factories import pubkey

    return pubkey(_FIRST_NUMBER + number)


def _address(number: int) -> str:
    from tests.fakes import regtest_address

    return regtest_address(_FIRST_NUMBER + number)


if __name__ == "__main__":
    main()
