"""What is told of the books: by the command, the clock, the doctor and the admin; and what an accountant gets."""

from __future__ import annotations

import csv
import io
import json
import shlex
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from lightning.errors import NodeUnavailable
from orders import tasks
from orders.books import exporting
from orders.books.posting import About, post
from orders.models import (
    Account,
    BooksCheck,
    ChannelOrder,
    Entry,
    EntryKind,
    Leg,
)
from tests.booking import COINS, carry
from tests.booking import WalletNode as Node
from tests.factories import OrderFactory
from tests.integration.staff import page_of, seen
from tests.site.documented import blocks
from watch.doctor import Health, records

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> tuple[str, int]:
    """What the command says, and its exit code."""
    out, code = io.StringIO(), 0
    try:
        call_command("check_books", *arguments, stdout=out)
    except SystemExit as left:
        code = int(left.code or 0)
    return out.getvalue(), code


def off_by(order: ChannelOrder) -> None:
    about = About(EntryKind.PAYMENT, "stray", order.pk, order.lsp_node_id)
    post(about, {Account.LIGHTNING: 5_000, Account.BUYERS_HELD: -5_000})


def test_the_command_ends_with_1_where_something_does_not_add_up_and_names_it() -> None:
    order = OrderFactory(paid_lightning=True)
    carry()
    assert run("--records")[1] == 0
    off_by(order)
    told, code = run("--records")
    assert code == 1
    assert str(order.pk) in told and "lightning is" in told
    facts, code = run("--records", "--json")
    assert code == 1 and json.loads(facts)["differences"][0]["order"] == str(order.pk)
    assert not BooksCheck.objects.exists()  # half a look is none to tell of


def test_the_pages_commands_are_run_as_they_stand(monkeypatch: Any, tmp_path: Any) -> None:
    OrderFactory(open=True)
    carry()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("orders.management.commands.check_books.lightning.node", lambda: Node(COINS))
    lines = "".join(block.text for block in blocks("docs/operating.md", "The books", "sh")).splitlines()
    told = [run(*shlex.split(line)[3:])[0] for line in lines]
    assert "in the wallet" in told[0] and (tmp_path / "books.csv").read_text().count("\n") == Leg.objects.count() + 1


def test_an_accountant_gets_a_line_for_each_leg_and_no_orders_whole_id(tmp_path: Any) -> None:
    order = OrderFactory(open=True)
    carry()
    told, code = run("--csv", str(tmp_path / "books.csv"))
    rows = list(csv.DictReader((tmp_path / "books.csv").open()))
    assert code == 0 and told.startswith(f"{Leg.objects.count()} lines") and len(rows) == Leg.objects.count()
    assert tuple(rows[0]) == exporting.HEAD
    assert sum(int(row["debit_msat"]) for row in rows) == sum(int(row["credit_msat"]) for row in rows) > 0
    assert {row["order"] for row in rows} == {str(order.pk)[:8]}
    assert str(order.pk) not in (tmp_path / "books.csv").read_text()
    assert run("--csv", "-")[0].replace("\r\n", "\n") == (tmp_path / "books.csv").read_text()


def test_the_clock_looks_once_in_its_time_and_hourly_while_something_is_wrong(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    node = Node(COINS)
    monkeypatch.setattr("lightning.connection.node", lambda: node)
    order = OrderFactory(paid_lightning=True)
    carry()
    assert "add up" in tasks.check_books() and tasks.check_books() == "not yet"
    off_by(order)
    BooksCheck.objects.update(at=timezone.now() - timedelta(seconds=settings.BOOKS_CHECK_SECONDS))
    assert str(order.pk)[:8] in tasks.check_books() and tasks.check_books() == "not yet"
    last = BooksCheck.objects.first()
    assert last is not None and not last.adds_up and str(order.pk) not in json.dumps(last.facts)
    BooksCheck.objects.update(at=timezone.now() - timedelta(hours=1))
    assert "not as our rows say" in tasks.check_books()


def test_a_node_that_is_away_is_asked_an_hour_later_and_nothing_is_told_of_the_books(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Away(Node):
        def transactions(self, *, from_height: int) -> Any:
            raise NodeUnavailable("connection refused")

    monkeypatch.setattr("lightning.connection.node", Away)
    assert tasks.check_books() == "the node is away"
    assert not BooksCheck.objects.exists()


def test_the_doctor_tells_of_the_last_look() -> None:
    assert records.books(None, True, "", 0).health is Health.OK
    assert records.books(60, True, "they add up", 100).health is Health.OK
    assert records.books(200, True, "they add up", 100).health is Health.WARNING
    assert records.books(60, False, "they do not", 100).health is Health.FAILURE


def test_staff_see_an_orders_entries_on_its_page_and_all_of_them_in_a_list(boss: Client) -> None:
    order, other = OrderFactory(open=True), OrderFactory(paid_lightning=True)
    carry()
    page = seen(boss.get(page_of(order)))
    assert "Fees earned" in page and "8,120 sat credit" in page
    listed = boss.get("/admin/orders/entry/", {"legs__account__exact": "fees_earned"})
    assert {row.order_id for row in listed.context["cl"].result_list} == {order.pk}
    assert "8,120 sat credit" in seen(listed)
    found = boss.get("/admin/orders/entry/", {"q": str(other.pk)})
    assert {row.order_id for row in found.context["cl"].result_list} == {other.pk}
    one = Entry.objects.filter(order=other).get()
    assert "Lightning payment" in seen(boss.get(f"/admin/orders/entry/{one.pk}/change/"))


def test_staff_take_entries_away_as_a_table(boss: Client) -> None:
    order = OrderFactory(open=True)
    carry()
    rows = list(Entry.objects.values_list("pk", flat=True))
    answer = boss.post("/admin/orders/entry/", {"action": "as_csv", "_selected_action": rows})
    whole = b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]
    assert answer["Content-Type"].startswith("text/csv")
    assert len(whole.splitlines()) == 1 + Leg.objects.count() and str(order.pk) not in whole


def test_of_the_table_only_some_lines_are_in_memory_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "_CHUNK", 4)
    for _ in range(5):
        OrderFactory(open=True)
    carry()
    pieces = exporting.pieces(Leg.objects.all())
    with CaptureQueriesContext(connection) as asked:
        first = next(pieces)
    assert len(first.splitlines()) == 4 and len(asked) == 1
    sizes = [len(piece.splitlines()) for piece in pieces]
    assert max(sizes) == 4 and 4 + sum(sizes) == 1 + Leg.objects.count()


def test_what_a_person_has_written_in_the_books_is_no_way_to_an_orders_whole_id_and_no_formula() -> None:
    """Who may only look at the books takes them away too, and opens them in a program that reckons."""
    order = OrderFactory(paid_lightning=True)
    words = f"=HYPERLINK(A1) of {order.pk}"
    about = About(EntryKind.CORRECTION, "ab" * 32, order.pk, order.lsp_node_id, words=words)
    post(about, {Account.WALLET: 5_000, Account.LOSSES: -5_000})
    [row, _] = csv.DictReader(exporting.lines(Leg.objects.all()))
    assert row["words"] == f"'=HYPERLINK(A1) of {str(order.pk)[:8]}"


def test_the_first_page_of_the_admin_says_whether_they_add_up(boss: Client) -> None:
    assert "add up" not in seen(boss.get("/admin/"))
    BooksCheck.objects.create(at=timezone.now(), adds_up=False, words="they do not")
    assert "do not add up" in seen(boss.get("/admin/"))
