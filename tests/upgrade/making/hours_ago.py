"""Orders of some hours ago that are stuck, each somewhere else; and a database that was put back."""

from __future__ import annotations

from orders import keys
from simulator.control import FAIL
from tests.upgrade.making.elsewhere import send_away
from tests.upgrade.making.stage import HOUR, Stage

OTHER_KEY = "5a" * 32
NO_TABLE_KNOWS = "a sentence that no table knows"


def play(stage: Stage) -> None:
    """They stay where they are now until the upgrade."""
    deposit_vanished(stage)
    sent_back(stage)
    other_key(stage)
    put_back(stage)
    unadoptable(stage)
    funding_lost(stage)
    conflicting(stage)
    stuck_before_the_peer_signed(stage)
    stage.due("unmined")
    stage.step("unmined")
    stage.control.evict(stage.funding_txid("unmined"))
    stage.due("funded_old")
    stage.cut("funded_old", "verify_psbt", after=True)
    stage.buy("overdue")
    stage.age(7 * HOUR)
    after_hours(stage)


def after_hours(stage: Stage) -> None:
    """What only shows when time has passed."""
    stage.control.add_fault("FundingStateStep", FAIL, text=NO_TABLE_KNOWS, times=0)
    stage.step("stuck")
    stage.control.end_faults()
    stage.says("stuck", "uri_set", "An attempt to open stays cancelling: OutcomeUnknown.")
    stage.step("put_back_paid")
    stage.says("put_back_paid", "paid", "The node has a channel or funding of this order that our records do not know.")


def deposit_vanished(stage: Stage) -> None:
    """Paid on chain, until a reorganisation had the buyer's double spend, and the node was started anew."""
    name = "deposit_vanished"
    stage.buy(name)
    txid = stage.deposit(name)
    rival = stage.control.rival_of(txid)
    stage.mine(1)
    stage.step(name)
    stage.control.reorganise(1, [rival])
    stage.look()
    stage.says(name, "paid", "A deposit that counted was taken back by a reorganisation.")
    stage.restart_node()
    stage.look()
    stage.says(name, "paid", "A deposit that counted is not in the node's wallet any more.")


def sent_back(stage: Stage) -> None:
    """The wallet has sent the buyer's money back, and our records do not know."""
    stage.deposited("sent_back")
    send_away(stage.node, stage.quotes["sent_back"])
    stage.mine(1)
    stage.claim("sent_back")
    stage.step("sent_back")
    stage.says("sent_back", "uri_set", "The wallet has sent this order's money back: it is not opened.")


def other_key(stage: Stage) -> None:
    """Sold by a server with another key: nobody here knows the preimage."""
    with stage.set_to(PREIMAGE_KEY=OTHER_KEY):
        stage.due("other_key")
    stage.step("other_key")
    stage.says("other_key", "uri_set", "PREIMAGE_KEY is not the one this order was sold with")


def put_back(stage: Stage) -> None:
    """The node has published the fundings; our records know of no attempt, and of one not even the claim."""
    stage.due("put_back")
    with stage.put_back("put_back"):
        stage.cut("put_back", "settle_invoice")
    stage.held("put_back_paid")
    with stage.put_back("put_back_paid"):
        stage.claim("put_back_paid")
        stage.cut("put_back_paid", "settle_invoice")


def unadoptable(stage: Stage) -> None:
    """All that is left of the attempt is a channel at the node, waiting for a funding that nobody has."""
    name = "unadoptable"
    stage.due(name)
    with stage.put_back(name):
        stage.cut(name, "verify_psbt", after=True)
    stage.release(name)
    stage.step(name)
    stage.says(name, "uri_set", "The node has a channel or funding of this order that cannot be adopted.")


def funding_lost(stage: Stage) -> None:
    """Its coin is still leased, so the lost funding is put out: the conflict is signed, not published."""
    name = "funding_lost"
    stage.due(name)
    with stage.put_back(name):
        stage.cut(name, "verify_psbt", after=True)
    stage.cut(name, "publish")
    stage.says(name, "opening")


def conflicting(stage: Stage) -> None:
    """The node gave the payment back before the funding was published: the conflict is signed, not published."""
    name = "conflicting"
    stage.due(name)
    stage.cut(name, "publish")
    stage.node.cancel_invoice(keys.payment_hash(stage.order(name).pk))
    stage.cut(name, "publish")
    stage.says(name, "opening")


def stuck_before_the_peer_signed(stage: Stage) -> None:
    """Its attempt is being taken back, and was not for hours."""
    stage.due("stuck")
    stage.cut("stuck", "verify_psbt")
    stage.cut("stuck", "cancel_shim")
