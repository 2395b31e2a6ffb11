"""Why: of the journal's rows, of flags, of pauses. No decision rests on the words that go with them. No I/O."""

from __future__ import annotations

from typing import Final

from django.db import models


class Cause(models.TextChoices):
    """What a row of the journal tells; the label is its meaning."""

    QUOTED = "quoted", "a buyer was told the price"
    EXPIRED = "expired", "it was not paid in time"
    OUTPRICED = "outpriced", "its deposits were deep too late, when chain fees had risen too far"
    CANCELLED = "cancelled", "staff have cancelled it"

    LIGHTNING_PAYMENT_HELD = "lightning_payment_held", "the node holds the whole Lightning payment"
    PARTS_GATHERED = "parts_gathered", "the node holds a payment on its way to the buyer, who gets a channel for it"
    PARTS_PASSED_ON = "parts_passed_on", "the payment goes on to the buyer over the new channel, less our fee"
    PARTS_FAILED = "parts_failed", "the payment goes back to its payer, whose node may try again"
    PAYMENT_NOT_TAKEN = "payment_not_taken", "the buyer's node has not taken the payment, and it is back with its payer"
    ONCHAIN_PAYMENT_CONFIRMED = "onchain_payment_confirmed", "deposits that are deep enough cover it"
    LATE_PAYMENT_ACCEPTED = "late_payment_accepted", "staff have taken a late payment for it"
    DEPOSIT_SEEN = "deposit_seen", "a deposit is on its way, or was taken back out of a block"
    DEPOSIT_CONFIRMED = "deposit_confirmed", "a deposit is in a block"
    DEPOSIT_VANISHED = "deposit_vanished", "a deposit was replaced or double-spent"
    DEPOSIT_RIVALLED = "deposit_rivalled", "a block has what spends the coins of a deposit that counted"
    DEPOSIT_DOUBLE_SPENT = "deposit_double_spent", "what had paid it was double-spent, deep: it was not paid"
    PAYMENT_SETTLED = "payment_settled", "the Lightning payment is ours"
    PAYMENT_LOST = "payment_lost", "the payment of a funding that is published is gone: returned, or double-spent"
    CREDIT_GIVEN = "credit_given", "deposits in no block cover it, and are taken for paid: within the bounds for that"
    CREDIT_REDEEMED = "credit_redeemed", "what was taken in no block is deep"
    CREDIT_ENDED = "credit_ended", "what was taken in no block is gone, or buys nothing: nothing was delivered for it"

    PAYMENT_RETURNING = "payment_returning", "the Lightning payment is to go back"
    PAYMENT_KEPT = "payment_kept", "it does not go back after all: the node has a channel of the order"
    PAYMENT_RETURNED = "payment_returned", "the Lightning payment is back with the buyer"
    INVOICE_CANCELLED = "invoice_cancelled", "the invoice can be paid no more; nothing was held"
    PAYMENT_NOT_SECURED = "payment_not_secured", "it goes back: the hold runs out too soon, or is gone"
    NEVER_CLAIMED = "never_claimed", "it goes back: nobody named a node in time"
    OTHER_RAIL_PAID = "other_rail_paid", "it goes back: the order was paid otherwise"
    GAVE_WAY = "gave_way", "our coins went to somebody who pays, or whose node is reached"
    NODE_CANCELLED = "node_cancelled", "it went back: the node has cancelled it by itself"
    NOT_SERVED = "not_served", "it goes back: its node, or who paid, is one that we do not serve"
    SURPLUS = "surplus", "more has come than it asked for"
    SURPLUS_ADDED = "surplus_added", "what came too much, and was little, is on the buyer's side of the channel"
    SURPLUS_LEFT_OUT = "surplus_left_out", "a channel that was larger by a surplus was refused: it is tried as sold"
    REFUND_DUE = "refund_due", "money of the buyer is to go back on chain"
    REFUND_ADDRESS_GIVEN = "refund_address_given", "where money is to go back to was said"
    REFUND_SIGNED = "refund_signed", "what sends the money back is signed, and can go out at any time"
    REFUND_PUBLISHED = "refund_published", "the network has what sends the money back"
    REFUND_REBUILT = "refund_rebuilt", "what sends the money back pays more to be mined"
    REFUND_MINED = "refund_mined", "the money is back with the buyer: what sent it is in a block"
    REFUND_DONE = "refund_done", "what sent the money back is deep"
    REFUND_EXCLUDED = "refund_excluded", "what was to send the money back can never be in the chain: it is due again"
    REFUND_WITHDRAWN = (
        "refund_withdrawn",
        "it goes back no more by itself: it buys, is gone, went by hand, or with more",
    )
    REFUND_KEPT = "refund_kept", "money of the buyer is kept for him, and why"
    REFUND_PROPOSED = "refund_proposed", "it was paid and has no channel: a refund is proposed, for a person to decide"
    REFUND_GRANTED = "refund_granted", "staff have decided for the refund that was proposed"
    REFUND_DECLINED = "refund_declined", "staff have decided against the refund that was proposed"
    CLOSED_UNUSED = "closed_unused", "its channel closed before it was ever usable"
    CLOSED_EARLY = "closed_early", "its channel was closed soon after it was sold, by us as far as is known"
    NOT_DELIVERED = "not_delivered", "its Lightning payment is ours for good, and no channel came of it"
    LATE_PAYMENT_TAKEN = "late_payment_taken", "a late payment still buys, at today's price"
    RETURNED_BY_HAND = "returned_by_hand", "staff have sent the money back"

    NODE_NAMED_AT_PURCHASE = "node_named_at_purchase", "claimed, for the node that the purchase named"
    CLAIMED = "claimed", "the buyer has named the node"
    CLAIM_DETAILED = "claim_detailed", "the buyer has said more of the same node"
    CLAIM_TAKEN_BACK = "claim_taken_back", "the buyer has taken the claim back"

    OPENING_POSTPONED = "opening_postponed", "no attempt is made now"
    ANNOUNCEMENT_REFUSED = "announcement_refused", "the node takes no public channel: an unannounced one is tried"
    ZERO_CONF_REFUSED = "zero_conf_refused", "one of the two nodes takes no zero-conf channel: an ordinary one is tried"
    OPENING_BEGUN = "opening_begun", "an attempt begins"
    OPENING_FUNDED = "opening_funded", "our coins are leased, the funding is drafted"
    OPENING_COMMITTED = "opening_committed", "if the zero-conf channel comes to be, its funding is published"
    OPENING_CARRYING = "opening_carrying", "the funding is signed, and published once the payment was taken over it"
    OPENING_SILENT = "opening_silent", "what became of a call of the attempt is not known"
    OPENING_CANCELLING = "opening_cancelling", "the attempt is to be taken back"
    OPENING_FAILED = "opening_failed", "the attempt is over, and nothing of it is left"
    OPENING_ADOPTED = "opening_adopted", "an opening that our records did not know is taken over"
    GAVE_UP = "gave_up", "we stopped trying; or: what was held goes back for it"
    RETRIED = "retried", "staff let us try again"

    FUNDING_SIGNED = "funding_signed", "the point of no return"
    FUNDING_PUBLISHED = "funding_published", "the network has the funding"
    PUBLISHING_REFUSED = "publishing_refused", "the node does not take the funding now"
    FUNDING_BUMPED = "funding_bumped", "a child was to pay for the funding"
    FUNDING_MINED = "funding_mined", "the funding is in a block"
    FUNDING_UNMINED = "funding_unmined", "a reorganisation took the funding back"
    FUNDING_CONFIRMED = "funding_confirmed", "the funding is deep"
    FUNDING_LOST = "funding_lost", "of a funding that was found nobody has the signed bytes"
    FUNDING_PUT_OUT = "funding_put_out", "one of its coins is to be spent by ourselves"
    CONFLICT_PUBLISHED = "conflict_published", "the network has what puts the funding out"
    CONFLICT_OVER_BUDGET = "conflict_over_budget", "what puts the funding out costs more than the order has paid for"
    CONFLICT_REBUILT = "conflict_rebuilt", "what puts the funding out pays more"
    FUNDING_MINED_AFTER_ALL = "funding_mined_after_all", "the funding was mined before what was to put it out"
    FUNDING_CONFLICTED = "funding_conflicted", "the funding can never be in the chain"

    CHANNEL_USABLE = "channel_usable", "the channel is active"
    CHANNEL_CLOSING = "channel_closing", "a close is under way"
    CLOSING_TRANSACTION_SEEN = "closing_transaction_seen", "the closing transaction is known"
    CHANNEL_CLOSED = "channel_closed", "the channel is closed"
    CLOSE_WANTED = "close_wanted", "we want to close the channel: who, how and why"
    CLOSE_POSTPONED = "close_postponed", "the channel cannot be closed now: it is tried again"
    CLOSE_BEGUN = "close_begun", "the node has begun to close the channel"
    CLOSE_WITHDRAWN = "close_withdrawn", "we do not want to close the channel any more, or otherwise"
    LEASE_EXTENDED = "lease_extended", "the channel is promised for longer, as a gift"
    ROUTING_FEE_PUT_BACK = "routing_fee_put_back", "more was asked for forwarding than was promised: it is put back"
    ROUTING_FEE_REFUSED = "routing_fee_refused", "the node has refused to put it back: it is tried again"

    NOTED = "noted", "somebody of staff has written a note"
    NEEDS_STAFF = "needs_staff", "a flag was raised, or says something else now"
    FLAG_FELL = "flag_fell", "what a flag was raised for is over"
    STAFF_HAVE_LOOKED = "staff_have_looked", "a person has seen what a flag was raised for"


class FlagKind(models.TextChoices):
    """Why an order needs a person. What ends each: see orders.flags."""

    COINS_SHORT = "coins_short", "coins short"
    FEE_TOO_HIGH = "fee_too_high", "fee too high"
    ATTEMPT_STUCK = "attempt_stuck", "attempt stuck"
    NOT_ADOPTABLE = "not_adoptable", "cannot be adopted"
    TRACE_UNKNOWN = "trace_unknown", "records behind the node"
    CANNOT_SETTLE = "cannot_settle", "could not be settled"
    SENT_BACK = "sent_back", "money sent back already"
    GAVE_UP = "gave_up", "given up with the money"

    PUBLISHING_REFUSED = "publishing_refused", "funding refused"
    ZERO_CONF_UNFUNDED = "zero_conf_unfunded", "zero-conf channel unfunded"
    UNMINED = "unmined", "funding unmined"
    CONFLICT_TOO_DEAR = "conflict_too_dear", "too dear to put out"
    CONFLICT_OVER_BUDGET = "conflict_over_budget", "put out above the fee budget"
    MINED_AFTER_ALL = "mined_after_all", "mined after all"
    DOUBLE_SPENT = "double_spent", "funding double-spent"

    NOT_SETTLED = "not_settled", "payment not settled"
    INVOICE_UNKNOWN = "invoice_unknown", "invoice unknown to the node"
    UNPAID_CHANNEL = "unpaid_channel", "channel unpaid"
    RETURNED_WHILE_OPENING = "returned_while_opening", "payment returned while opening"
    SETTLED_UNASKED = "settled_unasked", "settled instead of returned"

    NEVER_CLAIMED = "never_claimed", "never claimed"
    CANCELLED_PAID = "cancelled_paid", "cancelled with the money"
    ENDED_WITH_DEPOSITS = "ended_with_deposits", "ended with deposits"
    PAID_LATE = "paid_late", "paid late"
    PAID_BESIDES = "paid_besides", "paid on chain besides"
    DEPOSITS_SURPLUS = "deposits_surplus", "too much on chain"
    LIGHTNING_SURPLUS = "lightning_surplus", "too much by Lightning"
    REFUND_NEEDED = "refund_needed", "refund without an address"
    REFUND_STUCK = "refund_stuck", "refund stuck"
    REFUND_BARRED = "refund_barred", "refund address not served"
    DEPOSIT_TAKEN_BACK = "deposit_taken_back", "deposit taken back"
    DEPOSIT_VANISHED = "deposit_vanished", "deposit vanished"
    PAYER_UNKNOWN = "payer_unknown", "payer unknown"

    CHANNEL_UNKNOWN = "channel_unknown", "channel unknown to the node"
    CHANNEL_INACTIVE = "channel_inactive", "channel inactive"
    CLOSED_UNUSED = "closed_unused", "closed before it was usable"
    CLOSED_EARLY = "closed_early", "closed early by us"
    CLOSE_STUCK = "close_stuck", "cannot be closed"
    ROUTING_FEE_HIGH = "routing_fee_high", "routing fee above the promise"

    SERVER_DEFECT = "server_defect", "defect of the server"
    #: Of rows that are older than the kinds, and say what none of them does.
    OTHER = "other", "other"


#: Why money goes back by a person's word: it had bought something, or passed for that. No part of it is due by itself.
BY_DECISION: Final = frozenset({Cause.CLOSED_UNUSED, Cause.CLOSED_EARLY, Cause.NOT_DELIVERED, Cause.FUNDING_CONFLICTED})
#: Of these what is sent is a loss of ours: the price bought a channel, which is no more.
FOR_A_CHANNEL: Final = frozenset({Cause.CLOSED_UNUSED, Cause.CLOSED_EARLY})

#: Why an order was given up, in the word that buyers know: our coins went to who pays, and whose node is reached.
COINS_PROMISED_ELSEWHERE: Final = "COINS_PROMISED_ELSEWHERE"


#: The same of an order whose node, or who paid it, is on the list of those that we do not serve.
NOT_SERVED: Final = "NOT_SERVED"


#: The same of a payment that was passed on over a new channel and came back, and that its wallet has never seen.
NEVER_REACHED: Final = "PEER_NOT_REACHABLE"


#: The same of an order that staff have cancelled.
CANCELLED: Final = "CANCELLED"


class PauseCause(models.TextChoices):
    """Why sales or openings are off."""

    STAFF = "staff", "by staff"
    BEHIND = "behind", "our records are behind the node"
