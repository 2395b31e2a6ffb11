"""What a Bitcoin node says of a transaction in no block: what its fee is good for; and nothing is believed half."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from decimal import Decimal
from typing import Any

import pytest

from chain import node as chain_node
from chain import reading
from chain.access import Access
from chain.errors import ChainError, ChainUnavailable, Unreadable
from chain.node import MOST_ANCESTORS, MOST_INPUTS, ChainNode
from chain.packages import Package, Paid
from tests.bitcoind import PASSWORD, WRITTEN_PASSWORD, Bitcoind, running
from tests.factories import txid

RATE = 1000  # sat per 1000 weight: a satoshi each


# The rule


@pytest.mark.parametrize(
    ("itself", "ancestors", "pays"),
    [
        ((600, 600), [], True),
        ((600, 599), [], False),
        ((600, 600), [(600, 600)], True),
        ((600, 600), [(600, 599)], False),
        ((600, 1200), [(600, 0)], True),
        ((600, 1199), [(600, 0)], False),
        # what one ancestor pays too much is not the other's, nor the deposit's
        ((600, 600), [(600, 9000), (600, 0)], False),
        ((600, 0), [(600, 9000)], False),
        ((600, 1800), [(600, 9000), (600, 0), (600, 0)], True),
    ],
)
def test_a_fee_is_enough_if_it_pays_for_itself_and_for_what_its_parents_are_short_of(
    itself: tuple[int, int], ancestors: list[tuple[int, int]], pays: bool
) -> None:
    assert Package(Paid(*itself), tuple(Paid(*each) for each in ancestors)).pays(RATE) is pays


def test_whatever_of_its_parents_is_mined_by_itself_the_rest_pays_the_rate() -> None:
    """The rule against its reason: every set of ancestors that may be left together with the deposit."""
    dice = random.Random(1)
    held = 0
    for _ in range(3000):
        ancestors = [Paid(dice.randint(1, 900), dice.randint(0, 2000)) for _ in range(dice.randint(0, 4))]
        itself = Paid(dice.randint(1, 900), dice.randint(0, 4000))
        if not Package(itself, tuple(ancestors)).pays(RATE):
            continue
        held += 1
        for chosen in range(2 ** len(ancestors)):
            left = [itself, *(each for n, each in enumerate(ancestors) if chosen >> n & 1)]
            assert sum(each.fee_sat for each in left) >= sum(each.weight for each in left)
    assert held > 300


def test_a_rate_that_does_not_divide_evenly_is_rounded_against_the_payer() -> None:
    assert not Package(Paid(553, 138)).pays(250)  # 138.25
    assert Package(Paid(553, 139)).pays(250)


# The search


@pytest.fixture
def bitcoind() -> Iterator[Bitcoind]:
    node = Bitcoind()
    with running(node) as node.url:
        yield node


def asking(bitcoind: Bitcoind) -> ChainNode:
    return ChainNode(Access.parse(bitcoind.url))


def test_fees_are_reckoned_from_what_is_spent_back_to_what_is_in_blocks(bitcoind: Bitcoind) -> None:
    coin, other = bitcoind.mined(txid("a"), 3, 5000), bitcoind.mined(txid("b"), 0, 700)
    bitcoind.spend(txid("grandparent"), [coin], [1000, 3900], weight=400)
    bitcoind.spend(txid("parent"), [(txid("grandparent"), 1), other], [4000, 599], weight=500)
    bitcoind.spend(txid("deposit"), [(txid("parent"), 0), (txid("grandparent"), 0)], [4500], weight=600)
    package = asking(bitcoind).package(txid("deposit"))
    assert package is not None and package.itself == Paid(600, 500)
    assert set(package.ancestors) == {Paid(400, 100), Paid(500, 1)}


def test_what_is_not_in_the_mempool_or_is_mined_is_no_package(bitcoind: Bitcoind) -> None:
    assert asking(bitcoind).package(txid("deposit")) is None
    bitcoind.spend(txid("deposit"), [bitcoind.mined(txid("a"), 0, 900)], [800])
    bitcoind.mempool[txid("deposit")] |= {"confirmations": 1, "blockhash": "bb" * 32}
    assert asking(bitcoind).package(txid("deposit")) is None


def test_a_parent_that_was_mined_this_moment_is_no_ancestor_and_tells_what_it_paid(bitcoind: Bitcoind) -> None:
    bitcoind.spend(txid("parent"), [bitcoind.mined(txid("a"), 0, 900)], [800])
    bitcoind.mempool[txid("parent")] |= {"confirmations": 1, "blockhash": "bb" * 32}
    bitcoind.spend(txid("deposit"), [(txid("parent"), 0)], [700])
    assert asking(bitcoind).package(txid("deposit")) == Package(Paid(600, 100))


def chained(bitcoind: Bitcoind, length: int) -> str:
    point = bitcoind.mined(txid("a"), 0, 10**6)
    for number in range(length):
        bitcoind.spend(txid(number), [point], [10**6 - 100 * (number + 1)])
        point = (txid(number), 0)
    return point[0]


def test_a_chain_of_unmined_parents_is_followed_so_far_and_no_farther(bitcoind: Bitcoind) -> None:
    package = asking(bitcoind).package(chained(bitcoind, MOST_ANCESTORS + 1))
    assert package is not None and len(package.ancestors) == MOST_ANCESTORS
    bitcoind.asked.clear()
    with pytest.raises(Unreadable):
        asking(bitcoind).package(chained(bitcoind, 200))
    assert len(bitcoind.asked) <= 2 * (MOST_ANCESTORS + 1)


def test_a_deposit_of_very_many_coins_costs_one_call(bitcoind: Bitcoind) -> None:
    points = [bitcoind.mined(txid("a"), index, 10) for index in range(MOST_INPUTS + 1)]
    bitcoind.spend(txid("deposit"), points, [1])
    with pytest.raises(Unreadable):
        asking(bitcoind).package(txid("deposit"))
    assert bitcoind.asked == ["getrawtransaction"]


@pytest.mark.parametrize(
    "change",
    [
        {"txid": "cd" * 32},
        {"weight": 0},
        {"weight": "600"},
        {"weight": True},
        {"weight": 10**40},
        {"weight": None},
        {"vin": None},
        {"vin": [{}]},
        {"vin": [{"coinbase": "00"}]},
        {"vin": [{"txid": "g" * 64, "vout": 0}]},
        {"vin": [{"txid": "ab" * 32, "vout": -1}]},
        {"vout": {}},
        {"vout": [{"n": 0, "value": -1}]},
        {"vout": [{"n": 0, "value": "1"}]},
        {"vout": [{"n": 0, "value": 10**30}]},
        {"vout": [{"n": 0, "value": 1e-9}]},
        {"vout": [{"n": 0, "value": 1.0}]},  # more than it spends
        {"confirmations": -1},
        {"confirmations": "many"},
    ],
)
def test_a_malformed_transaction_is_unreadable_and_nothing_else(bitcoind: Bitcoind, change: dict[str, Any]) -> None:
    bitcoind.spend(txid("deposit"), [bitcoind.mined(txid("a"), 0, 900)], [800])
    bitcoind.mempool[txid("deposit")] |= change
    with pytest.raises(Unreadable):
        asking(bitcoind).package(txid("deposit"))


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"null",
        b"{}",
        b"[]",
        b"[1]",
        b"\xff\xfe",
        b"<html>",
        b"[" * 100_000,
        b'[{"id": 0, "result": ' + b"9" * 10_000 + b"}]",
        b'[{"id": 0, "result": NaN}]',
        b'[{"id": 0, "result": 1e999999999999}]',
        b'[{"id": 0, "result": 800}, {"id": 1, "result": 800}]',
        b'[{"id": 1, "result": 800}]',
        b'[{"id": true, "result": 800}]',
        b'[{"id": {}, "result": 800}]',
        b'[{"id": 0}]',
        b'[{"id": 0, "result": 800.0}]',
        b'[{"id": 0, "result": "800"}]',
        b'[{"id": 0, "result": -1}]',
        b'[{"id": 0, "error": "hush-hush@word"}]',
        b'[{"id": 0, "error": {"code": "hush-hush@word"}}]',
        b'[{"id": 0, "error": {"code": -28, "message": "hush-hush@word"}}]',
        b"[" + b" " * 5 * 1024 * 1024 + b"]",
    ],
)
def test_whatever_is_said_ends_in_an_error_of_ours_that_repeats_nothing(bitcoind: Bitcoind, said: bytes) -> None:
    bitcoind.instead = lambda calls: said
    with pytest.raises(ChainError) as caught:
        asking(bitcoind).height()
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), Decimal("nan"), Decimal("1e-300"), True, [], Decimal("Infinity")])
def test_no_amount_is_none(value: Any) -> None:
    with pytest.raises(Unreadable):
        reading.unspent_sat({"value": value})


# Away, slow, refusing


@contextmanager
def listening(answer: bytes, pause_seconds: float = 0) -> Iterator[Access]:
    """Somebody who says this, a byte at a time where he pauses, and then nothing."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = server.accept()
        with connection, suppress(OSError):
            step = 1 if pause_seconds else len(answer) or 1
            for start in range(0, len(answer), step):
                connection.sendall(answer[start : start + step])
                time.sleep(pause_seconds)
            time.sleep(3)

    threading.Thread(target=serve, daemon=True).start()
    with closing(server):
        yield Access.parse(f"http://{PASSWORD.partition('@')[0]}:word@127.0.0.1:{server.getsockname()[1]}")


@pytest.mark.parametrize(
    ("answer", "pause_seconds"),
    [(b"", 0), (b"HTTP/1.1 200 OK\r\n", 0), (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000, 0.02)],
    ids=["silent", "half", "dripping"],
)
def test_who_is_silent_or_drips_is_cut_off_in_time(
    answer: bytes, pause_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain_node, "PATIENCE_SECONDS", 0.4)
    with listening(answer, pause_seconds) as access:
        begun = time.monotonic()
        with pytest.raises(ChainUnavailable, match="in time"):
            ChainNode(access).height()
        assert time.monotonic() - begun < 0.9


def test_a_name_that_is_never_resolved_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_node, "PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(2) or [])
    begun = time.monotonic()
    with pytest.raises(ChainUnavailable):
        ChainNode(Access.parse("http://lsp:word@bitcoind:8332")).height()
    assert time.monotonic() - begun < 0.9


@pytest.mark.parametrize("status", [301, 400, 403, 404, 500, 503])
def test_another_status_than_success_is_no_answer_whatever_it_carries(bitcoind: Bitcoind, status: int) -> None:
    bitcoind.status = status
    with pytest.raises(ChainUnavailable, match=str(status)):
        asking(bitcoind).height()


def test_a_wrong_password_is_told_without_it(bitcoind: Bitcoind) -> None:
    access = Access.parse(bitcoind.url.replace(WRITTEN_PASSWORD, "wrong-word"))
    with pytest.raises(ChainUnavailable, match="user and password") as caught:
        ChainNode(access).height()
    assert "wrong" not in str(caught.value) and "wrong" not in repr(access)
    assert WRITTEN_PASSWORD not in repr(Access.parse(bitcoind.url)) and access.authorization not in repr(access)


def test_that_one_transaction_takes_long_says_nothing_of_the_node(
    bitcoind: Bitcoind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain_node, "PATIENCE_SECONDS", 0.5)
    last = chained(bitcoind, MOST_ANCESTORS)
    bitcoind.before_answering = lambda: time.sleep(0.1)
    with pytest.raises(Unreadable):
        asking(bitcoind).package(last)
