"""A server of an earlier version is upgraded: nothing of it is lost, and each of its orders comes to its right end."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone
from django.utils.module_loading import import_string

from orders import figures, reserved
from orders.advance import advance
from orders.figures import Period, kinds, tally
from orders.models import DayFigure, OrderEarned
from orders.rollups import earned, tallies
from tests.upgrade import database
from tests.upgrade.dump import Dump
from tests.upgrade.ends import ENDS, wrong_ends
from tests.upgrade.holdings import Holdings, losses
from tests.upgrade.old_shop import DAY, HOUR, OldShop, person_because

#: What the dump has of each kind. Written out: the code of today may know other states.
STATES = {
    "orders_channelorder": "created paid refunded uri_set opening closing give_up expired closed rejected open",
    "orders_holdinvoice": "open held returning cancelled settled",
    "orders_onchainpayment": "seen confirmed vanished",
    "orders_channelopening": "negotiating funded publishing published confirmed conflicting cancelling failed",
}
#: Tables and columns that migrations have moved, with all that is in them: the old name, and the new one. "": it has
#: another shape now, and a test of its own says that nothing is lost by that.
MOVED: dict[str, str] = {
    "orders_nodesnapshot.id": "",  # the node's own is its key
    "orders_nodesnapshot.pubkey": "orders_node.pubkey",
    "orders_nodesnapshot.deposits_height": "orders_node.deposits_height",
    "orders_nodesnapshot.deposits_at": "orders_node.deposits_at",
    "orders_channelorder.needs_staff": "",  # rows of their own, whose words a test of theirs compares
    "orders_channelorder.needs_staff_reason": "",
    "orders_alert.key": "",  # a flag's alert is known by its row
    "orders_channelorder.weeks": "",  # counted in blocks, which has its own test
    "orders_service.min_weeks": "",
    "orders_service.max_weeks": "",
    "orders_service.rate_ppm_per_week": "orders_service.rate_ppm_per_1008_blocks",
}
#: Django has a row for each migration, and for each model and what may be done with it. What is done by the clock is
#: more, and has another name: that all of it can be found has its own test. The groups of staff are made.
GROWN = frozenset(
    {"django_migrations", "django_content_type", "auth_permission", "django_q_schedule"}
    | {"auth_group", "auth_group_permissions"}
)
#: Of these the node knows more than the database, which was put back; of one the operator has returned the money.
PUT_BACK = {"put_back", "put_back_paid", "unadoptable", "sent_back"}
CLAIMED_LATER = (
    "held", "taken_back", "both_rails", "two_rails", "no_invoice", "deposit_reorganised", "revived", "forgotten",
)  # fmt: skip
LIST, STEER = "/admin/orders/channelorder/", "/admin/orders/channelorder/steer/"


# The dump itself


@pytest.mark.parametrize("table", STATES)
def test_the_dump_has_a_row_in_every_state(old_database: None, table: str) -> None:
    states = {state for (state,) in database.select(f"SELECT DISTINCT state FROM {table}")}
    assert states == set(STATES[table].split())


def test_the_dump_has_every_surprise_and_says_for_each_order_where_it_ends(old_database: None, dump: Dump) -> None:
    surprises = "bool_or(paid_late), bool_or(underpaid), bool_or(overpaid), bool_or(needs_staff)"
    assert database.select(f"SELECT {surprises} FROM orders_channelorder") == [(True, True, True, True)]
    reasons = database.select("SELECT DISTINCT needs_staff_reason FROM orders_channelorder WHERE needs_staff")
    assert len(reasons) >= 29
    ids = {str(order_id) for (order_id,) in database.select("SELECT id FROM orders_channelorder")}
    assert ids == set(dump.orders.values())
    assert set(dump.orders) == set(ENDS)


def test_the_maker_of_dumps_finds_all_that_it_needs() -> None:
    assert callable(import_string("tests.upgrade.making.dumping.main"))


# What the migrations do to it


def test_no_row_no_satoshi_and_no_word_is_lost(old_shop: OldShop) -> None:
    before = Holdings.now()
    old_shop.migrate()
    assert losses(before, Holdings.now(), moved=MOVED, grown=GROWN) == []


def test_every_word_that_calls_a_person_still_stands(old_shop: OldShop) -> None:
    flagged = "SELECT id::text, needs_staff_reason FROM orders_channelorder WHERE needs_staff"
    words: dict[str, str] = dict(database.select(flagged))
    old_shop.migrate()
    found = {name: person_because(old_shop.order(name)) for name in old_shop.dump.orders}
    assert found == {name: words.get(order_id, "") for name, order_id in old_shop.dump.orders.items()}


def test_the_tables_are_those_of_a_new_database(new_schema: set[tuple[Any, ...]], old_shop: OldShop) -> None:
    """Else a migration that servers have run already was changed behind them. (`make check` compares the models.)"""
    old_shop.migrate()
    assert database.schema() ^ new_schema == set()


def test_what_was_sold_by_the_week_has_as_many_blocks(old_shop: OldShop) -> None:
    of_orders, of_services = "SELECT id, {} FROM orders_channelorder", "SELECT id, {}, {} FROM orders_service"
    weeks = {*database.select(of_orders.format("weeks * 1008"))}
    limits = {*database.select(of_services.format("min_weeks * 1008", "max_weeks * 1008"))}
    old_shop.migrate()
    assert {*database.select(of_orders.format("channel_expiry_blocks"))} == weeks
    assert {*database.select(of_services.format("min_expiry_blocks", "max_expiry_blocks"))} == limits
    assert len(weeks) > 1 and len(limits) > 0


def test_every_order_that_lives_has_its_reservation_and_no_other_has(old_shop: OldShop) -> None:
    """And an attempt that lives has it firm: nothing of it is told to go."""
    old_shop.migrate()
    assert reserved.reservations_astray() == [] and reserved.sums_astray() == []
    kinds = (
        "SELECT o.state, r.firmness, count(*) FROM orders_reservation r JOIN orders_channelorder o ON o.id = r.order_id"
    )
    found = {(state, firmness) for state, firmness, _ in database.select(f"{kinds} GROUP BY 1, 2")}
    assert {("created", "quoted"), ("paid", "held"), ("uri_set", "held"), ("opening", "firm")} <= found
    assert {firmness for state, firmness in found if state == "opening"} == {"firm"}
    weak = (
        "SELECT count(*) FROM orders_reservation r JOIN orders_channelopening a USING (order_id) WHERE a.state NOT IN"
    )
    assert database.select(f"{weak} ('confirmed', 'failed') AND r.firmness <> 'firm'") == [(0,)]


def test_the_books_have_every_order_as_it_stands(old_shop: OldShop) -> None:
    """And the wallet says the same, but for what an older database does not know."""
    old_shop.migrate()
    books = old_shop.books()
    assert (books["differences"], books["unbalanced"], books["uncovered"]) == ([], [], [])
    assert {each["category"] for each in books["node"]["wrong"]} == {"astray"}
    assert books["node"]["difference_sat"] == 0
    entries = database.select("SELECT count(DISTINCT order_id), count(DISTINCT kind) FROM orders_entry")
    assert entries > [(50, 5)]


def _figures(now: datetime) -> list[Any]:
    """What was asked, paid and sold, and what was earned."""
    whole = Period(now - timedelta(days=3_000), now)
    return [*(tally.summed(kind) for kind in kinds.KINDS), figures.earnings(whole, now, limit=1_000)]


def test_figures_are_told_from_the_first_and_the_same_once_they_are_kept(
    old_shop: OldShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_shop.migrate()
    now = timezone.now() + timedelta(days=9)
    counted = _figures(now)
    monkeypatch.setattr(timezone, "now", lambda: now)
    tallies.keep()
    earned.keep()
    assert DayFigure.objects.exists() and OrderEarned.objects.exists()
    assert _figures(now) == counted


def test_what_the_queue_was_to_do_can_still_be_done(old_shop: OldShop) -> None:
    """The old server's queue and schedule name functions by their paths: a task of another name is never done."""
    old_shop.migrate()
    names = set(old_shop.tasks())
    assert len(names) == 9
    assert all(callable(import_string(name)) for name in names)


def test_the_node_has_no_more_that_we_do_not_know_than_before(old_shop: OldShop) -> None:
    old_shop.migrate()
    listed = set(re.findall(r" order ([0-9a-f-]{36})", old_shop.command("recover", "--dry-run")))
    assert listed == {old_shop.dump.orders[name] for name in PUT_BACK}


def test_sales_stay_paused_until_staff_resume_them(old_shop: OldShop) -> None:
    old_shop.migrate()
    assert old_shop.sales_paused() == "A new version is being installed."
    old_shop.command("resume")
    assert old_shop.sales_paused() == ""


def test_a_key_that_is_too_short_now_is_refused_and_its_order_is_still_there_to_be_paid(old_shop: OldShop) -> None:
    """No second order is made for it; the first is found by its id."""
    old_shop.migrate()
    status, said = old_shop.ask_again()
    assert (status, said["field"]) == (400, "Idempotency-Key")
    quote = old_shop.quote(old_shop.dump.repeated["order"])
    assert (quote["state_name"], bool(quote["ln_invoice"])) == ("CREATED", True)


def test_staff_may_see_what_they_might_and_no_more(old_shop: OldShop) -> None:
    old_shop.migrate()
    browser = Client()
    browser.force_login(get_user_model().objects.get(username="rita"))
    assert browser.get(LIST).status_code == 200
    form = {"deed": "cancel", "order": old_shop.dump.orders["held"], "sure": "yes"}
    assert browser.post(STEER, form).status_code == 403
    browser.force_login(get_user_model().objects.get(username="ada"))
    assert browser.post(STEER, form | {"deed": "no such deed"}).status_code == 302


# What becomes of its orders


def test_every_order_comes_to_its_right_end(old_shop: OldShop) -> None:
    """With one channel where one was paid for, never two, and otherwise with the money back or a person called."""
    old_shop.migrate()
    old_shop.everybody_is_well()
    old_shop.command("resume")
    old_shop.command("recover")
    old_shop.command("retry_give_up", "--order", old_shop.dump.orders["given_up_onchain"])
    old_shop.pay(old_shop.quote("quoted"))
    old_shop.close_channel("by_service_public")
    for name in CLAIMED_LATER:
        old_shop.claim(name, private=name == "held")
    old_shop.turn()
    old_shop.claim("quoted")
    old_shop.go_on()
    leases = old_shop.traces().leases  # later they run out by themselves
    for seconds in (31 * DAY, HOUR):  # every window is over, and then the grace of what was given up
        old_shop.age(seconds)
        old_shop.go_on()
    assert wrong_ends(old_shop) == []
    assert leases == 0
    books = old_shop.books()
    assert books["adds_up"] and not books["uncovered"], books
    assert (books["node"]["unsettled_sat"], books["node"]["difference_sat"]) == (0, 0)


# Controls: a loss that is planted is seen


def test_control_a_deposit_that_a_migration_drops_is_seen(old_shop: OldShop) -> None:
    before = Holdings.now()
    old_shop.migrate()
    database.execute("DELETE FROM orders_onchainpayment WHERE id = (SELECT max(id) FROM orders_onchainpayment)")
    found = losses(before, Holdings.now(), moved=MOVED, grown=GROWN)
    assert [line.partition(":")[0] for line in found[:2]] == [
        "orders_onchainpayment",
        "orders_onchainpayment.amount_sat",
    ]


def test_control_a_word_that_a_migration_forgets_is_seen(old_shop: OldShop) -> None:
    before = Holdings.now()
    old_shop.migrate()
    order_id = old_shop.dump.orders["offline"]
    database.execute(f"UPDATE orders_channelorder SET announced_by_purchase = NULL WHERE id = '{order_id}'")
    (found,) = losses(before, Holdings.now(), moved=MOVED, grown=GROWN)
    assert found.startswith("orders_channelorder.announced_by_purchase: values")


def test_control_what_is_gone_is_seen_unless_it_is_said_where_it_went(old_shop: OldShop) -> None:
    before = Holdings.now()
    database.execute("ALTER TABLE orders_heartbeat RENAME detail TO said")
    name = "orders_heartbeat.detail"
    assert len(losses(before, Holdings.now(), moved={}, grown=GROWN)) == 1
    assert losses(before, Holdings.now(), moved={name: "orders_heartbeat.said"}, grown=GROWN) == []


def test_control_an_index_that_is_not_there_is_seen(new_schema: set[tuple[Any, ...]], old_shop: OldShop) -> None:
    old_shop.migrate()
    database.execute("DROP INDEX opening_one_for_peer")
    assert [line[2] for line in database.schema() ^ new_schema] == ["opening_one_for_peer"]


def test_control_an_order_whose_live_attempt_is_lost_does_not_come_to_its_end(old_shop: OldShop) -> None:
    names = ("published", "publishing")
    old_shop.migrate()
    old_shop.everybody_is_well()
    database.execute(f"DELETE FROM orders_channelopening WHERE order_id = '{old_shop.dump.orders['published']}'")
    for _ in range(2):
        for name in names:
            advance(old_shop.order(name).pk)
        old_shop.control.mine(6)
    for name in names:
        advance(old_shop.order(name).pk)
    (wrong,) = wrong_ends(old_shop, names)
    assert wrong.startswith("published is opening, not open")


def test_control_a_channel_that_is_opened_twice_is_seen(old_shop: OldShop) -> None:
    def open_again(world: Any) -> None:
        order_id, txid = old_shop.dump.orders["closed"], next(iter(world.chain.mined))
        world.wallet.labels[txid] = f"funding:{order_id}"

    old_shop.migrate()
    assert wrong_ends(old_shop, ["closed"]) == []
    old_shop.node.look(open_again)
    assert wrong_ends(old_shop, ["closed"]) == ["closed has 2 fundings, not 1"]
