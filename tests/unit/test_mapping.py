"""What the node answers, in our words: above all, what may have happened is never called a refusal."""

from __future__ import annotations

import grpc
import pytest

from lightning import mapping
from lightning.errors import InsufficientFunds, NodeUnavailable, NotFound, OutcomeUnknown, PeerOffline, Rejected
from lightning.proto import lnrpc_pb2 as ln
from lightning.proto import walletrpc_pb2 as wal
from lightning.refusals import legible, refusal
from lightning.types import ChannelEvent, NodeInvoiceState, Outpoint, PartsOnTheWay, PendingPhase
from orders.openings import reasons

KEY = "02" + "ab" * 32
TXID = "0102" + "00" * 29 + "ff"
TXID_BYTES = bytes.fromhex(TXID)[::-1]


class Failed(grpc.aio.AioRpcError):
    """A failed call with this status and text."""

    def __init__(self, code, details=""):
        super().__init__(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=details)


def error(text, code=grpc.StatusCode.UNKNOWN, *, changing=True):
    return mapping.error_of(Failed(code, text), call="Call", changing=changing)


# Errors


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.UNIMPLEMENTED])
def test_a_change_that_failed_for_unknown_reasons_may_have_happened(code):
    assert type(error("something new", code)) is OutcomeUnknown


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.NOT_FOUND])
def test_a_read_that_failed_for_unknown_reasons_did_not_happen(code):
    assert type(error("something new", code, changing=False)) is NodeUnavailable


def test_a_refused_connection_does_not_prove_that_a_change_was_not_sent():
    text = "failed to connect to all addresses; last error: Connection refused"
    assert type(error(text, grpc.StatusCode.UNAVAILABLE)) is OutcomeUnknown


def test_a_method_that_the_node_has_not_cannot_have_happened():
    assert error("unknown service walletrpc.WalletKit", grpc.StatusCode.UNIMPLEMENTED).reason == "UNSUPPORTED"


@pytest.mark.parametrize(
    "text",
    [
        "wallet locked, unlock it to enable full RPC access",
        "wallet not created, create one to enable full RPC access",
        "the RPC server is in the process of starting up, but not yet ready to accept calls",
        "server is still in the process of starting",
        "chain notifier RPC is still in the process of starting",
        "waiting to start, RPC services not available",
        "channels cannot be created before the wallet is fully synced",
    ],
)
@pytest.mark.parametrize("changing", [True, False])
def test_a_node_that_is_not_ready_did_nothing(text, changing):
    found = error(text, changing=changing)
    assert (type(found), found.reason) == (NodeUnavailable, "NODE_NOT_READY")


@pytest.mark.parametrize(
    "text",
    [
        "permission denied",
        "verification failed: signature mismatch after caveat verification",
        "expected 1 macaroon, got 0",
        "cannot retrieve macaroon: cannot get macaroon: root key with id 7 doesn't exist",
        "cannot determine data format of binary-encoded macaroon",
    ],
)
def test_a_refused_macaroon_did_nothing(text):
    found = error(text)
    assert (type(found), found.reason) == (NodeUnavailable, "PERMISSION_DENIED")


def test_a_file_that_the_node_may_not_write_is_no_refused_macaroon():
    assert type(error("open wallet.db: permission denied")) is OutcomeUnknown


@pytest.mark.parametrize(
    ("text", "kind", "reason"),
    [
        ("invoice with payment hash already exists", Rejected, "already_exists"),
        ("invoice already canceled", Rejected, "cancelled"),
        ("invoice already settled", Rejected, "settled"),
        ("invoice still open", Rejected, "still_open"),
        ("unable to locate invoice", NotFound, "unknown_invoice"),
        ("there are no existing invoices", NotFound, "unknown_invoice"),
        ("no permissions found for full method /walletrpc.WalletKit/FundPsbt", NotFound, "unknown_method"),
        (f"peer {KEY} is not online", PeerOffline, "PEER_NOT_REACHABLE"),
        (f"peer {KEY} disconnected", PeerOffline, "PEER_NOT_REACHABLE"),
        ("peer disconnected", PeerOffline, "PEER_NOT_REACHABLE"),
        ("channel is too small, the minimum channel size is: 20000 SAT", Rejected, "CHAN_SIZE_TOO_SMALL"),
        ("funding amount is too large, the max channel size is: 0.16777215 BTC", Rejected, "CHAN_SIZE_TOO_BIG"),
        ("requested channel type not supported", Rejected, "FEATURE_MISSING"),
        (f"pendingChannelID({'ab' * 32}) already present", Rejected, "FAILED_OPENING"),
        (f"no funding intent found for pendingChannelID({'ab' * 32})", NotFound, "unknown_flow"),
        (f"no channel reservation found for pendingChannelID({'ab' * 32})", NotFound, "unknown_flow"),
        ("no channel reservation found for reservation ID 7", NotFound, "unknown_flow"),
        (
            "wallet couldn't fund PSBT: insufficient funds available to construct transaction",
            InsufficientFunds,
            "INSUFFICIENT_FUNDS",
        ),
        (
            "not enough witness outputs to create funding transaction, need 1 only have 0 available",
            InsufficientFunds,
            "INSUFFICIENT_FUNDS",
        ),
        ("reserved wallet balance invalidated: transaction would leave …", InsufficientFunds, "INSUFFICIENT_FUNDS"),
        (
            "fee 0.1 BTC exceeds max fee (0.01 BTC) on total output value 1 BTC with max fee ratio of 0.01",
            Rejected,
            "FEE_TOO_HIGH",
        ),
        ("output already locked", Rejected, "leased_by_another"),
        ("unknown output", NotFound, "unknown_output"),
        (f"can not find transaction: txid {TXID}", NotFound, "unknown_transaction"),
        ("transaction rejected: output already spent", Rejected, "double_spend"),
        ("transaction rejected by the mempool because of low fees: min relay fee not met", Rejected, "fee_too_low"),
        ("insufficient fee", Rejected, "fee_too_low"),
    ],
)
def test_a_known_sentence_has_its_meaning(text, kind, reason):
    found = error(text)
    assert (type(found), found.reason) == (kind, reason)
    assert text[:20] in str(found)


@pytest.mark.parametrize(
    ("words", "kind", "reason"),
    [
        ("Number of pending channels exceed maximum", Rejected, "PEER_TOO_MANY_PENDING_CHANNELS"),
        ("chan size of 0.0002 BTC is below min chan size of 0.005 BTC", Rejected, "CHAN_SIZE_TOO_SMALL"),
        ("chan size of 1000 BTC exceeds maximum chan size of 10 BTC", Rejected, "CHAN_SIZE_TOO_BIG"),
        ("Multiple channels unsupported", Rejected, "PEER_REJECT_MULTI_CHAN"),
        ("unsupported channel type", Rejected, "FEATURE_MISSING"),
        ("Synchronizing blockchain", PeerOffline, "PEER_NOT_REACHABLE"),
        ("non-zero push amounts are disabled", Rejected, "PEER_POLICY"),
        ("Channel request rejected", Rejected, "CHANNEL_REJECTED"),
        ("", Rejected, "CHANNEL_REJECTED"),
    ],
)
def test_a_peers_refusal_has_its_meaning(words, kind, reason):
    text = f"received funding error from {KEY}: chan_id={'cd' * 32}, err={words}"
    for sentence in (text, f"remote canceled funding, possibly timed out: {text}"):
        found = error(sentence)
        assert (type(found), found.reason) == (kind, reason)


#: As other nodes say it, by the program; and what follows for the order.
THEY_SAY = (
    # lnd
    ("Number of pending channels exceed maximum", "PEER_TOO_MANY_PENDING_CHANNELS"),
    ("channel too large", "CHAN_SIZE_TOO_BIG"),
    ("funding failed due to internal error", "FAILED_OPENING"),
    ("CSV delay too large: 2016, max is 144", "CHANNEL_REJECTED"),
    # CLN
    ("You gave bad parameters: feerate_per_kw 253 below minimum 2500", "FEE_RATE_REJECTED"),
    ("feerate_per_kw 11000 above maximum 10000", "FEE_RATE_REJECTED"),
    ("funding_satoshis 20000000sat too large", "CHAN_SIZE_TOO_BIG"),
    ("channel capacity with funding 20000sat, reserves 546sat/546sat, max_htlc_value_in_flight_msat is 20000000msat,"
     " channel capacity is 8000sat, which is below 10000sat", "CHAN_SIZE_TOO_SMALL"),
    ("Already have active channel", "PEER_REJECT_MULTI_CHAN"),
    ("Did not support channel_type [12,22]", "FEATURE_MISSING"),
    # LDK
    ("Peer's feerate much too low. Actual: 253. Our expected lower limit: 2500", "FEE_RATE_REJECTED"),
    ("Refusing more than 4 unfunded channels.", "PEER_TOO_MANY_PENDING_CHANNELS"),
    ("Have too many peers with unfunded channels, not accepting new ones", "PEER_TOO_MANY_PENDING_CHANNELS"),
    ("Funding satoshis (500000) is less than the user specified limit (1000000)", "CHAN_SIZE_TOO_SMALL"),
    ("Per our config, funding must be at most 400000. It was 500000", "CHAN_SIZE_TOO_BIG"),
    ("max_accepted_htlcs (5) is less than the user specified limit (10)", "CHANNEL_REJECTED"),
    ("Peer tried to open channel but their announcement preference is different from ours", "ANNOUNCEMENT_REJECTED"),
    ("Channel Type contains unsupported features", "FEATURE_MISSING"),
    ("No channels with anchor outputs accepted", "FEATURE_MISSING"),
    ("No zero confirmation channels accepted", "ZERO_CONF_REJECTED"),
    ("No inbound channels accepted", "PEER_POLICY"),
    ("Channel request rejected", "CHANNEL_REJECTED"),
    # eclair
    ("remote fee rate is too small: remoteFeeratePerKw=253", "FEE_RATE_REJECTED"),
    ("local/remote feerates are too different: remoteFeeratePerKw=253 localFeeratePerKw=2500", "FEE_RATE_REJECTED"),
    ("rate limit reached", "PEER_TOO_MANY_PENDING_CHANNELS"),
    ("concurrent request rejected", "PEER_TOO_MANY_PENDING_CHANNELS"),
    ("invalid funding_amount=100000 sat (min=400000 sat)", "CHAN_SIZE_TOO_SMALL"),
    ("invalid funding_amount=500000000 sat (max=400000000 sat)", "CHAN_SIZE_TOO_BIG"),
    ("invalid channel_type=0x401000, expected channel_type=0x1000", "FEATURE_MISSING"),
    # Electrum
    ("funding_sat too low: 100000 < 200000", "CHAN_SIZE_TOO_SMALL"),
    ("MUST set funding_satoshis to less than 2^24 satoshi. 20000000 sat > 16777215", "CHAN_SIZE_TOO_BIG"),
    # and their owners
    ("We only accept channels from nodes that we know.", "PEER_POLICY"),
    ("your node is not on our allow-list", "PEER_POLICY"),
    ("Private channels are not accepted", "ANNOUNCEMENT_REJECTED"),
    ("only accepts private channels", "ANNOUNCEMENT_REJECTED"),
    ("unannounced channels not allowed", "ANNOUNCEMENT_REJECTED"),
    ("unable to get the block list", "CHANNEL_REJECTED"),
    ("this feature is busy", "CHANNEL_REJECTED"),
    ("come back tomorrow", "CHANNEL_REJECTED"),
)  # fmt: skip


@pytest.mark.parametrize(("words", "reason"), THEY_SAY)
def test_found_d4_what_other_nodes_say_has_its_word(words, reason):
    found = error(f"received funding error from {KEY}: chan_id={'cd' * 32}, err={words}")
    assert (type(found), found.reason) == (Rejected, reason)


def test_found_d4_only_what_says_so_is_final():
    """Whatever a row means to the order, no word of nobody's knowing ends it."""
    assert reasons.FINAL.isdisjoint(reasons.PASSING)
    assert {reason for _, reason in THEY_SAY} <= reasons.FINAL | reasons.PASSING
    assert refusal(f"received funding error from {KEY}: err=?").reason in reasons.PASSING


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words", "plain words"),
        ("two\r\nlines\tand\x00\x07\x1b[31m more", "two lines and [31m more"),
        ("<b onclick=`x`>hello</b>", "(b onclick='x')hello(/b)"),
        ("\u202edrawkcab\u2066\u200b\ufeff", "drawkcab"),
        ("Stra\u00dfe \u26a1", "Stra\u00dfe \u26a1"),
        ("\ud800", ""),
        ("x" * 1_000, "x" * 300),
        (" " * 100_000 + "late", ""),
    ],
)
def test_found_d4_what_a_stranger_wrote_is_made_fit_to_be_read(text, shown):
    assert legible(text, 300) == shown


@pytest.mark.parametrize(
    "words",
    [
        "wallet locked, unlock it",
        "unable to locate invoice",
        "invoice already canceled",
        "permission denied",
        "unknown output",
    ],
)
def test_a_peer_cannot_speak_for_our_node(words):
    found = error(f"received funding error from {KEY}: chan_id={'cd' * 32}, err={words}")
    assert (type(found), found.reason) == (Rejected, "CHANNEL_REJECTED")


def test_a_wrapped_sentence_is_unwrapped():
    assert refusal("rpc error: code = Unknown desc = permission denied") == refusal("permission denied")


def test_an_endless_sentence_is_cut():
    assert len(str(error("x" * 10_000))) < 1000


# Outpoints


def test_bytes_of_a_txid_are_turned_round():
    wanted = Outpoint(TXID, 3)
    assert mapping.outpoint(ln.OutPoint(txid_bytes=TXID_BYTES, output_index=3)) == wanted
    assert mapping.outpoint(ln.OutPoint(txid_str=TXID, output_index=3)) == wanted
    assert mapping.pending_outpoint(ln.PendingUpdate(txid=TXID_BYTES, output_index=3)) == wanted
    assert mapping.channel_point(ln.ChannelPoint(funding_txid_bytes=TXID_BYTES, output_index=3)) == wanted
    assert mapping.channel_point(mapping.channel_point_message(wanted)) == wanted
    assert mapping.outpoint(mapping.outpoint_message(wanted)) == wanted


# Invoices


def invoice(state, *htlcs):
    found = [ln.InvoiceHTLC(state=kind, amt_msat=msat, expiry_height=height) for kind, msat, height in htlcs]
    return mapping.invoice(ln.Invoice(r_hash=b"\xab" * 32, value=10, add_index=4, state=state, htlcs=found))


def test_only_what_is_held_now_counts_as_held():
    found = invoice(ln.Invoice.ACCEPTED, (ln.ACCEPTED, 7000, 120), (ln.ACCEPTED, 3000, 110), (ln.CANCELED, 9000, 100))
    assert (found.state, found.held_msat, found.settled_msat) == (NodeInvoiceState.ACCEPTED, 10_000, 0)
    assert found.nearest_expiry_height == 110


def test_a_settled_invoice_holds_nothing():
    found = invoice(ln.Invoice.SETTLED, (ln.SETTLED, 10_000, 120))
    assert (found.held_msat, found.settled_msat, found.nearest_expiry_height) == (0, 10_000, None)


def test_each_state_of_an_invoice_has_our_word():
    words = {invoice(state).state for state in ln.Invoice.InvoiceState.values()}
    assert words == set(NodeInvoiceState)


# Channels


def test_a_zero_conf_channel_is_known_by_its_confirmed_id_once_it_has_one():
    message = ln.Channel(channel_point=f"{TXID}:0", chan_id=16_000_000, zero_conf=True)
    found = mapping.channel(message)
    assert (found.zero_conf, found.short_channel_id, found.alias) == (True, 0, 16_000_000)
    message.zero_conf_confirmed_scid = 777
    found = mapping.channel(message)
    assert (found.short_channel_id, found.alias) == (777, 16_000_000)


def test_an_ordinary_channel_has_no_alias():
    found = mapping.channel(ln.Channel(channel_point=f"{TXID}:0", chan_id=777))
    assert (found.zero_conf, found.short_channel_id, found.alias) == (False, 777, 0)


def test_each_way_of_pending_is_told_apart():
    kind = ln.PendingChannelsResponse
    at = {"channel": kind.PendingChannel(channel_point=f"{TXID}:0", memo="order")}
    message = kind(
        pending_open_channels=[kind.PendingOpenChannel(**at)],
        waiting_close_channels=[kind.WaitingCloseChannel(**at, closing_txid="aa")],
        pending_force_closing_channels=[kind.ForceClosedChannel(**at, closing_txid="bb")],
    )
    found = [(channel.phase, channel.closing_txid, channel.memo) for channel in mapping.pending_channels(message)]
    assert found == [
        (PendingPhase.OPENING, "", "order"),
        (PendingPhase.WAITING_CLOSE, "aa", "order"),
        (PendingPhase.FORCE_CLOSING, "bb", "order"),
    ]


@pytest.mark.parametrize(
    ("initiator", "by_us"),
    [(ln.INITIATOR_LOCAL, True), (ln.INITIATOR_REMOTE, False), (ln.INITIATOR_BOTH, None), (ln.INITIATOR_UNKNOWN, None)],
)
def test_who_asked_for_a_close_is_kept(initiator, by_us):
    message = ln.ChannelCloseSummary(
        channel_point=f"{TXID}:1", close_type=ln.ChannelCloseSummary.ABANDONED, close_initiator=initiator
    )
    found = mapping.closed_channel(message)
    assert (found.initiated_by_us, found.close_type) == (by_us, "abandoned")


def test_channel_events_name_their_channel():
    point = ln.ChannelPoint(funding_txid_bytes=TXID_BYTES, output_index=2)
    events = [
        ln.ChannelEventUpdate(
            type=ln.ChannelEventUpdate.OPEN_CHANNEL, open_channel=ln.Channel(channel_point=f"{TXID}:2")
        ),
        ln.ChannelEventUpdate(
            type=ln.ChannelEventUpdate.CLOSED_CHANNEL, closed_channel=ln.ChannelCloseSummary(channel_point=f"{TXID}:2")
        ),
        ln.ChannelEventUpdate(type=ln.ChannelEventUpdate.ACTIVE_CHANNEL, active_channel=point),
        ln.ChannelEventUpdate(
            type=ln.ChannelEventUpdate.PENDING_OPEN_CHANNEL,
            pending_open_channel=ln.PendingUpdate(txid=TXID_BYTES, output_index=2),
        ),
        ln.ChannelEventUpdate(type=ln.ChannelEventUpdate.CHANNEL_FUNDING_TIMEOUT, channel_funding_timeout=point),
    ]
    kinds = ["open_channel", "closed_channel", "active_channel", "pending_open_channel", "channel_funding_timeout"]
    assert [mapping.channel_event(event) for event in events] == [
        ChannelEvent(kind, Outpoint(TXID, 2)) for kind in kinds
    ]


def test_a_changed_balance_is_no_event():
    assert mapping.channel_event(ln.ChannelEventUpdate(type=7)) is None


def test_a_balance_that_moves_names_what_comes_in_and_not_what_goes_out():
    channel = ln.Channel(pending_htlcs=[ln.HTLC(incoming=True, hash_lock=bytes(32)), ln.HTLC(hash_lock=b"1" * 32)])
    message = ln.ChannelEventUpdate(type=7, updated_channel=ln.ChannelCommitUpdate(channel=channel))
    assert mapping.channel_event(message) == PartsOnTheWay(frozenset({"00" * 32}))


# The wallet


def test_a_wallet_transaction_is_read():
    message = ln.Transaction(
        tx_hash=TXID,
        num_confirmations=2,
        block_height=100,
        time_stamp=5,
        raw_tx_hex="00ff",
        label="funding:1",
        output_details=[ln.OutputDetail(address="bcrt1q", output_index=1, amount=500, is_our_address=True)],
        previous_outpoints=[ln.PreviousOutPoint(outpoint=f"{TXID}:9")],
    )
    found = mapping.chain_transaction(message)
    assert (found.txid, found.confirmations, found.block_height, found.at) == (TXID, 2, 100, 5)
    assert (found.raw, found.label, found.inputs) == (b"\x00\xff", "funding:1", (Outpoint(TXID, 9),))
    assert [(out.index, out.amount_sat, out.ours) for out in found.outputs] == [(1, 500, True)]


def test_a_lease_is_read():
    message = wal.UtxoLease(id=b"\x01" * 32, outpoint=ln.OutPoint(txid_bytes=TXID_BYTES), expiration=9, value=1000)
    found = mapping.lease(message)
    assert (found.outpoint, found.expires_at, found.amount_sat) == (Outpoint(TXID, 0), 9, 1000)
