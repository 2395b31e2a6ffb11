"""Zero-conf attempts and what may happen to them: a channel against all knowledge, coins that are gone, old records."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError
from django.utils import timezone

from lightning.errors import Rejected
from lightning.types import NodeInfo, Outpoint, Peer
from orders import queries
from orders.advance import advance
from orders.causes import FlagKind
from orders.models import ChannelOpening, ChannelOrder, WalletTransaction
from orders.openings import cancelling, committing, conflicting, publishing, terms, zero_conf
from orders.states import LIVE_OPENINGS, OpeningState, OrderState
from tests.factories import OpeningFactory, OrderFactory, SnapshotFactory, pubkey
from tests.scripted import ScriptedNode, channel, held
from watch.doctor import node as checks

pytestmark = pytest.mark.django_db(transaction=True)

BOTH = frozenset({47, 51})


class Node(ScriptedNode):
    """A node that has its features, and whose peers have theirs; a coin may be another's."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.theirs = BOTH, BOTH
        self.coin_is_gone = False

    def info(self) -> NodeInfo:
        return replace(super().info(), features=self.features)

    def peers(self, *, seconds: float = 0) -> Any:
        return tuple(Peer(order.node_pubkey, "198.51.100.7:9735", False, self.theirs) for order in _orders())

    def lease(self, outpoint: Outpoint, *, lock_id: bytes, seconds: int) -> None:
        super().lease(outpoint, lock_id=lock_id, seconds=seconds)
        if self.coin_is_gone:
            raise Rejected("output already locked", reason="leased_by_another")


def _orders() -> list[ChannelOrder]:
    return list(ChannelOrder.objects.exclude(node_pubkey=""))


@pytest.fixture
def node() -> Node:
    SnapshotFactory()
    return Node()


def attempt(node: Node, state: OpeningState, **fields: Any) -> ChannelOpening:
    """A zero-conf attempt of a claimed order, its payment held."""
    order = OrderFactory(uri_set=True, required_channel_confirmations=0)
    made: ChannelOpening = OpeningFactory(order=order, state=state, zero_conf=True, **fields)
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    return made


def appears(node: Node, opening: ChannelOpening) -> None:
    node.open = [channel(Outpoint.parse(opening.funding_outpoint), opening.order)]


def look(opening: ChannelOpening, node: Node, *, times: int = 1) -> ChannelOpening:
    for _ in range(times):
        ChannelOrder.objects.filter(pk=opening.order_id).update(due_at=timezone.now())
        advance(opening.order_id, node=node)  # type: ignore[arg-type]
    return ChannelOpening.objects.select_related("order", "transaction").get(pk=opening.pk)


def kinds(opening: ChannelOpening) -> set[str]:
    return {flag.kind for flag in queries.order_or_raise(opening.order_id).standing}


def test_what_is_committed_is_live_and_has_its_peer_for_itself(node: Node) -> None:
    opening = attempt(node, OpeningState.COMMITTED)
    assert opening.is_live and OpeningState.COMMITTED in LIVE_OPENINGS
    assert queries.peer_is_taken(opening.node_pubkey)
    assert queries.openings_under_way(timezone.now())[0] == 1
    assert queries.leased_by_attempts() == [2_000_000]
    with pytest.raises(IntegrityError, match="opening_one_for_peer"):
        OpeningFactory(node_pubkey=opening.node_pubkey, negotiating=True)


def test_only_a_zero_conf_attempt_is_ever_committed(node: Node) -> None:
    with pytest.raises(IntegrityError, match="opening_committed_is_zero_conf"):
        OpeningFactory(state=OpeningState.COMMITTED, zero_conf=False)


def test_nobody_cancels_what_is_committed_but_who_has_looked(node: Node) -> None:
    opening = attempt(node, OpeningState.COMMITTED)
    assert not cancelling.begin(opening.order_id, reason="FAILED_OPENING")
    assert cancelling.begin(opening.order_id, reason="FAILED_OPENING", never_was=True)


@pytest.mark.parametrize("state", [OpeningState.COMMITTED, OpeningState.CANCELLING])
def test_a_channel_that_is_there_is_published_and_never_abandoned(node: Node, state: OpeningState) -> None:
    opening = attempt(node, state)
    appears(node, opening)
    opening = look(opening, node)
    assert (opening.state, opening.order.state) == (OpeningState.PUBLISHED, OrderState.OPEN)
    assert node.abandoned == [] and set(node.published) == {b"raw"}


def test_a_channel_of_a_given_up_attempt_whose_coins_are_anothers_is_left_to_a_person(node: Node) -> None:
    """To publish would take the coin from the other's channel; to abandon, from the buyer what he has received."""
    opening = attempt(node, OpeningState.CANCELLING)
    appears(node, opening)
    node.coin_is_gone = True
    opening = look(opening, node, times=3)
    assert (opening.state, opening.order.state) == (OpeningState.CANCELLING, OrderState.URI_SET)
    assert node.abandoned == [] and node.published == []
    assert node.disconnected == []  # he may be using it
    assert FlagKind.ZERO_CONF_UNFUNDED in kinds(opening)
    node.coin_is_gone = False
    assert look(opening, node).state == OpeningState.PUBLISHED
    assert FlagKind.ZERO_CONF_UNFUNDED not in kinds(opening)


def test_after_a_rival_6_deep_its_channel_is_worth_nothing_and_abandoned(node: Node) -> None:
    order = OrderFactory(opening=True, attempts=False, required_channel_confirmations=0)
    opening = OpeningFactory(order=order, state=OpeningState.CANCELLING, zero_conf=True)
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    appears(node, opening)
    node.on_call = lambda name: node.open.clear() if name == "abandon_channel" else None
    opening = look(opening, node)
    assert opening.state == OpeningState.FAILED
    assert node.abandoned == [Outpoint.parse(opening.funding_outpoint)]


def test_records_that_lost_the_commitment_sign_the_same_coins_once_more(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = attempt(node, OpeningState.FUNDED, changed_at=timezone.now() - timedelta(days=2))
    WalletTransaction.objects.update(raw=None)

    class Final:
        txid, every_input_has_witness, inputs = opening.transaction.txid, True, ()  # type: ignore[union-attr]

    monkeypatch.setattr(committing.transactions, "read_transaction", lambda raw: Final)
    appears(node, opening)
    opening = look(opening, node)
    assert (opening.state, node.abandoned, set(node.published)) == (OpeningState.PUBLISHED, [], {b"psbt"})


@pytest.mark.parametrize("state", [OpeningState.FUNDED, OpeningState.COMMITTED])
def test_without_its_channel_it_is_ended_once_the_peer_has_dropped_it(node: Node, state: OpeningState) -> None:
    opening = attempt(node, state)
    opening = look(opening, node)
    assert opening.state == OpeningState.FAILED
    assert node.calls.index("cancel_shim") < node.calls.index("disconnect")
    assert node.disconnected and node.connected and node.published == []


def test_a_channel_that_came_to_be_while_its_peer_was_being_disconnected_is_kept(node: Node) -> None:
    opening = attempt(node, OpeningState.COMMITTED)
    node.on_call = lambda name: appears(node, opening) if name == "disconnect" else None
    opening = look(opening, node)
    assert (opening.state, node.abandoned) == (OpeningState.PUBLISHED, [])
    assert node.connected, "its channel is of no use while the peer is away"


def test_a_peer_is_brought_back_also_where_its_channel_then_has_to_wait_for_a_person(node: Node) -> None:
    """It came to be in the very moment of the disconnect, and its coins are gone: its buyer may be using it."""
    opening = attempt(node, OpeningState.CANCELLING)
    node.coin_is_gone = True
    node.on_call = lambda name: appears(node, opening) if name == "disconnect" else None
    opening = look(opening, node)
    assert (opening.state, node.abandoned, len(node.disconnected)) == (OpeningState.CANCELLING, [], 1)
    assert FlagKind.ZERO_CONF_UNFUNDED in kinds(opening) and node.connected


def test_a_channel_that_opens_while_we_look_is_in_one_of_the_lists(node: Node) -> None:
    """LND has it among the pending for a moment; it was not open yet, and is not pending any more."""
    opening = attempt(node, OpeningState.COMMITTED)
    node.on_call = lambda name: appears(node, opening) if name == "pending_channels" else None
    opening = look(opening, node)
    assert (opening.state, node.disconnected) == (OpeningState.PUBLISHED, [])


def publishing_of(node: Node, **fields: Any) -> ChannelOpening:
    order = OrderFactory(opening=True, attempts=False, required_channel_confirmations=0)
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    long_ago = timezone.now() - timedelta(days=2)
    made: ChannelOpening = OpeningFactory(
        order=order, state=OpeningState.PUBLISHING, zero_conf=True, changed_at=long_ago, **fields
    )
    appears(node, made)
    return made


@pytest.mark.parametrize("reason", ["fee_too_low", "double_spend", "refused"])
def test_a_funding_that_is_refused_for_days_is_not_put_out(
    node: Node, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = publishing_of(node)
    monkeypatch.setattr(conflicting, "begin", lambda *given, **named: pytest.fail("it was put out"))

    def refused(raw: bytes, *, label: str) -> None:
        raise Rejected("no", reason=reason)

    monkeypatch.setattr(node, "publish", refused)
    publishing.publish(opening.order_id, node)  # type: ignore[arg-type]
    opening.refresh_from_db()
    assert opening.state == OpeningState.PUBLISHING and FlagKind.PUBLISHING_REFUSED in kinds(opening)


def test_what_somebody_has_abandoned_by_hand_is_put_out_and_not_burnt(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening, put_out = publishing_of(node), []
    node.open = []
    monkeypatch.setattr(conflicting, "begin", lambda order_id, node, *, reason: put_out.append(reason))
    publishing.publish(opening.order_id, node)  # type: ignore[arg-type]
    assert put_out == ["FAILED_OPENING"] and node.published == []


def test_of_a_funding_that_is_lost_with_our_records_a_person_is_told(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening, put_out = publishing_of(node), []
    WalletTransaction.objects.update(raw=None, state="drafted")
    monkeypatch.setattr(conflicting, "begin", lambda order_id, node, *, reason: put_out.append(reason))
    publishing.publish(opening.order_id, node)  # type: ignore[arg-type]
    assert put_out == ["FUNDING_LOST"] and FlagKind.ZERO_CONF_UNFUNDED in kinds(opening)


# Who takes such channels


def asked(**fields: Any) -> ChannelOrder:
    made: ChannelOrder = OrderFactory(uri_set=True, required_channel_confirmations=0, **fields)
    return made


@pytest.mark.parametrize(("ours", "theirs"), [(frozenset(), BOTH), (frozenset({51}), BOTH), (BOTH, frozenset({47}))])
def test_where_one_of_the_two_nodes_cannot_an_ordinary_channel_is_asked_for(
    node: Node, ours: frozenset[int], theirs: frozenset[int]
) -> None:
    order = asked()
    node.features, node.theirs = ours, theirs
    assert terms.of(order).zero_conf
    assert zero_conf.left_out(order.pk, terms.of(order), node)  # type: ignore[arg-type]
    order = queries.order_or_raise(order.pk)
    assert not terms.of(order).zero_conf and order.due_at is not None
    assert order.events.filter(cause="zero_conf_refused").count() == 1


def test_where_both_can_nothing_is_left_out(node: Node) -> None:
    order = asked()
    assert not zero_conf.left_out(order.pk, terms.of(order), node)  # type: ignore[arg-type]


@pytest.mark.parametrize("reason", ["ZERO_CONF_REJECTED", "CHANNEL_REJECTED", "FEATURE_MISSING", "FAILED_OPENING"])
def test_a_zero_conf_channel_that_is_refused_is_asked_for_as_any_other(node: Node, reason: str) -> None:
    order = asked(failed_openings=7)
    OpeningFactory(order=order, negotiating=True, zero_conf=True, announced=False)
    cancelling.cancel(order.pk, node, reason=reason)  # type: ignore[arg-type]
    order = queries.order_or_raise(order.pk)
    assert (order.state, order.zero_conf_refused_by) == (OrderState.URI_SET, order.node_pubkey)
    assert not terms.of(order).zero_conf and order.failed_openings <= 1
    ChannelOrder.objects.filter(pk=order.pk).update(node_pubkey=pubkey(77))
    assert terms.of(queries.order_or_raise(order.pk)).zero_conf  # another node is asked anew


@pytest.mark.parametrize("reason", ["CHAN_SIZE_TOO_BIG", "PEER_POLICY"])
def test_what_is_refused_for_another_reason_is_no_matter_of_confirmations(node: Node, reason: str) -> None:
    order = asked()
    OpeningFactory(order=order, negotiating=True, zero_conf=True, announced=False)
    cancelling.cancel(order.pk, node, reason=reason)  # type: ignore[arg-type]
    order = queries.order_or_raise(order.pk)
    assert (order.state, order.zero_conf_refused_by) == (OrderState.GIVE_UP, "")


def test_who_did_not_ask_gets_an_ordinary_channel(node: Node) -> None:
    for depth in (None, 1, 6):
        assert not terms.of(OrderFactory(uri_set=True, required_channel_confirmations=depth)).zero_conf


def test_the_doctor_says_which_lines_are_needed() -> None:
    found = checks.zero_conf(frozenset({47}))
    assert "protocol.zero-conf=true" in found.mend and "protocol.option-scid-alias=true" in found.mend
    assert not checks.zero_conf(BOTH).mend
