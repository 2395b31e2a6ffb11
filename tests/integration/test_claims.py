"""Who may claim, and who may change a claim that stands: the buyer, not whoever has seen the order's id."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from lightning.types import NodeAddress
from orders import actors, keys
from orders.errors import ClaimStands, NotAllowed, NotClaimable
from orders.models import ChannelOrder
from orders.openings import opening, terms
from orders.openings.reasons import CALLS_STAFF, NOT_ITS_FAULT, PEERS_FAULT
from orders.openings.retrying import postpone
from orders.operations import claiming
from tests.factories import OpeningFactory, OrderFactory, pubkey
from tests.integration.conftest import Api

PATH = "/channel/manual_finalise"
HOST = "198.51.100.7:9735"
OTHER_HOST = "203.0.113.9:9736"

pytestmark = pytest.mark.django_db


def ask(api: Api, order: ChannelOrder, node: str = "", **more: Any) -> Any:
    return api.post(PATH, {"order_id": str(order.pk), "node_uri": node or order.node_pubkey, **more})


def token_of(order: ChannelOrder) -> dict[str, str]:
    return {"order_token": keys.order_token(order.pk)}


def refused(answer: Any, field: str) -> bool:
    return (answer.status_code, answer.said["code"], answer.said["field"]) == (409, "not_claimable", field)


def causes(order: ChannelOrder) -> list[tuple[str, str]]:
    return list(order.events.order_by("version").values_list("cause", "actor"))


def fresh(order: ChannelOrder) -> ChannelOrder:
    return ChannelOrder.objects.get(pk=order.pk)


# Another node


def test_found_b1_a_claim_that_stands_is_not_replaced_by_who_knows_the_id_alone(api: Api) -> None:
    order = OrderFactory(uri_set=True)
    answer = ask(api, order, pubkey(666))
    assert refused(answer, "order_token")
    assert "order_token" in answer.said["error"]
    assert fresh(order).node_pubkey == order.node_pubkey and causes(order) == []


def test_the_token_replaces_it_and_the_journal_says_so(api: Api) -> None:
    order = OrderFactory(uri_set=True)
    assert ask(api, order, pubkey(5), **token_of(order)).status_code == 200
    assert fresh(order).node_pubkey == pubkey(5)
    assert causes(order) == [("claimed", "buyer:token")]


def test_a_first_claim_needs_no_token_and_takes_one(api: Api) -> None:
    for token, actor in ((None, "buyer"), ("", "buyer"), ("its own", "buyer:token")):
        order = OrderFactory(paid_lightning=True)
        shown = keys.order_token(order.pk) if token == "its own" else token
        assert ask(api, order, pubkey(5), order_token=shown).status_code == 200
        assert causes(order) == [("claimed", actor)]


def test_a_wrong_token_is_refused_whatever_it_is_shown_for(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    order, other = OrderFactory(paid_lightning=True), OrderFactory(paid_lightning=True)
    for wrong in (keys.order_token(other.pk), "x", "ü", "\ud800", keys.order_token(order.pk)[:-1]):
        answer = ask(api, order, pubkey(5), order_token=wrong)
        assert (answer.status_code, answer.said["code"], answer.said["field"]) == (403, "wrong_token", "order_token")
        assert wrong not in answer.content.decode(errors="replace") or len(wrong) < 2
    assert fresh(order).state == "paid"
    assert keys.order_token(other.pk) not in caplog.text


@pytest.mark.parametrize("token", [5, True, ["x"], {"a": 1}, "x" * 201])
def test_what_is_no_token_is_refused_and_named(api: Api, token: Any) -> None:
    answer = ask(api, OrderFactory(paid_lightning=True), pubkey(5), order_token=token)
    assert (answer.status_code, answer.said["field"]) == (400, "order_token")


@pytest.mark.parametrize("reason", sorted(PEERS_FAULT))
def test_once_its_node_has_failed_an_attempt_the_id_is_enough(api: Api, reason: str) -> None:
    order = OrderFactory(uri_set=True)
    OpeningFactory(order=order, failed=True, failure_reason=reason)
    assert ask(api, order, pubkey(5)).status_code == 200
    assert causes(order) == [("claimed", "buyer")]


@pytest.mark.django_db(transaction=True)
def test_once_its_node_was_not_reached_the_id_is_enough(api: Api) -> None:
    order = OrderFactory(uri_set=True)
    postpone(order.pk, "PEER_NOT_REACHABLE", "nobody answered")
    assert ask(api, order, pubkey(5)).status_code == 200


#: Ours, or what others bring about: by keeping our node or the buyer's busy, or by waiting for a restart.
_OURS = {"PAYMENT_NOT_SECURED", "FUNDING_CONFLICT", "FAILED_OPENING", "PEER_TOO_MANY_PENDING_CHANNELS"}


@pytest.mark.parametrize("reason", sorted({*NOT_ITS_FAULT, *CALLS_STAFF, *_OURS}))
def test_what_is_not_the_nodes_fault_opens_the_claim_to_nobody(api: Api, reason: str) -> None:
    """A stranger brings it about, and would then take the order."""
    order = OrderFactory(uri_set=True, last_failure_reason=reason, failed_openings=3)
    OpeningFactory(order=order, failed=True, failure_reason=reason)
    assert refused(ask(api, order, pubkey(666)), "order_token")


def test_what_an_earlier_node_has_failed_opens_no_later_claim(api: Api) -> None:
    order = OrderFactory(uri_set=True)
    earlier = timezone.now() - timedelta(hours=1)
    OpeningFactory(order=order, failed=True, failure_reason="CHANNEL_REJECTED", created_at=earlier)
    assert refused(ask(api, order, pubkey(666)), "order_token")


def test_a_failed_attempt_is_forgotten_with_the_claim(api: Api) -> None:
    order = OrderFactory(uri_set=True, last_failure_reason="PEER_NOT_REACHABLE")
    OpeningFactory(order=order, failed=True)
    assert ask(api, order, pubkey(5)).status_code == 200
    assert refused(ask(api, order, pubkey(666)), "order_token")


@pytest.mark.parametrize("trait", ["refunded", "rejected", "expired"])
def test_an_order_that_is_over_is_not_said_to_be_claimed(api: Api, trait: str) -> None:
    order = OrderFactory(**{trait: True}, node_pubkey=pubkey(5), claimed_at=timezone.now())
    assert refused(ask(api, order, pubkey(5), **token_of(order)), "order_id")


# An order that gave up


@pytest.mark.parametrize("change", [{"node": pubkey(77)}, {"host": OTHER_HOST}, {"private": False}])
def test_an_order_that_gave_up_is_claimed_anew_while_its_money_is_with_us(api: Api, change: dict[str, Any]) -> None:
    order = OrderFactory(give_up=True, give_up_reason="PEER_NOT_REACHABLE", announced_by_claim=False)
    node = f"{change.get('node', order.node_pubkey)}@{change.get('host', HOST)}"
    more = {"private": change["private"]} | token_of(order) if "private" in change else {}
    assert ask(api, order, node, **more).status_code == 200
    now = fresh(order)
    assert (now.state, now.give_up_reason, now.give_up_until) == ("uri_set", "", None)
    assert now.open_deadline_at is not None and now.open_deadline_at > timezone.now()


def test_an_order_that_gave_up_for_our_sake_is_claimed_anew_by_its_token_alone(api: Api) -> None:
    """Who has seen the id must not have the channel, because our coins were short."""
    order = OrderFactory(give_up=True, give_up_reason="INSUFFICIENT_FUNDS", last_failure_reason="INSUFFICIENT_FUNDS")
    order.openings.update(failure_reason="INSUFFICIENT_FUNDS")
    assert refused(ask(api, order, f"{pubkey(77)}@{HOST}"), "order_token")
    assert ask(api, order, f"{pubkey(77)}@{HOST}", **token_of(order)).status_code == 200


def test_who_has_the_id_alone_makes_no_channel_of_an_order_that_gave_up_public(api: Api) -> None:
    order = OrderFactory(give_up=True, give_up_reason="PEER_NOT_REACHABLE", announced_by_claim=False)
    assert refused(ask(api, order, f"{order.node_pubkey}@{OTHER_HOST}", private=False), "order_token")


@pytest.mark.parametrize(
    "changes",
    [{"give_up_reason": "COINS_PROMISED_ELSEWHERE"}, {"give_up_reason": "CANCELLED"}, {"invoice__state": "returning"}],
)
def test_an_order_whose_money_goes_back_is_not_claimed_anew(api: Api, changes: dict[str, Any]) -> None:
    order = OrderFactory(give_up=True, **changes)
    assert ask(api, order, f"{pubkey(77)}@{HOST}").status_code == 409
    assert fresh(order).state == "give_up"


# The same node


@pytest.mark.parametrize("trait", ["uri_set", "opening", "open", "closing", "closed", "give_up"])
def test_the_same_claim_again_is_fine_for_everybody(api: Api, trait: str) -> None:
    order = OrderFactory(**{trait: True})
    for node in (order.node_pubkey, f"{order.node_pubkey}@{HOST}"):
        assert ask(api, order, node).status_code == 200
    assert ask(api, order).said == {"order_id": str(order.pk), "node_uri": order.node_pubkey}
    assert causes(order) == []


@pytest.mark.parametrize("change", [{"host": OTHER_HOST}, {"private": True}, {"private": False}])
def test_details_of_a_claim_are_the_buyers_too(api: Api, change: dict[str, Any]) -> None:
    """Who names a host where nobody is makes the node fail, and would then take the order."""
    order = OrderFactory(uri_set=True)
    node, more = f"{order.node_pubkey}@{change.get('host', HOST)}", {k: v for k, v in change.items() if k != "host"}
    assert refused(ask(api, order, node, **more), "order_token")
    assert ask(api, order, node, **more, **token_of(order)).status_code == 200
    assert causes(order) == [("claim_detailed", "buyer:token")]
    assert ask(api, order, node, **more).status_code == 200  # the same again
    now = fresh(order)
    assert now.node_host == change.get("host", HOST)
    assert now.announced_by_claim is (None if "host" in change else not change["private"])


def test_found_d3_a_correction_of_an_unpaid_order_is_acted_on(api: Api) -> None:
    order = OrderFactory(node_pubkey=pubkey(5), node_host=HOST)
    node = f"{pubkey(5)}@{OTHER_HOST}"
    assert refused(ask(api, order, node, private=True), "order_token")
    assert ask(api, order, node, private=True, **token_of(order)).status_code == 200
    now = fresh(order)
    assert (now.state, now.node_host, now.announced_by_claim) == ("created", OTHER_HOST, False)
    assert causes(order) == [("claim_detailed", "buyer:token")]


def test_found_d3_what_is_being_opened_as_public_is_not_said_to_be_private(api: Api) -> None:
    order = OrderFactory(uri_set=True)
    OpeningFactory(order=order, negotiating=True, announced=True)
    assert refused(ask(api, order, private=True, **token_of(order)), "order_id")
    assert fresh(order).announced_by_claim is None


def test_found_d3_while_an_attempt_is_live_a_new_host_is_kept_for_the_next(api: Api) -> None:
    order = OrderFactory(uri_set=True)
    attempt = OpeningFactory(order=order, negotiating=True)
    assert ask(api, order, f"{order.node_pubkey}@{OTHER_HOST}", **token_of(order)).status_code == 200
    assert fresh(order).node_host == OTHER_HOST
    attempt.refresh_from_db()
    assert attempt.node_host == HOST


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("change", [{"host": OTHER_HOST}, {"private": False}])
def test_found_d3_a_correction_while_the_node_is_being_reached_counts_for_this_attempt(
    api: Api, change: dict[str, Any]
) -> None:
    """Reaching a peer takes a while: what was accepted meanwhile must not be opened as it was before."""
    order = OrderFactory(uri_set=True, last_failure_reason="PEER_NOT_REACHABLE")
    wanted = terms.of(order)
    node, more = f"{order.node_pubkey}@{change.get('host', HOST)}", {k: v for k, v in change.items() if k != "host"}
    assert ask(api, order, node, **more, **token_of(order)).status_code == 200
    assert opening._intend(order.pk, wanted) is None
    begun = opening._intend(order.pk, terms.of(fresh(order)))
    assert begun is not None and (begun.node_host, begun.announced) == (change.get("host", HOST), "private" in change)


@pytest.mark.parametrize("trait", ["opening", "open", "closing", "closed"])
@pytest.mark.parametrize("change", [{"host": OTHER_HOST}, {"private": False}])
def test_found_d3_a_correction_that_comes_too_late_is_refused(api: Api, trait: str, change: dict[str, Any]) -> None:
    order = OrderFactory(**{trait: True}, attempts__announced=False)
    node, more = f"{order.node_pubkey}@{change.get('host', HOST)}", {k: v for k, v in change.items() if k != "host"}
    answer = ask(api, order, node, **more, **token_of(order))
    assert refused(answer, "order_id") and "too late" in answer.said["error"]
    assert ask(api, order, f"{order.node_pubkey}@{HOST}", private=True).status_code == 200  # as it is


def test_a_correction_starts_the_next_attempt_at_once(api: Api) -> None:
    later = timezone.now() + timedelta(hours=1)
    order = OrderFactory(uri_set=True, due_at=later, last_failure_reason="PEER_NOT_REACHABLE")
    assert ask(api, order, f"{order.node_pubkey}@{OTHER_HOST}").status_code == 200
    due_at = fresh(order).due_at
    assert due_at is not None and due_at < later


# What the id alone never does, whatever the node has failed


def test_a_private_channel_is_not_made_public_by_the_id_alone(api: Api) -> None:
    order = OrderFactory(uri_set=True, announced_by_claim=False, last_failure_reason="PEER_NOT_REACHABLE")
    assert refused(ask(api, order, private=False), "order_token")
    assert fresh(order).announced_by_claim is False
    assert ask(api, order, private=False, **token_of(order)).status_code == 200


def test_a_public_one_is_made_private(api: Api) -> None:
    order = OrderFactory(uri_set=True, announced_by_claim=True, last_failure_reason="PEER_NOT_REACHABLE")
    assert ask(api, order, private=True).status_code == 200


def test_the_payment_of_a_buyer_who_sleeps_is_not_sent_back_by_the_id_alone() -> None:
    """After the claim window who takes the claim back ends the sale."""
    late = timezone.now() - timedelta(minutes=1)
    order = OrderFactory(uri_set=True, last_failure_reason="PEER_NOT_REACHABLE", claim_expires_at=late)
    with pytest.raises(ClaimStands):
        claiming.unclaim(order.pk, actor=actors.BUYER)
    claiming.unclaim(order.pk, actor=actors.buyer(order.pk, keys.order_token(order.pk)))
    assert fresh(order).state == "paid"


def test_within_the_window_the_id_takes_back_what_the_node_has_failed() -> None:
    order = OrderFactory(uri_set=True, last_failure_reason="PEER_NOT_REACHABLE")
    claiming.unclaim(order.pk, actor=actors.BUYER)
    assert fresh(order).state == "paid"


def test_who_has_the_id_alone_uses_up_none_of_the_buyers_changes(api: Api) -> None:
    order = OrderFactory(uri_set=True, last_failure_reason="PEER_NOT_REACHABLE")
    for number in range(claiming.MOST_CHANGES):
        assert ask(api, order, f"{order.node_pubkey}@198.51.100.8:{10_000 + number}").status_code == 200
    assert refused(ask(api, order, f"{order.node_pubkey}@{OTHER_HOST}"), "order_id")
    assert ask(api, order, f"{order.node_pubkey}@{OTHER_HOST}", **token_of(order)).status_code == 200


# Whoever asks by another door


def test_a_node_claims_for_itself_and_takes_its_own_claim_back() -> None:
    order = OrderFactory(paid_lightning=True)
    mine, another = actors.node(pubkey(5)), actors.node(pubkey(6))
    with pytest.raises(NotAllowed):
        claiming.claim(order.pk, NodeAddress(pubkey(5)), announced=None, actor=another)
    claiming.claim(order.pk, NodeAddress(pubkey(5)), announced=None, actor=mine)
    with pytest.raises(NotClaimable):
        claiming.claim(order.pk, NodeAddress(pubkey(6)), announced=None, actor=another)
    with pytest.raises(NotClaimable):
        claiming.unclaim(order.pk, actor=another)
    claiming.unclaim(order.pk, actor=mine)
    assert causes(order) == [("claimed", f"node:{pubkey(5)}"), ("claim_taken_back", f"node:{pubkey(5)}")]
