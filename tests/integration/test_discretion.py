"""Staff who may look and not steer never see an order's whole id: it is the right to claim the order."""

from __future__ import annotations

import html
import re
from collections import deque
from collections.abc import Iterator
from functools import cache
from typing import Any
from uuid import UUID

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from orders import keys, lnurl, marks
from orders.causes import FlagKind
from orders.models import (
    Alert,
    ChannelOpening,
    ChannelOrder,
    HoldInvoice,
    IdempotencyKey,
    OrderEvent,
    Switch,
    SwitchEvent,
    TransactionKind,
)
from orders.reconcile import beat
from tests.booking import carry
from tests.factories import (
    DepositFactory,
    FlagFactory,
    OpeningFactory,
    SnapshotFactory,
    TransactionFactory,
)
from tests.integration.staff import LIST, browser, every_kind, listed, page_of, seen, staff
from tests.refunding import RefundFactory
from watch import alerting

pytestmark = pytest.mark.django_db

MOST_PAGES = 1000
RECORDS = (
    *("holdinvoice", "onchainpayment", "channelopening", "wallettransaction", "orderevent", "flag"),
    "refund",
    "idempotencykey",
)


@pytest.fixture
def shop() -> list[ChannelOrder]:
    """Orders in every state, and their ids in every place where a text might have one."""
    SnapshotFactory()
    orders = every_kind()
    for order in orders:
        named = f"Lightning channel, order {order.pk}"
        DepositFactory(order=order)
        conflict = TransactionFactory(kind="conflict", label=marks.label(TransactionKind.CONFLICT, order.pk))
        OpeningFactory(order=order, failed=True, failure_detail=f"the peer of {order.pk} said no", conflict=conflict)
        OrderEvent.objects.create(
            order=order, version=2, at=timezone.now(), actor="lsp", cause="found", to_state=order.state,
            facts={"memo": named, "label": f"refund of {order.pk}", "id": order.pk.hex},
        )  # fmt: skip
        RefundFactory(order=order, kept=True, detail=f"he has {order.pk} twice")
        IdempotencyKey.objects.create(
            key_hash=keys.client_hash(str(order.pk)), body_hash="b" * 64, created_at=timezone.now(), order=order
        )
        SwitchEvent.objects.create(name="sales", on=False, at=timezone.now(), actor="lsp", reason=named)
        HoldInvoice.objects.filter(order=order).update(payment_request=f"lnbcrt1{named}")
        beat(f"streams {str(order.pk)[:8]}", named)
    Switch.objects.create(name="sales", on=False, at=timezone.now(), actor="lsp", reason=named)
    for order in orders:
        FlagFactory(order=order, kind=FlagKind.DOUBLE_SPENT, words=f"Look at {order.pk}.")
    alerting.record([], alerting._flagged(), timezone.now())
    Alert.objects.create(key="x", message=f"order={orders[0].pk}", since=timezone.now())
    return orders


@pytest.fixture
def reader() -> Client:
    """A browser of staff who may see every model, and change none."""
    views = Permission.objects.filter(codename__startswith="view_").values_list("codename", flat=True)
    return browser(staff("rita", *views))


def told_of(orders: list[ChannelOrder], answer: Any) -> list[str]:
    """What the answer, its body and its headers, tells and must not."""
    text = html.unescape(answer.content.decode()) + str(answer.headers)
    text = text.lower()
    secrets = {secret for order in orders for secret in secrets_of(order.pk)}
    requests = {request.lower() for request in HoldInvoice.objects.values_list("payment_request", flat=True)}
    return [secret for secret in secrets | requests if secret in text]


@cache
def secrets_of(order_id: UUID) -> tuple[str, ...]:
    """In small letters."""
    return (
        str(order_id),
        order_id.hex,
        keys.order_token(order_id).lower(),
        keys.preimage(order_id).hex(),
        lnurl.encode(lnurl.channel_url("http://127.0.0.1:8000", str(order_id))).lower(),
    )


def whole(answer: Any) -> Any:
    """The answer, read to its end where it is sent in parts."""
    if not answer.streaming:
        return answer
    return HttpResponse(b"".join(answer.streaming_content), status=answer.status_code, headers=dict(answer.headers))


#: A list of rows: what it asks of itself leaves out rows, and shows no others.
_LIST = re.compile(r"/admin/\w+/\w+/\?")


def every_page(client: Client, first: str = "/admin/", *, filters: bool = False) -> Iterator[tuple[str, Any]]:
    """What is under `first` to be found by following links; each filter of a list only where that is asked for."""
    known, waiting = {first}, deque([first])
    while waiting:
        url = waiting.popleft()
        answer = whole(client.get(url))
        yield url, answer
        links = re.findall(r'(?:href|action)="([^"#]*)', answer.content.decode())
        links += [answer.headers["Location"]] if "Location" in answer.headers else []
        for link in map(html.unescape, links):
            # Each filter of a list by itself, and no way to sort it: they do not change what its columns have.
            link = link.partition("?_changelist_filters")[0]  # the way back
            path = link if link.startswith("/") else url + link if link.startswith("?") else ""
            is_page = path.startswith(first) and "logout" not in path and path.count("?") < 2 and "?o=" not in path
            if is_page and path not in known and (filters or not _LIST.match(path)):
                known.add(path)
                waiting.append(path)
        assert len(known) < MOST_PAGES


@pytest.mark.parametrize("filters", [False, pytest.param(True, marks=pytest.mark.long)])
def test_found_b1_no_page_of_the_admin_tells_a_viewer_an_orders_id(
    shop: list[ChannelOrder], reader: Client, filters: bool
) -> None:
    opened = {}
    for url, answer in every_page(reader, filters=filters):
        assert told_of(shop, answer) == [], url
        opened[url] = answer.status_code
    orders = [url for url, status in opened.items() if re.fullmatch(rf"{LIST}[a-z2-7]{{32}}/change/", url)]
    assert len(orders) == len(shop) and {opened[url] for url in orders} == {200}
    for name in (*RECORDS, "alert", "switchevent", "heartbeat"):
        pages = [url for url in opened if re.fullmatch(rf"/admin/orders/{name}/[^/]+/change/", url)]
        assert pages and {opened[url] for url in pages} == {200}, name


def odd_questions(order: ChannelOrder) -> list[str]:
    """What no link leads to, and Django's admin answers."""
    reference = keys.reference(order.pk)
    choosing = "/admin/autocomplete/?app_label=orders&model_name=holdinvoice&field_name=order&term="
    return [
        f"{LIST}?_popup=1",
        f"{LIST}?_popup=1&_to_field=id",
        f"{LIST}{reference}/history/",
        f"{LIST}{reference}/delete/",
        f"{LIST}{reference}/change/?_to_field=id",
        f"{LIST}{reference}/",
        choosing,
        *(f"/admin/orders/{name}/?_popup=1" for name in RECORDS),
        *(f"/admin/orders/{name}/?q={str(order.pk)[:8]}" for name in RECORDS),
    ]


def test_found_b1_nor_does_any_page_that_no_link_leads_to(shop: list[ChannelOrder], reader: Client) -> None:
    for order in shop[:3]:
        for url in odd_questions(order):
            assert told_of(shop, reader.get(url)) == [], url


def questions(piece: str, whole: UUID) -> list[tuple[str, str]]:
    """Whether a piece of an id is right, as a list might answer by what it shows."""
    plain = str(whole)
    return [
        (LIST, f"q={piece}"),
        (LIST, f"id__startswith={piece}"),
        (LIST, f"id__contains={piece}"),
        (LIST, f"service__orders__id__startswith={piece}"),
        (LIST, f"lsp_node__orders__id__startswith={piece}"),
        ("/admin/orders/service/", f"orders__id__startswith={piece}"),
        ("/admin/orders/node/", f"orders__id__startswith={piece}"),
        ("/admin/orders/wallettransaction/", f"q={piece}"),
        ("/admin/orders/wallettransaction/", f"q=funding:{piece}"),
        ("/admin/orders/wallettransaction/", f"label__startswith=funding:{piece}"),
        ("/admin/orders/wallettransaction/", f"openings__order__id__startswith={piece}"),
        ("/admin/orders/holdinvoice/", f"q={piece}"),
        ("/admin/orders/holdinvoice/", f"order__id__startswith={piece}"),
        ("/admin/orders/holdinvoice/", f"payment_request__contains={piece}"),
        ("/admin/orders/channelopening/", f"failure_detail__contains={piece}"),
        ("/admin/orders/orderevent/", f"facts__memo__contains={piece}"),
        ("/admin/orders/orderevent/", f"q={piece}"),
        ("/admin/orders/flag/", f"order__id__startswith={piece}"),
        ("/admin/orders/flag/", f"words__contains={piece}"),
        ("/admin/orders/alert/", f"key__startswith=order:{piece}"),
        ("/admin/orders/idempotencykey/", f"order={plain}"),
    ]


def search_boxes() -> list[str]:
    """The lists of orders and of what belongs to them that have one."""
    admins = [it for model, it in admin.site._registry.items() if model._meta.app_label == "orders"]
    return [f"/admin/orders/{it.model._meta.model_name}/" for it in admins if it.search_fields]


def test_no_search_box_tells_a_viewer_whether_a_piece_of_an_id_is_right(
    shop: list[ChannelOrder], reader: Client
) -> None:
    carry()
    plain = str(shop[0].pk)
    told = [path for path in search_boxes() if reader.get(path).status_code == 200]
    assert len(told) == 16 and set(search_boxes()) - set(told) == {"/admin/orders/coupon/"}
    for path in told:
        for piece in (plain[:9], plain[:12], plain[9:], plain[:-1], f"at {plain[:12]}", f"funding:{plain[:9]}"):
            rows = reader.get(path, {"q": piece}).context["cl"].result_count
            assert rows == 0, (path, piece)


def test_who_may_steer_finds_flags_by_their_words(shop: list[ChannelOrder], boss: Client) -> None:
    rows = boss.get("/admin/orders/flag/", {"q": f"at {shop[0].pk}"}).context["cl"].result_list
    assert {row.order_id for row in rows} == {shop[0].pk}


def test_found_b1_no_list_tells_a_viewer_whether_a_piece_of_an_id_is_right(
    shop: list[ChannelOrder], reader: Client
) -> None:
    order = shop[0]
    right = str(order.pk)[:12]
    wrong = right[:-1] + ("0" if right[-1] != "0" else "1")
    for (path, asked), (_, other) in zip(questions(right, order.pk), questions(wrong, order.pk), strict=True):
        found, not_found = reader.get(f"{path}?{asked}"), reader.get(f"{path}?{other}")
        rows = [a.context["cl"].result_count if a.status_code == 200 else a.status_code for a in (found, not_found)]
        assert rows[0] == rows[1] and rows[0] in {0, 302, 400}, asked


def test_a_viewer_finds_orders_by_what_is_shown_and_by_the_memo(shop: list[ChannelOrder], reader: Client) -> None:
    order = shop[4]
    for words in (str(order.pk)[:8], marks.invoice_memo(order.pk), keys.reference(order.pk), order.node_pubkey):
        assert listed(reader, q=words) == {str(order.pk)}, words
    for name in ("holdinvoice", "onchainpayment", "channelopening", "wallettransaction", "orderevent", "flag"):
        for words in (str(order.pk)[:8], keys.reference(order.pk)):
            rows = reader.get(f"/admin/orders/{name}/", {"q": words}).context["cl"].result_list
            assert len(rows) and {_order_of(row) for row in rows} == {order.pk}, (name, words)


def _order_of(row: Any) -> UUID:
    if hasattr(row, "order_id"):
        return UUID(str(row.order_id))
    opening = ChannelOpening.objects.filter(transaction=row).first() or ChannelOpening.objects.get(conflict=row)
    return opening.order_id


def test_who_may_steer_reads_the_whole_id_and_finds_by_any_beginning_of_it(
    shop: list[ChannelOrder], boss: Client
) -> None:
    """And so the crawl above sees what it looks for."""
    order = shop[0]
    assert str(order.pk) in seen(boss.get(page_of(order)))
    assert listed(boss, q=str(order.pk)[:23]) == {str(order.pk)}
    invoice = HoldInvoice.objects.get(order=order)
    assert invoice.payment_request in seen(boss.get(f"/admin/orders/holdinvoice/{invoice.pk}/change/"))


@pytest.mark.parametrize("filters", [False, pytest.param(True, marks=pytest.mark.long)])
def test_no_address_of_a_page_has_an_orders_id_whoever_looks(
    shop: list[ChannelOrder], boss: Client, filters: bool
) -> None:
    ids = {form for order in shop for form in (str(order.pk), order.pk.hex)}
    for url, answer in every_page(boss, "/admin/orders/", filters=filters):
        linked = re.findall(r'(?:href|action|src)="([^"]*)', answer.content.decode())
        linked.append(answer.headers.get("Location", ""))
        assert not [link for link in linked if any(form in link for form in ids)], url


def test_a_page_is_not_found_by_the_orders_id(shop: list[ChannelOrder], boss: Client) -> None:
    assert boss.get(f"{LIST}{shop[0].pk}/change/").status_code == 302


def test_the_filters_of_every_list_still_work_and_tell_no_id(shop: list[ChannelOrder], reader: Client) -> None:
    for name in (*RECORDS, "channelorder", "switchevent", "service"):
        page = reader.get(f"/admin/orders/{name}/").content.decode()
        for query in re.findall(r'<li[^>]*>\s*<a href="(\?[^"]+)"', page):
            answer = reader.get(f"/admin/orders/{name}/{html.unescape(query)}")
            assert answer.status_code == 200, (name, query)
            assert told_of(shop, answer) == [], (name, query)


def test_a_deed_has_the_name_and_the_groups_of_who_did_it(shop: list[ChannelOrder]) -> None:
    user: User = staff("bob", "change_channelorder", "view_channelorder")
    user.groups.set([Group.objects.create(name="support"), Group.objects.create(name="night")])
    order = FlagFactory(words="Look.").order
    browser(user).post(f"{LIST}steer/", {"deed": "settle_flag", "order": [str(order.pk)]})
    assert OrderEvent.objects.get(order=order).actor == "staff:bob (night, support)"
