"""Orders of a month ago: delivered, given back, expired, and some that have waited for a person ever since."""

from __future__ import annotations

from typing import Any

from orders import keys
from simulator.control import FAIL
from tests.upgrade.making.elsewhere import ELSEWHERE
from tests.upgrade.making.stage import DAY, HOUR, Stage

REFUSAL = "no channels today"
#: Each stops a funding or a conflict from being published, for good or until the fees fall.
UNPUBLISHABLE = "dust"


def play(stage: Stage) -> None:
    """They stay where they are now until the upgrade."""
    double_spent(stage)
    mined_after_all(stage)
    adopted(stage)
    opened(stage)
    moved_by_a_reorganisation(stage)
    bumped(stage)
    unpaid(stage)
    closed(stage)
    without_a_usable_channel(stage)
    paid_on_chain(stage)
    given_back(stage)
    settled_by_hand(stage)
    never_paid(stage)
    stage.age(31 * DAY)
    stage.step("forgotten")
    stage.says("forgotten", "paid", "Paid on chain and never claimed.")
    stage.mine(150)
    stage.step("inactive")
    stage.says("inactive", "opening", "The channel has been mined for a day and is not active.")


def to_open(stage: Stage, *names: str) -> None:
    """Claimed orders have their channels, and their fundings are deep."""
    for name in names:
        stage.step(name)
    stage.mine(6)
    for name in names:
        stage.step(name)
        stage.says(name, "open")


def double_spent(stage: Stage) -> None:
    """Open, until a reorganisation puts another spend of a coin in the place of its funding."""
    stage.due("double_spent")
    stage.step("double_spent")
    rival = stage.rival("double_spent")
    stage.mine(1)
    stage.step("double_spent")
    stage.says("double_spent", "open")
    stage.control.reorganise(1, [rival])
    stage.mine(6)
    stage.step("double_spent")
    stage.says("double_spent", "open", "The funding of this order's channel was double-spent.")


def mined_after_all(stage: Stage) -> None:
    """The funding was to be put out, but somebody else had it, and a miner took it."""
    name = "mined_after_all"
    stage.due(name)
    stage.cut(name, "publish")
    with stage.set_to(PUBLISH_PATIENCE_SECONDS=0):
        stage.control.add_fault("PublishTransaction", FAIL, text=UNPUBLISHABLE)
        stage.cut(name, "publish", number=2)
    funding = stage.live(name).transaction
    assert funding is not None
    stage.node.publish(bytes(funding.raw or b""), label=funding.label)
    stage.mine(6)
    stage.step(name)
    stage.says(name, "open", "The funding was mined although we had put it out: see whether it was paid.")


def adopted(stage: Stage) -> None:
    """The database was put back to the claim; what the node had was taken over."""
    stage.due("adopted")
    with stage.put_back("adopted"):
        stage.cut("adopted", "settle_invoice")
    to_open(stage, "adopted")


def opened(stage: Stage) -> None:
    """Claim, purchase and service each decide whether the channel is public."""
    private: Any = {"product_id": stage.services["private"]}
    stage.held("by_service_public")
    stage.held("by_service_private", **private)
    stage.held("by_purchase_public", **private, private=False, remote_balance=50_000)
    stage.held("by_claim_public", **private, private=True)
    stage.claim("by_service_public")
    stage.claim("by_service_private")
    stage.claim("by_purchase_public")
    stage.claim("by_claim_public", private=False)
    stage.claim("by_claim_public", host="127.0.0.1:1")
    stage.claim("by_claim_public")  # a better address, and back
    stage.held("by_purchase_private", peer=stage.customer("by_purchase_private"), private=True)
    stage.deposited("by_claim_private", private=False)
    stage.lnurl("by_claim_private", private=1)
    to_open(stage, *(name for name in stage.quotes if name.startswith("by_")))


def moved_by_a_reorganisation(stage: Stage) -> None:
    """Its funding was mined, and mined again in another block."""
    name = "moved"
    stage.due(name)
    stage.step(name)
    stage.mine(1)
    stage.step(name)
    stage.control.reorganise(1, [])
    stage.step(name)
    to_open(stage, name)


def bumped(stage: Stage) -> None:
    """Its funding stayed unmined for hours, and a child paid for both."""
    stage.due("bumped")
    stage.step("bumped")
    stage.age(3 * HOUR)
    to_open(stage, "bumped")


def unpaid(stage: Stage) -> None:
    """The node gave the payment back when the funding was published."""
    stage.due("unpaid")
    stage.cut("unpaid", "settle_invoice")
    stage.node.cancel_invoice(keys.payment_hash(stage.order("unpaid").pk))
    to_open(stage, "unpaid")
    stage.says("unpaid", "open", "The funding is published but the node had returned the payment: this channel is")


def closed(stage: Stage) -> None:
    """One is closed, one will be closing at the end."""
    for name in ("closed", "closing"):
        stage.due(name)
    to_open(stage, "closed", "closing")
    stage.control.close_channel(stage.point("closed"))
    stage.step("closed")
    stage.says("closed", "closing")
    stage.mine(3)
    stage.step("closed")
    stage.says("closed", "closed")


def without_a_usable_channel(stage: Stage) -> None:
    """Funded, but the customer went away; of one the node has lost the channel, one was closed like that."""
    names = ("inactive", "channel_unknown", "closed_unused")
    for name in names:
        stage.due(name)
        stage.step(name)
        stage.customer(name, presence="offline")
    stage.mine(6)
    for name in names:
        stage.step(name)
        stage.says(name, "opening")
    txid, _, index = stage.point("channel_unknown").partition(":")
    stage.network.lsp.look(lambda world: world.channels.by_point.pop((txid, int(index))))
    stage.control.close_channel(stage.point("closed_unused"), "REMOTE_FORCE_CLOSE")
    stage.mine(3)
    stage.step("channel_unknown")
    stage.says("channel_unknown", "opening", "The funding is mined, but the node does not know the channel.")
    stage.step("closed_unused")
    stage.says("closed_unused", "closed", "The channel closed before it was ever usable.")


def paid_on_chain(stage: Stage) -> None:
    """Of four that paid on chain nobody got a channel."""
    stage.deposited("forgotten")
    stage.deposited("rejected", refund_onchain_address=ELSEWHERE)
    stage.deposited("returned_by_hand")
    stage.deposited("given_up_onchain", peer=stage.customer("given_up_onchain", refusal=REFUSAL))
    stage.says("given_up_onchain", "give_up", "Gave up (CHANNEL_REJECTED) with the buyer's money: retry, or return it.")
    for name in ("rejected", "returned_by_hand"):
        stage.deed(name, "cancel")
        stage.says(name, "rejected", "Cancelled; the buyer's money is with us and is to be returned.")
    stage.deed("returned_by_hand", "record_returned")
    stage.says("returned_by_hand", "refunded")


def given_back(stage: Stage) -> None:
    """Held payments that went back, each for another reason."""
    stage.held("refunded_unclaimed")
    stage.held("refunded_cancelled")
    stage.held("refunded_by_node")
    stage.due("refunded_refused", refusal=REFUSAL)
    stage.step("refunded_refused")
    stage.says("refunded_refused", "give_up")
    stage.deed("refunded_cancelled", "cancel")
    stage.node.cancel_invoice(keys.payment_hash(stage.order("refunded_by_node").pk))
    stage.age(7 * HOUR)
    for name in [name for name in stage.quotes if name.startswith("refunded_")]:
        stage.step(name)
        stage.says(name, "refunded")


def settled_by_hand(stage: Stage) -> None:
    """Somebody settled the payment at the node while we gave it back."""
    name = "settled_by_hand"
    stage.due(name, refusal=REFUSAL)
    stage.step(name)
    stage.age(HOUR)
    stage.cut(name, "cancel_invoice")
    stage.node.settle_invoice(keys.preimage(stage.order(name).pk))
    stage.step(name)
    stage.says(name, "give_up", "The Lightning payment was settled at the node although it was to be returned.")


def never_paid(stage: Stage) -> None:
    """Expired, with nothing paid, too little, or too late; one of those was accepted after all."""
    late = ("paid_late", "revived", "late_and_seen")
    for name in ("expired", "expired_cancelled", "expired_by_node", "underpaid_ended", *late):
        stage.buy(name)
    stage.deed("expired_cancelled", "cancel")
    stage.node.cancel_invoice(keys.payment_hash(stage.order("expired_by_node").pk))
    stage.step("expired_by_node", times=1)
    stage.deposit("underpaid_ended", more_sat=-900)
    stage.mine(1)
    stage.age(2 * HOUR)
    for name in ("expired", "expired_cancelled", "expired_by_node", "underpaid_ended", *late):
        stage.step(name)
        stage.says(name, "expired")
    stage.says("underpaid_ended", "expired", "sat on chain: return them, or revive the order.")
    for name in late:
        stage.deposit(name)
    stage.mine(1)
    for name in late:
        stage.says(name, "expired", "sat arrived on chain after the order had ended.")
    stage.deed("revived", "revive")
