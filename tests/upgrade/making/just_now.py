"""Orders of this hour, each stopped at another point of its way."""

from __future__ import annotations

from django.core.management import call_command

from simulator.control import FAIL
from tests.upgrade.making.elsewhere import free_all, lease_all
from tests.upgrade.making.long_ago import REFUSAL, UNPUBLISHABLE
from tests.upgrade.making.stage import Stage

NOT_READY = "the RPC server is in the process of starting up, but not yet ready to accept calls"
#: A buyer sent this, and may send it again.
REPEATED = {
    "order": "quoted",
    "key": "before-the-upgrade",
    "body": {"local_balance": 500_000, "remote_balance": 0, "channel_expiry": 4},
}


def play(stage: Stage) -> None:
    """They stay where they are now until the upgrade."""
    in_need_of_blocks(stage)
    waiting(stage)
    being_put_out(stage)
    paid_on_chain(stage)
    held(stage)
    given_up(stage)
    unpaid(stage)
    attempts_cut_short(stage)
    published(stage)
    last(stage)


def in_need_of_blocks(stage: Stage) -> None:
    """A funding lost to another spend of its coin, one put out since its deposit was away, and one not yet deep."""
    stage.due("coin_taken")
    stage.cut("coin_taken", "publish")
    stage.control.mine_only(raw=[stage.rival("coin_taken")])
    stage.mine(5)
    stage.step("coin_taken", times=1)
    stage.waits("coin_taken", "FUNDING_CONFLICT")
    stage.buy("unsecured", peer=stage.customer("unsecured"))
    stage.deposit("unsecured")
    stage.mine(1)
    stage.cut("unsecured", "publish")
    stage.control.reorganise(1, [])
    with stage.set_to(PUBLISH_PATIENCE_SECONDS=0):
        stage.step("unsecured")
    stage.mine(6)
    stage.step("unsecured", times=1)
    stage.waits("unsecured", "PAYMENT_NOT_SECURED")
    stage.due("shallow")
    stage.step("shallow")
    stage.mine(2)
    stage.step("shallow")
    stage.says("shallow", "open")


def waiting(stage: Stage) -> None:
    """Claimed, and waiting for the next attempt."""
    stage.due("offline", {"private": True}, presence="offline")
    stage.due("crowded", {"remote_balance": 50_000}, pending_limit=0)
    stage.due("not_ready")
    stage.step("offline")
    stage.step("crowded")
    stage.control.add_fault("FundingStateStep", FAIL, text=NOT_READY)
    stage.step("not_ready", times=1)  # its outcome is unknown
    stage.step("not_ready", times=1)  # it is cancelled
    stage.waits("offline", "PEER_NOT_REACHABLE")
    stage.waits("crowded", "PEER_TOO_MANY_PENDING_CHANNELS")
    stage.waits("not_ready", "NODE_NOT_READY")
    stage.due("silent")
    stage.cut("silent", "open_channel", after=True)
    stage.step("silent", times=1)
    stage.waits("silent", "FAILED_OPENING")
    stage.due("poor")
    lease_all(stage.node)
    stage.step("poor", times=1)
    free_all(stage.node)
    stage.waits("poor", "INSUFFICIENT_FUNDS")
    stage.says("poor", "uri_set", "The node has not enough deep coins for this channel.")
    stage.due("dear")
    with stage.fees(400_000, 253):
        stage.step("dear", times=1)
    stage.waits("dear", "FEE_TOO_HIGH")
    stage.says("dear", "uri_set", "The funding transaction would cost more than MAX_FUNDING_FEE_SAT.")


def being_put_out(stage: Stage) -> None:
    """Signed fundings that nobody took; the conflict of one is deep, of one was made dearer, of one is too dear."""
    stage.due("conflict_deep")
    stage.cut("conflict_deep", "publish")
    with stage.set_to(PUBLISH_PATIENCE_SECONDS=0):
        stage.control.add_fault("PublishTransaction", FAIL, text=UNPUBLISHABLE)
        stage.step("conflict_deep", times=1)
    stage.mine(6)
    stage.cut("conflict_deep", "cancel_shim")
    for name in ("conflict_rebuilt", "conflict_dear", "publishing_refused"):
        stage.due(name)
        stage.cut(name, "publish")
    with stage.set_to(PUBLISH_PATIENCE_SECONDS=0):
        stage.control.add_fault("PublishTransaction", FAIL, text=UNPUBLISHABLE)
        stage.cut("conflict_rebuilt", "publish", number=2)
        with stage.fees(30_000, 20_000):
            stage.step("conflict_rebuilt", times=1)
        with stage.fees(400_000, 300_000):
            stage.step("conflict_dear")
    with stage.fees(30_000, 20_000):
        stage.step("publishing_refused")
    stage.control.evict(stage.conflict_txid("conflict_rebuilt"))
    stage.says("conflict_dear", "opening", "A funding is to be put out, but the fees are above MAX_FUNDING_FEE_SAT.")
    stage.says("publishing_refused", "opening", "The node refuses the funding transaction: fee_too_low.")


def paid_on_chain(stage: Stage) -> None:
    """Paid on chain and not claimed."""
    stage.deposited("deposits_over", more_sat=700)
    stage.says("deposits_over", "paid", "Deposits are 700 sat more than was owed.")
    stage.deposited("no_invoice", product_id=stage.services["onchain"])
    stage.buy("two_rails")
    stage.deposit("two_rails")
    stage.mine(1)
    stage.cut("two_rails", "cancel_invoice")


def held(stage: Stage) -> None:
    """Paid by Lightning and not claimed; some more than was owed."""
    for name in ("held", "held_unclaimed", "taken_back", "returning", "defect", "both_rails"):
        stage.held(name)
    stage.held("held_over", more_sat=500)
    stage.says("held_over", "paid", "The Lightning payment is 500 sat too much.")
    stage.claim("taken_back")
    stage.lnurl("taken_back", cancel=1)
    stage.deed("returning", "cancel")
    stage.break_at("defect", "invoice")
    stage.says("defect", "paid", "A defect of the server keeps this order: its log says which.")
    for amount_sat in (1_000, 2_000):  # the flag has one place: the second word takes that of the first
        stage.control.deposit((stage.quotes["both_rails"]["btc_address"], amount_sat))
        stage.look()
    stage.says("both_rails", "paid", "Paid by Lightning, and 3000 sat arrived on chain besides.")


def given_up(stage: Stage) -> None:
    """Within the grace, on the way back, and tried again."""
    for name in ("gave_up", "gave_up_returning", "retried"):
        stage.due(name, refusal=REFUSAL)
        stage.step(name)
        stage.says(name, "give_up")
    stage.deed("gave_up_returning", "cancel")
    call_command("retry_give_up", order=[stage.quotes["retried"]["order_id"]])


def attempts_cut_short(stage: Stage) -> None:
    """The process died before the point of no return; others wait for what it left."""
    for name, at, after in (
        ("negotiating", "open_channel", True),
        ("funded", "verify_psbt", False),
        ("funded_pending", "verify_psbt", True),
        ("cancelling", "verify_psbt", False),
    ):
        stage.due(name)
        stage.cut(name, at, after=after)
    stage.cut("cancelling", "cancel_shim")
    stage.buy("peer_busy", peer=stage.customer("negotiating"))
    stage.pay("peer_busy")
    stage.step("peer_busy")
    stage.waits("peer_busy", "PEER_BUSY")
    private = {"product_id": stage.services["private"]}
    stage.due("lsp_busy", private)
    with stage.set_to(PARALLEL_OPENINGS=1):
        stage.step("lsp_busy")
    stage.waits("lsp_busy", "LSP_BUSY")
    stage.due("paused", private | {"private": False})


def published(stage: Stage) -> None:
    """Past the point of no return."""
    for name in ("publishing", "publishing_unheard", "published", "unsettled", "invoice_unknown", "settled"):
        stage.due(name)
    stage.cut("publishing", "publish")
    stage.cut("publishing_unheard", "publish", after=True)
    for name in ("published", "unsettled", "invoice_unknown"):
        stage.cut(name, "settle_invoice")
    stage.step("settled")
    stage.control.add_fault("SettleInvoice", FAIL, text="invoice still open", times=0)
    stage.step("unsettled")
    stage.control.end_faults()
    stage.says("unsettled", "opening", "The node does not settle the held payment: see whether PREIMAGE_KEY is the")


def unpaid(stage: Stage) -> None:
    """Quoted; one paid too little, one took it back, of one a reorganisation has. No block comes after this."""
    stage.buy("quoted", key=str(REPEATED["key"]))
    stage.buy("quoted_unpaid")
    stage.buy("expiring")
    stage.clock_is_ahead("expiring")
    stage.cut("expiring", "cancel_invoice")
    stage.buy("cancelled_unpaid")
    stage.deed("cancelled_unpaid", "cancel")
    stage.buy("underpaid")
    stage.deposit("underpaid", more_sat=-900)
    stage.mine(1)
    stage.buy("replaced")
    txid = stage.deposit("replaced", replaceable=True)
    stage.look()
    stage.control.replace(txid)
    stage.look()
    stage.deposited("deposit_reorganised")
    stage.control.reorganise(1, [])
    stage.look()
    stage.says("deposit_reorganised", "paid", "A deposit that counted was taken back by a reorganisation.")


def last(stage: Stage) -> None:
    """What the next look would change."""
    stage.buy("deposit_seen", peer=stage.customer("deposit_seen"))
    stage.deposit("deposit_seen")
    stage.look()
    stage.step("unmined")
    stage.says("unmined", "opening", "The funding transaction stays unmined, although it was published and bumped.")
    stage.control.close_channel(stage.point("closing"))
    stage.step("closing")
    stage.says("closing", "closing")
    stage.forget_invoice("invoice_unknown")
    stage.step("invoice_unknown")
    stage.says("invoice_unknown", "opening", "The node does not know the invoice of the payment that it holds")
