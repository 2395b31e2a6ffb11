"""Coupons: a discount, sizes and a price of their own, so often and so long; and how wallets name themselves."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orders.errors import TokenNotTaken
from orders.models import AuditEntry, ChannelOrder, Coupon, Entry, TokenPattern
from orders.operations import couponing
from orders.payments.onchain import late
from orders.states import OrderState
from tests.factories import DepositFactory, OrderFactory
from tests.fakes import FakeNode
from tests.integration.conftest import KEY, Api
from tests.integration.staff import seen

CODE = "PARTNER-2026"


def coupon(**given: Any) -> Coupon:
    return Coupon.objects.create(**{"code": CODE, "discount_percent": 25, **given})


class TestBuy:
    def test_the_discount_is_a_part_of_the_price_and_the_total_adds_up(self, api: Api) -> None:
        row = coupon()
        full, less = api.buy().said, api.buy(coupon=CODE).said
        order = ChannelOrder.objects.exclude(coupon=None).get()
        assert order.coupon == row
        earned = order.base_fee_sat + order.lease_fee_sat + order.floor_fee_sat
        assert order.discount_sat == earned // 4 == full["price"] - less["price"]
        assert less["total_amount"] == order.order_total_sat == order.fee_total_sat + order.client_balance_sat
        assert order.hold_invoice.amount_sat == order.order_total_sat

    def test_an_estimate_has_it_as_a_part_below_nothing(self, api: Api) -> None:
        coupon()
        body = {"local_balance": 1_000_000, "channel_expiry": 6, "coupon": CODE}
        said = api.post("/channel/estimate", body).said
        assert said["price_parts"]["discount"] < 0
        assert sum(said["price_parts"].values()) == said["price"]

    def test_all_of_it_leaves_what_the_chain_costs(self, api: Api) -> None:
        coupon(discount_percent=100)
        price = api.buy(coupon=CODE).said["price"]
        order = ChannelOrder.objects.get()
        assert price == order.open_fee_sat + order.close_fee_sat > 0
        assert order.fee_budget_sat <= price

    @pytest.mark.parametrize("said", ["PARTNER-2027", "x", "partner-2026", "PARTNER-2026\x00", "é" * 9])
    def test_a_code_that_we_did_not_give_out_is_refused_and_nothing_is_sold_at_another_price(
        self, api: Api, node: FakeNode, said: str
    ) -> None:
        coupon()
        answer = api.buy(coupon=said)
        assert (answer.status_code, answer.said["code"], answer.said["field"]) == (400, "coupon_not_taken", "coupon")
        assert not ChannelOrder.objects.exists() and not node.invoices

    @pytest.mark.parametrize("said", [None, "", ...])
    def test_without_one_nothing_is_asked_of_the_database(self, api: Api, said: Any) -> None:
        api.buy()
        with CaptureQueriesContext(connection) as seen:
            assert api.buy(coupon=said).status_code == 200
        assert not [each for each in seen if "orders_coupon" in each["sql"] or "tokenpattern" in each["sql"]]

    def test_a_wallet_that_says_who_it_is_pays_what_all_pay(self, api: Api) -> None:
        TokenPattern.objects.get_or_create(pattern="AlbyHub/*")
        named, nameless = api.buy(coupon="AlbyHub/1.18"), api.buy()
        assert named.status_code == 200 and named.said["price"] == nameless.said["price"]
        TokenPattern.objects.update(is_active=False)
        assert api.buy(coupon="AlbyHub/1.18").status_code == 400

    def test_it_opens_sizes_that_the_service_does_not_sell(self, api: Api) -> None:
        coupon(max_channel_sat=50_000_000, max_expiry_blocks=52 * 1_008)
        wanted = {"local_balance": 40_000_000, "remote_balance": 0, "channel_expiry": 52}
        assert api.buy(**wanted).status_code == 400
        assert api.buy(coupon=CODE, **wanted).status_code == 200

    def test_its_own_price_is_before_its_discount(self, api: Api) -> None:
        coupon(base_fee_sat=0, rate_ppm_per_1008_blocks=0, minimum_fee_sat=100_000, discount_percent=10)
        api.buy(coupon=CODE)
        order = ChannelOrder.objects.get()
        assert (order.base_fee_sat, order.lease_fee_sat) == (0, 0)
        assert order.discount_sat == order.floor_fee_sat // 10 > 0

    def test_the_same_key_with_another_coupon_is_another_request(self, api: Api) -> None:
        coupon()
        api.buy({"Idempotency-Key": KEY}, coupon=CODE)
        assert api.buy({"Idempotency-Key": KEY}).status_code == 422
        assert api.buy({"Idempotency-Key": KEY}, coupon=CODE).status_code == 200


class TestUses:
    def test_the_last_one_is_sold_once_and_an_order_that_ends_unpaid_gives_it_back(self, api: Api) -> None:
        coupon(most_uses=1)
        assert api.buy(coupon=CODE).status_code == 200
        answer = api.buy(coupon=CODE)
        assert (answer.status_code, answer.said["code"]) == (400, "coupon_not_taken")
        ChannelOrder.objects.update(state=OrderState.EXPIRED)
        assert api.buy(coupon=CODE).status_code == 200

    @pytest.mark.parametrize(("state", "counts"), [
        ("paid_lightning", True), ("uri_set", True), ("open", True), ("closed", True), ("give_up", True),
        ("expired", False), ("rejected", False), ("refunded", False),
    ])  # fmt: skip
    def test_it_counts_for_who_may_have_a_channel_yet_and_for_who_had_one(
        self, db: None, state: str, counts: bool
    ) -> None:
        row = coupon(most_uses=1)
        OrderFactory(coupon=row, **{state: True})
        if counts:
            with pytest.raises(TokenNotTaken):
                couponing.require_left(row)
        else:
            couponing.require_left(row)

    def test_a_late_deposit_buys_nothing_with_a_use_that_another_has_had(self, api: Api) -> None:
        row = coupon(most_uses=1)
        order = OrderFactory(expired=True, coupon=row)
        DepositFactory(order=order)
        order = ChannelOrder.objects.get(pk=order.pk)
        bought = late.buys(order, timezone.now())
        OrderFactory(coupon=row)
        assert bought and not late.buys(ChannelOrder.objects.get(pk=order.pk), timezone.now())

    def test_one_that_has_ended_is_refused_and_one_that_begins_later_too(self, api: Api) -> None:
        row = coupon(ends_at=timezone.now() - timedelta(seconds=1))
        assert "any more" in api.buy(coupon=CODE).said["error"]
        Coupon.objects.filter(pk=row.pk).update(ends_at=None, starts_at=timezone.now() + timedelta(days=1))
        assert "yet" in api.buy(coupon=CODE).said["error"]


class TestDatabase:
    def test_no_order_has_a_discount_without_its_coupon(self, db: None) -> None:
        order = OrderFactory()
        with pytest.raises(IntegrityError, match="order_discount_needs_coupon"), transaction.atomic():
            ChannelOrder.objects.filter(pk=order.pk).update(discount_sat=1)

    @pytest.mark.parametrize("changes", [
        {"discount_percent": 101},
        {"starts_at": timezone.now(), "ends_at": timezone.now() - timedelta(1)},
    ])  # fmt: skip
    def test_no_coupon_makes_no_sense(self, db: None, changes: dict[str, Any]) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            coupon(**changes)

    def test_the_books_have_what_was_paid(self, api: Api) -> None:
        coupon()
        api.buy(coupon=CODE)
        assert not Entry.objects.exists()  # nothing moves with a quote


FORM = {"code": CODE, "note": "for a partner", "is_active": "on", "discount_percent": 20}


class TestStaff:
    def test_a_coupon_is_given_out_changed_and_on_the_trail_without_its_code(self, boss: Client) -> None:
        boss.post("/admin/orders/coupon/add/", FORM)
        row = Coupon.objects.get()
        boss.post(f"/admin/orders/coupon/{row.pk}/change/", {**FORM, "discount_percent": 30})
        row.refresh_from_db()
        assert row.discount_percent == 30
        lines = list(AuditEntry.objects.filter(kind="coupon"))
        assert lines[-1].facts["discount_percent"] == [20, 30] and lines[-1].person == "alice"
        assert all(CODE not in f"{line.words}{line.facts}" for line in lines)

    @pytest.mark.parametrize("changes", [
        {"code": "short"}, {"code": "with space in it"}, {"discount_percent": 101}, {"most_uses": 0},
        {"min_channel_sat": 2_000_000, "max_channel_sat": 1_000_000},
        {"starts_at_0": "2027-01-02", "starts_at_1": "00:00", "ends_at_0": "2027-01-01", "ends_at_1": "00:00"},
    ])  # fmt: skip
    def test_what_makes_no_sense_is_said_beside_the_field(self, boss: Client, changes: dict[str, Any]) -> None:
        answer = boss.post("/admin/orders/coupon/add/", {**FORM, **changes})
        assert answer.status_code == 200 and "errorlist" in answer.content.decode()
        assert not Coupon.objects.exists()

    def test_one_that_was_used_keeps_its_code_and_stays(self, boss: Client) -> None:
        row = coupon(most_uses=3)
        OrderFactory(coupon=row, open=True)
        OrderFactory(coupon=row, expired=True)
        page = boss.get(f"/admin/orders/coupon/{row.pk}/change/").content.decode()
        assert 'name="code"' not in page and "1 of 3" in page
        assert boss.post(f"/admin/orders/coupon/{row.pk}/delete/", {"post": "yes"}).status_code == 403

    def test_its_page_and_its_list_say_what_it_has_brought_and_cost(self, boss: Client) -> None:
        row, other = coupon(most_uses=3), coupon(code="ANOTHER-2026")
        sold = OrderFactory(coupon=row, open=True, discount_sat=1_234)
        OrderFactory(coupon=row, discount_sat=777_777)
        OrderFactory(coupon=other, open=True, discount_sat=888_888)
        page = seen(boss.get(f"/admin/orders/coupon/{row.pk}/change/"))
        for said in ("Used: 2 of 3", "Sold: 1", f"Capacity sold (sat): {sold.capacity_sat:,}",
                     f"Fees of these (sat): {sold.fee_total_sat:,}", "Discount given (sat): 1,234"):  # fmt: skip
            assert said in page
        listed = seen(boss.get("/admin/orders/coupon/"))
        assert "1,234" in listed and "888,888" in listed and "777,777" not in listed

    def test_who_does_not_see_the_page_hears_which_is_the_day_and_which_the_time(self, boss: Client) -> None:
        page = boss.get("/admin/orders/coupon/add/").content.decode()
        for name, said in (
            ("starts_at_0", "Date"),
            ("starts_at_1", "Time"),
            ("ends_at_0", "Date"),
            ("ends_at_1", "Time"),
        ):
            [field] = re.findall(rf'<input[^>]* name="{name}"[^>]*>', page)
            assert f'aria-label="{said}"' in field

    def test_a_list_of_many_asks_for_their_figures_once(self, boss: Client) -> None:
        for number in range(20):
            OrderFactory(coupon=coupon(code=f"PARTNER-{number}"), open=True)
        with CaptureQueriesContext(connection) as asked:
            boss.get("/admin/orders/coupon/")
        assert len([each for each in asked if "coupon_id IS NOT NULL GROUP BY" in each["sql"]]) == 1 and len(asked) < 15

    def test_who_may_only_look_sees_no_code(self, db: None) -> None:
        row = coupon()
        order = OrderFactory(coupon=row, open=True, discount_sat=1)
        viewer = User.objects.create_user("vera", is_staff=True)
        viewer.groups.add(Group.objects.get_or_create(name="viewer")[0])
        client = Client()
        client.force_login(viewer)
        assert client.get("/admin/orders/coupon/").status_code == 403
        assert CODE not in client.get(f"/admin/orders/channelorder/?q={order.pk}").content.decode()
        assert str(row) == "PART…"

    def test_a_name_of_a_wallet_is_added(self, boss: Client) -> None:
        boss.post("/admin/orders/tokenpattern/add/", {"pattern": "Zeus/*", "is_active": "on"})
        assert TokenPattern.objects.filter(pattern="Zeus/*").exists()
        boss.post("/admin/orders/tokenpattern/add/", {"pattern": "*", "is_active": "on"})
        assert not TokenPattern.objects.filter(pattern="*").exists()
