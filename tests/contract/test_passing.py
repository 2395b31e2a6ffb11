"""What others pay through our node: held until it is answered, and sent on, also over a channel that is new."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from lightning.errors import NotFound, Rejected
from lightning.parts import FAIL, RESUME, Circuit, is_alias, resume_with
from lightning.types import Channel, Htlc, NodeAddress
from streams import before as before_streams
from streams.before import Before
from tests.contract.interceptor import Interceptor, intercepting
from tests.contract.way import AMOUNT_SAT, DELTA, Way, listening
from tests.regtest.fixtures import adding_peers
from tests.regtest.payment import FAILED, IN_FLIGHT, SUCCEEDED
from tests.regtest.waiting import until
from tests.simulator.network import SimulatedNetwork

#: So far before a part runs out LND fails it.
REJECT_BLOCKS = 19


@pytest.fixture(scope="module")
def way(network: Any) -> Iterator[Way]:
    scids = iter(range(16_050_000 << 40 | 1 << 16, 16_250_000 << 40, 1 << 16))
    flag, money = "--requireinterceptor", {"funded_sat": 4_000_000, "coins": 8}
    if isinstance(network, SimulatedNetwork):
        with network.adding_nodes() as add:
            lsp = add(flag, **money)
            payer, client = lsp.add_peer(), lsp.add_peer()
            lsp.control.open_channel(payer.name, 2_000_000, by_us=False)
            lsp.control.mine(6)
            yield Way(network, lsp, payer, client, scids)
        return
    with adding_peers(network, "way") as add:
        lsp, client = add(flag, **money), add()
        network.buyer.open_channel(lsp, 2_000_000)
        yield Way(network, lsp, network.buyer, client, scids)


@pytest.fixture(scope="module")
def over(way: Way) -> Channel:
    """A channel to the client that there is."""
    return way.opened("there")


@pytest.fixture
def asked(way: Way) -> Iterator[Interceptor]:
    with intercepting(way.node) as interceptor:
        yield interceptor


def held_in(way: Way) -> tuple[Htlc, ...]:
    return way.channel_in().htlcs


def test_a_part_is_told_whole_and_goes_on(way: Way, over: Channel, asked: Interceptor) -> None:
    payment = way.pay(over.known_as)
    part = asked.part()
    assert part.circuit == Circuit(way.channel_in().known_as, part.circuit.htlc)
    assert (part.incoming_msat, part.outgoing_msat, part.scid) == (AMOUNT_SAT * 1000, AMOUNT_SAT * 1000, over.known_as)
    assert part.incoming_expiry - part.outgoing_expiry == DELTA
    assert part.auto_fail_height == part.incoming_expiry - REJECT_BLOCKS and not part.is_on_chain
    [carried] = held_in(way)
    assert (carried.incoming, carried.amount_sat, carried.payment_hash) == (True, AMOUNT_SAT, part.payment_hash)
    assert (carried.index, carried.expiry_height) == (part.circuit.htlc, part.incoming_expiry)
    assert payment.status() == IN_FLIGHT
    assert asked.answer(part) and not asked.answer(part)
    assert payment.wait() == SUCCEEDED
    [passed] = way.node.forwards(from_second=0, skip=0, most=9, out_by=[over.known_as])
    assert (passed.channel_in, passed.htlc_in) == (part.circuit.channel, part.circuit.htlc)
    assert passed.in_msat == passed.out_msat == AMOUNT_SAT * 1000
    assert way.node.forwards(from_second=0, skip=0, most=9, out_by=[over.known_as + 1]) == ()


def test_a_part_that_is_failed_is_the_payers_again(way: Way, over: Channel, asked: Interceptor) -> None:
    payment = way.pay(over.known_as)
    before = len(way.node.forwards(from_second=0, skip=0, most=99))
    asked.answer(asked.part(), FAIL)
    assert ends_with_all_failed(payment, asked) == FAILED
    assert len(way.node.forwards(from_second=0, skip=0, most=99)) == before


def ends_with_all_failed(payment: Any, asked: Interceptor) -> str:
    """A payer may try again by itself."""

    def over() -> bool:
        for part in list(asked.parts):
            asked.answer(part, FAIL)
        return payment.status() != IN_FLIGHT

    until(over, "the payment has failed", timeout=30)
    return str(payment.status())


def test_a_part_for_nobody_that_goes_on_comes_to_nothing(way: Way, asked: Interceptor) -> None:
    payment = way.pay(way.new_scid())
    asked.answer(asked.part())
    assert payment.wait() == FAILED


def test_a_channel_that_was_not_there_carries_what_was_held_for_it(way: Way, asked: Interceptor) -> None:
    scid = way.new_scid()
    payment = way.pay(scid)
    part = asked.part()
    assert part.scid == scid and is_alias(scid)
    before = credited(way)
    channel = way.opened("just in time")
    assert not channel.short_channel_id and channel.zero_conf
    way.node.add_alias(channel.known_as, scid)
    asked.answer(part)
    assert payment.wait() == SUCCEEDED
    until(lambda: credited(way) == before + AMOUNT_SAT, "the client has it")
    assert scid in way.channel(channel.outpoint).aliases
    again = way.pay(scid)
    asked.answer(asked.part(1))
    assert again.wait() == SUCCEEDED


def credited(way: Way) -> int:
    """LND takes any channel with the client that can carry it."""
    return sum(each.remote_balance_sat for each in way.node.channels_with(way.client.pubkey))


def test_an_alias_is_added_once_and_to_one_channel(way: Way, over: Channel) -> None:
    other, scid = way.opened("other"), way.new_scid()
    for _ in range(2):
        way.node.add_alias(over.known_as, scid)
    assert scid in way.node.aliases()[over.known_as]
    with pytest.raises(Rejected) as caught:
        way.node.add_alias(other.known_as, scid)
    assert caught.value.reason == "alias_taken"
    with pytest.raises(Rejected) as caught:
        way.node.add_alias(over.known_as, 800_000 << 40)
    assert caught.value.reason == "invalid"
    with pytest.raises(NotFound):
        way.node.add_alias(scid, way.new_scid())


def test_a_number_is_taken_off_the_channel_that_is_named_and_no_other(way: Way, over: Channel) -> None:
    other, scid = way.opened("not called so"), way.new_scid()
    way.node.add_alias(over.known_as, scid)
    way.node.remove_alias(other.known_as, scid)  # LND would take it from its database, whosesoever it is
    assert scid in way.node.aliases()[over.known_as]
    for _ in range(2):
        way.node.remove_alias(over.known_as, scid)
    assert scid not in way.node.aliases()[over.known_as]
    way.node.add_alias(other.known_as, scid)
    assert scid in way.channel(other.outpoint).aliases


def test_what_a_channel_was_called_that_is_no_more_may_be_anothers_name(
    way: Way, over: Channel, asked: Interceptor
) -> None:
    left, scid = way.opened("left"), way.new_scid()
    way.node.add_alias(left.known_as, scid)
    way.node.disconnect(way.client.pubkey)
    way.node.abandon_channel(left.outpoint)
    assert scid in way.node.aliases()[left.known_as]  # for ever
    reached(way, over)
    with pytest.raises(Rejected) as caught:
        way.node.add_alias(over.known_as, scid)
    assert caught.value.reason == "alias_taken"
    way.node.remove_alias(left.known_as, scid)
    assert scid not in way.node.aliases().get(left.known_as, ())
    for_nobody = way.pay(scid)
    asked.answer(asked.part())
    assert for_nobody.wait() == FAILED
    way.node.add_alias(over.known_as, scid)
    payment = way.pay(scid)
    asked.answer(asked.part(1))
    assert payment.wait() == SUCCEEDED


def test_a_channel_that_nothing_was_ever_in_says_so(way: Way, asked: Interceptor) -> None:
    channel = way.opened("fresh")
    assert channel.updates == 0
    before = updates(way)
    payment = way.pay(channel.known_as)
    asked.answer(asked.part())
    assert payment.wait() == SUCCEEDED
    until(lambda: updates(way) > before, "what was paid is counted")


def updates(way: Way) -> int:
    return sum(each.updates for each in way.node.channels_with(way.client.pubkey))


def test_an_alias_of_a_channel_whose_peer_is_away_is_remembered(way: Way, over: Channel, asked: Interceptor) -> None:
    scid = way.new_scid()
    way.client.kill()
    until(lambda: not way.channel(over.outpoint).active, "the client is gone")
    way.node.add_alias(over.known_as, scid)
    way.client.start()
    reached(way, over)
    payment = way.pay(scid)
    asked.answer(asked.part())
    assert payment.wait() == SUCCEEDED


def reached(way: Way, over: Channel) -> None:
    way.node.connect(NodeAddress.parse(way.client.p2p_address), timeout_seconds=10)
    until(lambda: way.channel(over.outpoint).active, "the channel is active again")


def test_less_goes_on_and_a_node_that_takes_no_less_gives_it_back(way: Way, over: Channel, asked: Interceptor) -> None:
    before = way.channel(over.outpoint).remote_balance_sat
    payment = way.pay(over.known_as)
    part = asked.part()
    asked.answer(part, resume_with(part.incoming_msat - 5_000_000, fee_msat=5_000_000))
    assert ends_with_all_failed(payment, asked) == FAILED
    assert way.channel(over.outpoint).remote_balance_sat == before


def test_of_two_who_want_to_be_asked_the_second_is_told(way: Way, asked: Interceptor) -> None:
    second = Interceptor(way.node)
    assert second.reason() == "interceptor_exists"
    second.stream.close()
    assert asked.ended is None


def test_what_is_not_answered_is_asked_again_and_while_nobody_is_there_nothing_goes_on(way: Way, over: Channel) -> None:
    with intercepting(way.node) as first:
        payment = way.pay(over.known_as)
        part = first.part()
    assert first.answer(part) is False
    late = way.pay(over.known_as)
    assert late.wait() == FAILED and payment.status() == IN_FLIGHT
    with intercepting(way.node) as second:
        assert second.part() == part
        second.answer(part)
        assert payment.wait() == SUCCEEDED


def test_an_answer_that_nobody_asked_for_ends_the_stream(way: Way, asked: Interceptor) -> None:
    asked.answer_unasked(Circuit(way.channel_in().known_as, 9_999))
    assert asked.reason() == "unknown_forward"


def test_a_node_that_was_killed_asks_again_what_was_answered_and_has_not_ended(way: Way, over: Channel) -> None:
    """So it has to be answered the same once more: it is on its way."""
    scid = way.new_scid()
    way.node.add_alias(over.known_as, scid)
    with way.client.holding_payments(), intercepting(way.node) as first:
        payment = way.pay(scid)
        first.answer(first.part())
        until(way.carried, "the client has it")
        [carried] = way.carried()
        assert (carried.incoming, carried.other_channel) == (False, first.part().circuit.channel)
        assert carried.other_index == first.part().circuit.htlc
        way.lsp.kill()
        assert first.reason() == ""
        way.lsp.start()
        with intercepting(way.node) as second:
            part = second.part()
            assert part.circuit == first.part().circuit
            second.answer(part, RESUME)
            reached(way, over)
            assert payment.status() == IN_FLIGHT
    assert payment.wait() == SUCCEEDED
    assert scid in way.node.aliases()[over.known_as]
    with intercepting(way.node) as third:
        later = way.pay(scid)
        third.answer(third.part())
        assert later.wait() == SUCCEEDED


def comes_back_unheard(way: Way, over: Channel) -> int:
    """A part that goes on and comes back; between the two nobody is there to be asked about it, and the node asks.

    Returns how much has moved in the channels with the client by then.
    """
    with way.client.holding_payments():
        with listening(way):
            payment = way.pay(over.known_as)
            until(way.carried, "the client has it")
        way.payer_connects_anew()
        way.client_gives_back()
        assert payment.wait() == FAILED
    until(lambda: not way.carried(), "nothing is on its way")
    return updates(way)


def test_what_came_back_while_nobody_was_asked_does_not_go_on_once_more(way: Way, over: Channel) -> None:
    before = comes_back_unheard(way, over)
    with listening(way) as line:
        until(lambda: line.passed, "it is asked about")
        assert way.pay(way.new_scid()).wait() == FAILED
        time.sleep(before_streams._SHOWS_SECONDS + 0.5)  # it is decided by then
        assert updates(way) == before
        assert way.pay(over.known_as).wait() == SUCCEEDED
    with intercepting(way.node) as asked:  # LND asks for as long as nobody answers; to fail it harms nobody
        asked.answer(asked.part(), FAIL)
        later = way.pay(over.known_as)
        asked.answer(asked.part(1))
        assert later.wait() == SUCCEEDED


def test_control_were_it_let_go_it_would(way: Way, over: Channel, asked: Interceptor) -> None:
    asked.stream.close()
    before = comes_back_unheard(way, over)
    with intercepting(way.node) as again:
        again.answer(again.part())
        until(lambda: updates(way) > before, "it went on once more")
        until(lambda: not way.carried(), "and came back")


def test_what_nobody_has_let_go_shows_as_not_gone_on(way: Way, over: Channel) -> None:
    """So it may be failed, once nobody can have let it go any more."""
    with intercepting(way.node) as asked:
        payment = way.pay(over.known_as)
        part = asked.part()
        until(lambda: held_in(way), "it is shown", timeout=5)  # LND asks some milliseconds earlier
        before = Before(way.node.channels, asked.stream.answer)
        before.meet(part)
        before.let_go(part.circuit)
        time.sleep(1)
        [kept] = before._all()
        assert not kept.went_on
        before._end(kept, FAIL)
        assert ends_with_all_failed(payment, asked) == FAILED
    before.close()


def test_without_the_nodes_option_what_is_held_is_let_go_when_nobody_is_asked_any_more(way: Way, network: Any) -> None:
    client = network.buyer if isinstance(network, SimulatedNetwork) else way.client
    other = replace(way, lsp=network.lsp, payer=network.buyer, client=client)
    with intercepting(other.node) as asked:
        payment = other.pay(way.new_scid())
        asked.part()
        assert payment.status() == IN_FLIGHT
    assert payment.wait() == FAILED


def test_what_is_held_for_too_long_lnd_fails_and_wants_no_answer_to(way: Way, asked: Interceptor) -> None:
    payment = way.pay(way.new_scid())
    part = asked.part()
    way.network.mine(part.auto_fail_height - height_of(way))
    until(lambda: part.circuit.htlc not in {each.index for each in held_in(way)}, "it is back")
    asked.stream.block_came(part.auto_fail_height - 1)
    assert part.circuit in asked.stream._held._fails_at
    asked.stream.block_came(part.auto_fail_height)
    assert asked.answer(part) is False
    assert ends_with_all_failed(payment, asked) == FAILED


def height_of(way: Way) -> int:
    return way.node.info().block_height


def test_what_comes_by_a_channel_that_is_closed_by_force_is_asked_again_and_not_to_be_answered(
    way: Way, asked: Interceptor
) -> None:
    """The last of all: the payer has no channel any more."""
    way.pay(way.new_scid())
    part = asked.part()
    way.lsp.close_channel(str(way.channel_in().outpoint), force=True)

    def offered_again() -> bool:
        way.network.mine(1)
        return len([each for each in asked.parts if each.circuit == part.circuit]) > 1

    until(offered_again, "it is asked again", pause=0.3)
    again = asked.part(1, of=lambda each: each.circuit == part.circuit)
    assert again.is_on_chain and again.incoming_expiry == part.incoming_expiry
    assert asked.answer(again) is False
    asked.answer_unasked(part.circuit)
    assert asked.reason() == "on_chain"


def test_how_a_node_was_started_is_told(way: Way) -> None:
    told: Callable[[str], str | None] = way.node.configuration().get
    assert (told("requireinterceptor"), told("bitcoin.timelockdelta")) == ("true", "80")
    assert (told("protocol.option-scid-alias"), told("protocol.zero-conf")) == ("true", "true")
