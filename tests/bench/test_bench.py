"""The benchmark's arithmetic and its page; nothing is measured here."""

from __future__ import annotations

import pytest

from tests.bench import page
from tests.bench.figures import Level, Machine, Passes, Reaction, Result, percentile
from tests.bench.passes import scanned
from tests.bench.run import arguments
from tests.bench.timed_node import SENT, sent_at

MACHINE = Machine(2, "Some CPU", 0.5, "3.11.7", "5.2", "23.0", "18.1", "0.20.0-beta")


def result(whole_tables: tuple[str, ...] = ()) -> Result:
    levels = [Level(clients, (50.0, 60.0, 40.0), (100.0, 100.0, 100.0)) for clients in (1, 8, 64)]
    reactions = [Reaction(0.010 * n, 0.020 * n, 0.030 * n, 0.040 * n) for n in range(1, 11)]
    passes = [
        Passes(1_000, 100, (0.010, 0.012, 0.011), (0.005, 0.007, 0.006), 12, 9, ()),
        Passes(100_000, 100, (0.022, 0.022, 0.030), (0.005, 0.005, 0.005), 12, 9, whole_tables),
    ]
    return Result(MACHINE, 256, "The server runs.", levels, reactions, passes)


def test_the_99th_percentile_of_a_hundred_leaves_one_value_out() -> None:
    assert percentile(range(1, 101), 99) == 99
    assert percentile(range(1, 101), 50) == 50


def test_the_99th_percentile_of_ten_is_the_longest() -> None:
    assert percentile([3, 1, 10, 2, 4, 5, 9, 6, 8, 7], 99) == 10


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_a_level_compares_medians_and_knows_how_far_its_rounds_differ() -> None:
    level = Level(8, (50.0, 90.0, 40.0), (100.0, 100.0, 200.0))
    assert level.ratio == 0.5
    assert level.ratios == [0.5, 0.9, 0.2]


def test_the_page_has_each_load_with_its_ratio() -> None:
    written = page.page(result())
    for clients in (1, 8, 64):
        assert f"| {clients} | 50 | 100 | **0.50** | 0.40–0.60 |" in written


def test_the_page_has_percentiles_in_milliseconds() -> None:
    assert "| **OpenChannel sent** | 150 | 300 | 300 |" in page.page(result())


def test_the_page_compares_the_passes_with_the_smallest_database() -> None:
    assert "| 100,000 | 100 | 9 | 12 | 22 | 17 | **2.00** | **3.40** |" in page.page(result())


def test_the_page_names_a_table_that_is_read_whole() -> None:
    assert "from end to end: none." in page.page(result())
    assert "from end to end: `orders_channelorder`." in page.page(result(("orders_channelorder",)))


def test_a_sequential_scan_is_found_below_other_steps() -> None:
    scan = {"Node Type": "Seq Scan", "Relation Name": "orders_channelorder"}
    index = {"Node Type": "Index Scan", "Relation Name": "orders_holdinvoice"}
    plan = {"Node Type": "Nested Loop", "Plans": [index, {"Node Type": "Hash", "Plans": [scan]}]}
    assert list(scanned(plan)) == ["orders_channelorder"]


def test_the_log_tells_when_a_channel_was_first_asked_for() -> None:
    log = f"other\n{SENT} abc 12.5\n{SENT} abc 13.5\n"
    assert sent_at(log, "abc") == 12.5
    with pytest.raises(LookupError):
        sent_at(log, "ab")


def test_a_quick_run_is_small_and_an_empty_one_is_refused() -> None:
    assert arguments(["--quick"]).orders < arguments([]).orders
    with pytest.raises(SystemExit):
        arguments(["--runs", "0"])
