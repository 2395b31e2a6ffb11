"""What orders have earned is kept once they are over, whatever moves them afterwards."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from lightning.types import Forward
from orders import figures
from orders.figures import Earnings, Period, earning, lives
from orders.models import DayFigure, OrderEarned, RollUp, RollUpName, StaleOrder
from orders.rollups import earned, forwards, keeping, looking
from tests.factories import OrderFactory
from tests.fakes import FakeNode
from tests.integration.earned_told import made
from tests.undone import undone

pytestmark = pytest.mark.django_db


#: When it is told, each time: channels that stand bind more each moment.
LATER = timezone.now() + timedelta(hours=1)


@pytest.fixture
def shop(db: None) -> Any:
    """A history whose orders are kept."""
    history = made(21, 90, 150, days=150)
    earned.keep()
    assert OrderEarned.objects.filter(is_over=True, counts=True, is_channel=True).count() > 10
    return history


def told() -> Earnings:
    return figures.earnings(Period(LATER - timedelta(days=3_000), LATER), LATER, limit=10_000)


def reckoned() -> Earnings:
    """The same without anything that is kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lives, "kept_through", lambda: None)
        return told()


def test_what_is_kept_is_what_is_reckoned(shop: Any) -> None:
    assert told() == reckoned()
    assert not StaleOrder.objects.exists()


def test_control_what_is_told_comes_of_what_is_kept(shop: Any) -> None:
    before = told()
    DayFigure.objects.filter(figure=lives.FIGURE).delete()
    assert told() != before


#: What may move an order late. `%s`: one that is over, and has a channel.
MOVES = {
    "an attempt that was none": "UPDATE orders_channelopening SET state = 'failed' WHERE order_id = %s",
    "an attempt that is gone": "DELETE FROM orders_channelopening WHERE order_id = %s",
    "another name": "UPDATE orders_channelopening SET short_channel_id = '1x1x1' WHERE order_id = %s",
    "an attempt after it": """INSERT INTO orders_channelopening (order_id, attempt, state, created_at, changed_at,
            pending_chan_id, node_pubkey, node_host, announced, zero_conf, capacity_sat, push_sat, surplus_sat,
            transaction_id, output_index, failure_reason, failure_detail, short_channel_id, alias, closing_txid,
            close_type) SELECT order_id, 9, state, created_at, changed_at, 'another', node_pubkey, '', announced,
            false, capacity_sat, push_sat, 0, transaction_id, 7, '', '', '2x2x2', '', '', ''
                          FROM orders_channelopening WHERE order_id = %s""",
    "another size": "UPDATE orders_channelopening SET capacity_sat = capacity_sat + 7 WHERE order_id = %s",
    "another moment": "UPDATE orders_channelorder SET opened_at = opened_at - interval '1 hour' WHERE id = %s",
    "a cost": """WITH e AS (INSERT INTO orders_entry (order_id, node_id, at, kind, reference, txid, words)
                            SELECT id, lsp_node_id, now(), 'sweep', 'late', '', '' FROM orders_channelorder
                             WHERE id = %s RETURNING id)
                 INSERT INTO orders_leg (entry_id, account, amount_msat)
                 SELECT id, account, msat
                   FROM e, (VALUES ('close_costs', 9000), ('wallet', -9000)) AS l (account, msat)""",
}
MOVES["a cost of long ago"] = MOVES["a cost"].replace("now()", "created_at - interval '900 days'")


def test_what_moves_an_order_late_is_told_at_once_and_kept_anew(shop: Any) -> None:
    before = told()
    for move, statement in MOVES.items():
        with undone():
            _execute(statement, _over())
            assert before != reckoned(), f"{move} moves nothing: it proves nothing"
            assert told() == reckoned(), move
            earned.keep()
            assert told() == reckoned() and not StaleOrder.objects.exists(), move


#: What says so, and a move that nothing else says.
TRIGGERS = {
    "attempt_is_another ON orders_channelopening": "another size",
    "attempt_moves_order ON orders_channelopening": "an attempt that is gone",
    "order_opened_late ON orders_channelorder": "another moment",
    "entry_moves_order ON orders_entry": "a cost of long ago",
}


def test_control_without_any_of_the_triggers_it_is_not(shop: Any) -> None:
    for trigger, move in TRIGGERS.items():
        with undone():
            _execute(f"DROP TRIGGER {trigger}")
            _execute(MOVES[move], _over())
            assert told() != reckoned(), trigger


def _over() -> Any:
    return OrderEarned.objects.filter(is_over=True, is_channel=True).order_by("order_id")[3].order_id


def _execute(statement: str, *given: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, given or None)


def passed_late(shop: Any) -> None:
    """The node tells of a forward of some days ago, through a channel that is over."""
    name = OrderEarned.objects.get(pk=_over()).order.openings.get().short_channel_id
    block, index, output = (int(part) for part in name.split("x"))
    at = int(datetime.now(tz=shop.now.tzinfo).timestamp()) - 5 * 86_400
    node = FakeNode()
    channel = block << 40 | index << 16 | output
    node.history = [Forward(at * 10**9, channel, 1, 9_000, 8_000, 1, 1)]
    forwards.read(node)  # type: ignore[arg-type]


def test_a_forward_that_is_read_late_is_told(shop: Any) -> None:
    before = told()
    passed_late(shop)
    assert before != told() and told() == reckoned()
    earned.keep()
    assert told() == reckoned()


def test_control_without_its_trigger_a_forward_that_is_read_late_is_not(shop: Any) -> None:
    _execute("DROP TRIGGER forward_moves_order ON orders_forwardday")
    passed_late(shop)
    assert told() != reckoned()


def test_who_buys_today_writes_nothing_for_it(shop: Any) -> None:
    order = OrderFactory(paid_lightning=True)
    _execute(MOVES["a cost"], order.pk)
    assert not StaleOrder.objects.exists()
    assert told() == reckoned()


# How they are kept


def test_a_first_round_ends_in_time_and_the_next_go_on_while_all_is_told(shop: Any) -> None:
    RollUp.objects.filter(name=RollUpName.EARNED).update(meaning="another version's")
    everything, rounds, through = reckoned(), 0, None
    while rounds < 40:
        earned.keep(seconds=0)
        assert told() == everything
        rounds += 1
        row = RollUp.objects.get(name=RollUpName.EARNED)
        assert row.through is not None and row.through != through
        through = row.through


def test_another_cost_of_capital_is_kept_anew(shop: Any, settings: Any) -> None:
    settings.CAPITAL_COST_PPM = 90_000
    assert told() == reckoned() and told().total.capital_cost_msat > 0
    earned.keep()
    assert told() == reckoned() and RollUp.objects.get(name=RollUpName.EARNED).meaning.endswith(":90000")


# That they are no second truth


def test_what_was_kept_wrong_is_found_told_and_told_right_from_then_on(shop: Any) -> None:
    order = OrderEarned.objects.get(pk=_over())
    OrderEarned.objects.filter(pk=order.pk).update(profit_msat=1, capacity_sat=3)
    RollUp.objects.filter(name=RollUpName.EARNED).update(looked_through=order.last_day - timedelta(days=1))
    assert told() != reckoned()
    assert looking.look() == ["1 orders"]
    assert told() == reckoned()
    assert RollUp.objects.get(name=RollUpName.EARNED).astray == f"{order.last_day}: 1 orders"
    keeping.rebuild()
    assert RollUp.objects.get(name=RollUpName.EARNED).astray == "" and told() == reckoned()


def test_a_sum_that_is_not_what_its_orders_come_to_is_found_too(shop: Any) -> None:
    day = OrderEarned.objects.get(pk=_over()).last_day
    DayFigure.objects.filter(figure=lives.FIGURE, day=day).update(sums=[1] * 11)
    RollUp.objects.filter(name=RollUpName.EARNED).update(looked_through=day - timedelta(days=1))
    assert looking.look() and not looking.look()
    earned.keep()
    assert told() == reckoned()


def test_what_is_kept_right_is_found_right_day_after_day(shop: Any) -> None:
    days = set()
    for _ in range(30):
        assert looking.look() == []
        days.add(RollUp.objects.get(name=RollUpName.EARNED).looked_through)
    assert len(days) > 15


def test_where_nothing_was_kept_for_long_all_is_reckoned(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(earning, "_MOST_REST", 0)
    OrderEarned.objects.update(profit_msat=1)
    assert told() == reckoned()
