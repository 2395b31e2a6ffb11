"""The benchmark's arithmetic and its page; nothing is measured here."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from lightning.proto import lnrpc_pb2 as ln
from orders.models import ChannelOrder
from tests import factories
from tests.bench import database, operations, page, processor, rows, run
from tests.bench.calls import Asked, named
from tests.bench.figures import (
    Asking,
    Beside,
    Level,
    Machine,
    Measured,
    Passes,
    Peers,
    Purchase,
    Reaction,
    Result,
    Share,
    percentile,
)
from tests.bench.statements import Statement, looked_at
from tests.bench.timed_node import ANSWERED, SENT, answered_at, sent_at
from tests.bench.traced_node import OURS, TRACE, shares
from tests.regtest.waiting import until

SHARES = [Share("LookupInvoice", 1.5, 0.004), Share("SELECT ban", 1, 0.0001), Share(OURS, 1, 0.050)]
MACHINE = Machine(2, "Some CPU", 0.5, "3.11.7", "5.2", "23.0", "18.1")


def measured(title: str = "On a node") -> Measured:
    taken = {"web": 0.006, "node": 0.004, "streams": 0.002}
    levels = [Level(clients, (50.0, 60.0, 40.0), (100.0, 100.0, 100.0), taken, 0.003) for clients in (1, 8, 64)]
    reactions = [Reaction(0.0, 0.010 * n, 0.020 * n, 0.030 * n, 0.040 * n) for n in range(1, 11)]
    passes = [
        Passes(1_000, 100, (0.010, 0.012, 0.011), (0.005, 0.007, 0.006), 12, 9, 300),
        Passes(100_000, 100, (0.022, 0.022, 0.030), (0.005, 0.005, 0.005), 12, 9, 301),
    ]
    alone = Purchase(64, 0.020, 0.005, 0.004, statements=11, calls=2)
    return Measured(title, "It is a node.", "0.20.0-beta", 256, levels, alone, reactions, passes, SHARES)


def written(*titles: str) -> str:
    return page.page(Result(MACHINE, [measured(title) for title in titles or ("On a node",)]))


def test_the_99th_percentile_of_a_hundred_leaves_one_value_out() -> None:
    assert percentile(range(1, 101), 99) == 99
    assert percentile(range(1, 101), 50) == 50


def test_the_99th_percentile_of_ten_is_the_longest() -> None:
    assert percentile([3, 1, 10, 2, 4, 5, 9, 6, 8, 7], 99) == 10


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_a_level_compares_medians_and_knows_how_far_its_rounds_differ() -> None:
    level = Level(8, (50.0, 90.0, 40.0), (100.0, 100.0, 200.0), {}, 0.0)
    assert level.ratio == 0.5
    assert level.ratios == [0.5, 0.9, 0.2]


def test_each_node_has_a_section_of_its_own() -> None:
    both = written("On one node", "On another")
    for title in ("On one node", "On another"):
        assert both.count(f"\n## {title}\n") == 1
    assert both.count("### One pass of reconcile") == 2


def test_the_page_has_each_load_with_its_ratio() -> None:
    for clients in (1, 8, 64):
        assert f"| {clients} | 50 | 100 | **0.50** | 0.40–0.60 |" in written()


def test_the_page_tells_what_each_part_takes_and_what_all_take_together() -> None:
    assert "| web | 6.0 | 6.0 | 6.0 |" in written()
    assert "| **together** | **12.0** | **12.0** | **12.0** |" in written()


def test_the_page_takes_a_purchase_apart() -> None:
    assert "20.0 ms: 5.0 ms of it wait for the node (2 calls)" in written()
    assert "4.0 ms for PostgreSQL (11 statements), 11.0 ms are our own" in written()


def test_the_page_has_percentiles_in_milliseconds() -> None:
    assert "| **OpenChannel sent** | 150 | 300 | 300 |" in written()


def test_the_page_tells_what_is_waited_for_and_leaves_out_what_is_next_to_nothing() -> None:
    assert f"| LookupInvoice | 1.5 | 4.0 |\n| {OURS} | 1.0 | 50.0 |" in written()


def test_a_trace_tells_what_each_span_waits_for_and_what_of_it_is_our_own() -> None:
    waits = [("call", 10.0, 10.2), ("SELECT", 10.1, 10.3), ("SELECT", 10.5, 10.6), ("call", 10.9, 11.5)]
    log = f"other\n{TRACE} {json.dumps(waits[:2])}\n{TRACE} {json.dumps(waits[2:])}\n"
    found = {each.what: (each.times, round(each.seconds, 6)) for each in shares(log, [(10.0, 11.0), (20.0, 20.4)])}
    assert found == {"SELECT": (1.0, 0.15), "call": (0.5, 0.1), OURS: (1, 0.5)}


def test_the_page_tells_of_lnbits_only_where_it_ran() -> None:
    assert "LNbits'" not in written()
    beside = page.page(
        Result(MACHINE, [replace(measured(), beside=[Beside(8, (90.0, 100.0, 110.0), (40.0, 50.0, 60.0))])])
    )
    assert "| 8 | 100 | 50 | **2.00** |" in beside


def test_the_page_compares_the_passes_with_the_smallest_database() -> None:
    assert "| 100,000 | 100 | 9 | 12 | 301 | 22 | 17 | **2.00** | **3.40** |" in written()


def test_the_page_tells_of_peers_only_where_there_were_so_many() -> None:
    assert "### Peers that ask at once" not in written()
    assert "| answers to 100 peers | of | p50 ms | p99 ms | longest ms |" in asked_by_peers()
    assert "| beside one that floods | 1,000 | 500 | **990** | 1000 |" in asked_by_peers()
    assert "sent 812 requests a second" in asked_by_peers()


def test_the_page_tells_what_an_answer_takes_and_what_one_message_of_the_flood() -> None:
    assert "| streams | 0.50 | 0.10 |" in asked_by_peers()


def asked_by_peers() -> str:
    seconds = [0.001 * n for n in range(1, 1001)]
    alone, flooded = Asking(seconds, {"streams": 0.5}), Asking(seconds, {"streams": 1.312}, flood=8_120, lasted=10.0)
    return page.page(Result(MACHINE, [replace(measured(), peers=Peers(100, alone, flooded))]))


def test_the_log_tells_when_a_peer_was_answered() -> None:
    log = f"other\n{ANSWERED} a 1.5\n{ANSWERED} a 2.5\n{ANSWERED} b 3.5\n{ANSWERED} c 4."
    assert answered_at(log) == {"a": 1.5, "b": 3.5}


def test_rows_that_a_scan_leaves_out_were_looked_at_too() -> None:
    scan = {
        "Node Type": "Seq Scan", "Relation Name": "orders_channelorder",
        "Actual Rows": 1, "Actual Loops": 3, "Rows Removed by Filter": 99,
    }  # fmt: skip
    index = {"Node Type": "Index Scan", "Relation Name": "orders_holdinvoice", "Actual Rows": 2, "Actual Loops": 1}
    join = {"Node Type": "Nested Loop", "Actual Rows": 7, "Actual Loops": 1, "Plans": [index, {**scan}]}
    assert list(looked_at(join)) == [("orders_holdinvoice", 2), ("orders_channelorder", 300)]


def test_the_processor_time_of_a_process_includes_its_children() -> None:
    busy = "import time\nwhile time.process_time() < 0.4: pass"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}]); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE) as process:
        until(lambda: processor.seconds({"it": process.pid})["it"] >= 0.2, "its child's time is counted")
        process.kill()


def test_what_was_spent_is_the_difference() -> None:
    assert processor.spent({"web": 1.0}, {"web": 1.5, "streams": 2.0}) == {"web": 0.5, "streams": 2.0}


def test_the_log_tells_when_a_channel_was_first_asked_for() -> None:
    log = f"other\n{SENT} abc 12.5\n{SENT} abc 13.5\n"
    assert sent_at(log, "abc") == 12.5
    with pytest.raises(LookupError):
        sent_at(log, "ab")


def test_one_more_call_or_statement_shows_in_the_table_of_costs() -> None:
    call = Asked("GetInfo", 10, 0.1)
    asked = Statement("SELECT 1", ())
    before = operations.Cost("buy", [asked] * 11, [call], 1.0)
    dearer = operations.Cost("buy", [asked] * 12, [call, call], 1.0)
    assert operations.table([before]).split() == ["operation", "SQL", "node", "calls", "buy", "11", "1", "GetInfo"]
    assert operations.table([dearer]).endswith(" 12    2  2 x GetInfo\n")


@pytest.mark.parametrize(
    "request_, name",
    [
        (ln.ListChannelsRequest(), "ListChannels of all"),
        (ln.ListChannelsRequest(peer=b"\x02" * 33), "ListChannels of a peer"),
        (ln.ListInvoiceRequest(pending_only=True), "ListInvoices"),
        (ln.ListInvoiceRequest(index_offset=7), "ListInvoices after an index"),
        (ln.ListInvoiceRequest(reversed=True), "ListInvoices the newest"),
        (ln.GetTransactionsRequest(start_height=0), "GetTransactions"),
        (ln.GetTransactionsRequest(start_height=7), "GetTransactions from a height"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_a_call_is_named_by_whether_it_asks_for_everything(request_: Any, name: str) -> None:
    assert named(request_) == name


def test_a_quick_run_is_small_and_an_unknown_node_is_refused() -> None:
    assert run.QUICK.orders < run.Sizes().orders and run.QUICK.runs < run.Sizes().runs
    assert run.arguments(["--node", "simulator"]).node == "simulator"
    with pytest.raises(SystemExit):
        run.arguments(["--node", "another"])


def test_the_99th_percentile_is_of_a_hundred_orders() -> None:
    assert run.Sizes().runs == 100 and run.Sizes().at_rest == (1_000, 100_000)


@pytest.mark.django_db
def test_unpaid_orders_are_forgotten_with_all_that_refers_to_them() -> None:
    unpaid: Any = factories.OrderFactory()
    paid: Any = factories.OrderFactory(paid_lightning=True)
    factories.FlagFactory(order=unpaid)
    factories.DepositFactory(order=unpaid)
    rows.forget_unpaid()
    assert list(ChannelOrder.objects.all()) == [paid]


def test_the_page_of_large_databases_says_where_more_orders_ask_for_more_statements() -> None:
    few = database.Aged(1_000, 10**8, [database.Asked("list", 4, 0.010), database.Asked("page", 5, 0.020)])
    many = database.Aged(50_000, 35 * 10**7, [database.Asked("list", 4, 0.011), database.Asked("page", 55, 0.5)])
    told = database.page([few, many])
    assert "| list | 4 | 10 | 11 |" in told and "| page | 5, 55 | 20 | 500 |" in told and "take 0.3 GB" in told
