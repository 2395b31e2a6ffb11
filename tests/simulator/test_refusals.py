"""Every way in which an opening is refused can be played, and means the right thing to an order.

Where the simulator can be brought to it as a node is, it is; else the sentence itself is played.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from lightning.errors import InsufficientFunds, LightningError, NodeUnavailable, PeerOffline, Rejected
from lightning.node import LndNode
from lightning.refusals import refusal
from orders.openings import reasons
from simulator import control as faults
from simulator.control import Control
from tests.contract.account import all_rows, rows_of
from tests.contract.conftest import Opening, credentials
from tests.simulator.network import SimulatedNetwork

KEY = "02" + "ab" * 32


@dataclass(frozen=True)
class Case:
    """One row of what is known of LND's failures: how it comes about, what it is to us, and the order's word for it."""

    cause: str
    bring_about: Callable[[Opening, Control], None]
    error: type[LightningError]
    word: str
    is_final: bool = False


def peer(**changes: Any) -> Callable[[Opening, Control], None]:
    return lambda opening, _: opening.peer.change(**changes)


def words(text: str) -> Callable[[Opening, Control], None]:
    """The peer refuses with these."""
    return peer(refusal=text)


def opening(**changes: Any) -> Callable[[Opening, Control], None]:
    return lambda attempt, _: [setattr(attempt, name, value) for name, value in changes.items()] and None


def sentence(text: str) -> Callable[[Opening, Control], None]:
    return lambda _, control: control.add_fault("OpenChannel", faults.FAIL, text=text)


def disconnected(attempt: Opening, _: Control) -> None:
    attempt.node.disconnect(attempt.peer.pubkey)


def behind(_: Opening, control: Control) -> None:
    control.set_synced(False)


CASES = (
    Case("peer not connected", disconnected, PeerOffline, "PEER_NOT_REACHABLE"),
    Case("peer drops early", peer(vanishes="open"), PeerOffline, "PEER_NOT_REACHABLE"),
    Case("peer drops early, by name", sentence(f"peer {KEY} disconnected"), PeerOffline, "PEER_NOT_REACHABLE"),
    Case("starting", sentence("server is still in the process of starting"), NodeUnavailable, "NODE_NOT_READY"),
    Case("not synced", behind, NodeUnavailable, "NODE_NOT_READY"),
    Case("too small for anybody", opening(capacity_sat=19_999), Rejected, "CHAN_SIZE_TOO_SMALL", True),
    Case("too big for every peer", opening(capacity_sat=10**9 + 1), Rejected, "CHAN_SIZE_TOO_BIG", True),
    Case("too big without wumbo",
         sentence("funding amount is too large, the max channel size is: 0.16777215 BTC"),
         Rejected, "CHAN_SIZE_TOO_BIG", True),
    Case("all is pushed", opening(push_sat=400_000), Rejected, "FAILED_OPENING"),
    Case("no coins", sentence("not enough witness outputs to create funding transaction, need 1 only have 0 available"),
         InsufficientFunds, "INSUFFICIENT_FUNDS"),
    Case("reserve", sentence("reserved wallet balance invalidated: transaction would leave insufficient funds for fee "
                             "bumping anchor channel closings (see debug log for details)"),
         InsufficientFunds, "INSUFFICIENT_FUNDS"),
    Case("zero-conf without anchors", sentence("use anchors for zero-conf"), Rejected, "FEATURE_MISSING", True),
    Case("no such channel type", sentence("requested channel type not supported"), Rejected, "FEATURE_MISSING", True),
    Case("alias of a public channel", sentence("option-scid-alias chantype for public channel"),
         Rejected, "FEATURE_MISSING", True),
    Case("peer has too many pending", peer(pending_limit=0), Rejected, "PEER_TOO_MANY_PENDING_CHANNELS"),
    Case("peer wants more", peer(min_channel_sat=500_000), Rejected, "CHAN_SIZE_TOO_SMALL", True),
    Case("peer wants less", peer(max_channel_sat=300_000), Rejected, "CHAN_SIZE_TOO_BIG", True),
    Case("peer refuses pushes", peer(refuses_push=True), Rejected, "PEER_POLICY", True),
    Case("peer's own words", words("open channel request rejected"), Rejected, "CHANNEL_REJECTED"),
    Case("peer has no words", words("funding failed due to internal error"), Rejected, "FAILED_OPENING"),
    Case("peer wants other fees", words("feerate_per_kw 253 below minimum 2500"), Rejected, "FEE_RATE_REJECTED"),
    Case("peer has too many unfunded", words("Refusing more than 4 unfunded channels."), Rejected,
         "PEER_TOO_MANY_PENDING_CHANNELS"),
    Case("peer wants private ones", words("only private channels, please"), Rejected, "ANNOUNCEMENT_REJECTED", True),
    Case("peer wants others", words("we only accept channels from friends"), Rejected, "PEER_POLICY", True),
    Case("peer wants one only", words("Multiple channels unsupported"), Rejected, "PEER_REJECT_MULTI_CHAN", True),
    Case("peer lacks a feature", words("unsupported channel type"), Rejected, "FEATURE_MISSING", True),
    Case("peer takes none at once", words("No zero confirmation channels accepted"), Rejected, "ZERO_CONF_REJECTED"),
    Case("peer wants blocks", sentence("zero-conf channel has min_depth non-zero"), Rejected, "ZERO_CONF_REJECTED"),
    Case("peer is behind", words("Synchronizing blockchain"), PeerOffline, "PEER_NOT_REACHABLE"),
    Case("stale reservation", sentence(f"reservation timed out waiting for peer (peer_id:{KEY}, chan_id:00)"),
         PeerOffline, "PEER_NOT_REACHABLE"),
    Case("dust after fees",
         sentence("funder balance too small (1000) with fee=900 sat, minimum=708 sat required"),
         Rejected, "CHAN_SIZE_TOO_SMALL", True),
)  # fmt: skip


@pytest.fixture
def node(network: SimulatedNetwork) -> LndNode:
    return LndNode(credentials(network.lsp))  # type: ignore[arg-type]


@pytest.fixture
def control(network: SimulatedNetwork) -> Iterator[Control]:
    yield network.lsp.control
    network.lsp.control.end_faults()
    network.lsp.control.set_synced(True)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.cause)
def test_each_refusal_of_an_opening_has_its_word(network, node, control, case: Case) -> None:
    attempt = Opening(node, network.add_peer()).connected()
    case.bring_about(attempt, control)
    with attempt.negotiate() as negotiation, pytest.raises(LightningError) as caught:
        negotiation.funding_request(timeout_seconds=5)
    assert (type(caught.value), reasons.known(caught.value.reason)) == (case.error, case.word)
    assert (case.word in reasons.FINAL) == case.is_final


def test_a_peer_that_agreed_gives_up_after_ten_minutes(add_own) -> None:
    own = add_own()
    attempt = Opening(LndNode(credentials(own)), own.add_peer()).connected()
    with attempt.negotiate() as negotiation:
        negotiation.funding_request(timeout_seconds=5)
        own.control.pass_time(599)
        own.control.pass_time(1)
        with pytest.raises(Rejected, match="remote canceled funding, possibly timed out"):
            negotiation.funding_request(timeout_seconds=5)


#: A sentence for each row of the table of refusals, as a node says it.
SENTENCES = (
    "interceptor already exists",
    "forward does not exist: (Chan ID=113:1:0, HTLC ID=9)",
    "cannot resume held htlc in the on-chain flow",
    "not a valid alias: SCID alias 800000:0:0 is not a valid alias",
    "alias already exists: alias 16050000:0:1 already exists for base scid 16000000:0:0",
    "alias already exists: SCID alias 17647161625804931073 already exists",
    "base scid 16050000:0:2 not found",
    "error deleting scid alias, base_scid=800000:0:0, alias_scid=16050000:0:1: alias not found",
    "unable to gracefully close channel while peer is offline (try force closing it instead): unable to find peer",
    "cannot coop close channel with active htlcs (number of active htlcs: 2), bypass this check and initiate the coop "
    "close by setting no_wait=true",
    "channel shutdown already initiated",
    "channel is already in the process of being force closed",
    "unable to find arbitrator",
    "channel not found",
    "wallet locked, unlock it to enable full RPC access",
    "wallet not created, create one to enable full RPC access",
    "server is still in the process of starting",
    "the RPC server is in the process of starting up, but not yet ready to accept calls",
    "waiting to start, RPC services not available",
    "channels cannot be created before the wallet is fully synced",
    "permission denied",
    "verification failed: signature mismatch after caveat verification",
    "expected 1 macaroon, got 0",
    "cannot retrieve macaroon: cannot get macaroon: root key with id 7 doesn't exist",
    "cannot determine data format of binary-encoded macaroon",
    "/lnrpc.Lightning/X: unknown permissions required for method",
    "no permissions found for full method /lnrpc.Lightning/X",
    "invoice with payment hash already exists",
    "invoice already canceled",
    "invoice already settled",
    "invoice still open",
    "unable to locate invoice",
    "there are no existing invoices",
    "invalid hash length of 31, want 32",
    "CLTV delta of 10 must be greater than minimum of 24",
    "memo too large: 2000 bytes (maxsize=1024)",
    "expiry of 1000000000 seconds greater than max of 31536000 seconds",
    f"already connected to peer: {KEY}@127.0.0.1:9735",
    "cannot make connection to self",
    f"unable to disconnect peer: peer {KEY} is not connected",
    f"peer {KEY} is not online",
    "peer disconnected",
    "peer is not connected",
    "peer exiting",
    "unable to find node",
    "error trying to update node features: invalid add action for bit 729, bit is already set",
    "error trying to update node addresses: unable to resolve address h.invalid:9735: lookup h.invalid: no such host",
    f"reservation timed out waiting for peer (peer_id:{KEY}, chan_id:00)",
    "unable to send funding request message: peer exiting",
    "channel is too small, the minimum channel size is: 20000 SAT",
    "funder balance too small (1000) with fee=900 sat, minimum=708 sat required",
    "funding amount is too large, the max channel size is: 10 BTC",
    "requested channel type not supported",
    "use anchors for zero-conf",
    "option-scid-alias chantype for public channel",
    "zero-conf channel has min_depth non-zero",
    "amount pushed to remote peer for initial state must be below the local funding amount",
    "cannot open channel to self",
    "pendingChannelID(00ff) already present",
    "duplicate pending channel ID: already has intent registered: 00ff",
    "user canceled funding",
    "no funding intent found for pendingChannelID(00ff)",
    "no channel reservation found for pendingChannelID(00ff)",
    "unable to find closed channel summary",
    "wallet couldn't fund PSBT: insufficient funds available to construct transaction",
    "not enough witness outputs to create funding transaction, need 1 only have 0 available",
    "reserved wallet balance invalidated: transaction would leave insufficient funds for fee bumping anchor channels",
    "input 0 not found in list of non-locked UTXO",
    "error parsing address bcrt1qxx for network regtest: invalid checksum",
    "fee 0.1 BTC exceeds max fee (0.01 BTC) on total output value 1 BTC with max fee ratio of 0.01",
    "output already locked",
    "output unlock not alowed",
    "unknown output",
    "can not find transaction: txid 00ff",
    "the passed output does not belong to the wallet",
    "unable to bump fee of a confirmed transaction",
    "transaction rejected: output already spent",
    "txn mempool conflict",
    "transaction rejected by the mempool because of low fees: min relay fee not met",
    "insufficient fee",
    "max fee exceeded",
    "non final",
    "undefined: failed to validate input 00ff:0 which references output 00ff:1",
    "non mandatory script verify flag",
)
#: The peer's, each behind the node's own "received funding error".
PEERS_WORDS = (
    "Number of pending channels exceed maximum",
    "too many pending channels",
    "chan size of 0.0002 BTC is below min chan size of 0.005 BTC",
    "chan size of 1000 BTC exceeds maximum chan size of 10 BTC",
    "Multiple channels unsupported",
    "unsupported channel type",
    "Synchronizing blockchain",
    "No zero confirmation channels accepted",
    "Refusing more than 4 unfunded channels.",
    "rate limit reached",
    "feerate_per_kw 253 below minimum 2500",
    "funding failed due to internal error",
    "only private channels, please",
    "non-zero push amounts are disabled",
    "we only accept channels from friends",
)


def test_every_row_has_its_sentence() -> None:
    peers = [f"received funding error from {KEY}: chan_id=00, err={text}" for text in PEERS_WORDS]
    assert set().union(*(rows_of(text) for text in (*SENTENCES, *peers))) == all_rows()


@pytest.mark.parametrize("text", SENTENCES)
def test_each_sentence_can_be_played_and_is_understood(node, control, text: str) -> None:
    """By the wrapper too, for a call that reads and for one that changes something."""
    meant = refusal(text)
    assert meant is not None
    control.add_fault(faults.EVERY, faults.FAIL, text=text, times=0)
    for call in (node.leases, node.new_address):
        with pytest.raises(meant.error) as caught:
            call()
        assert caught.value.reason == meant.reason


@pytest.mark.parametrize("text", PEERS_WORDS)
def test_each_word_of_a_peer_can_be_played_and_is_understood(network, node, text: str) -> None:
    attempt = Opening(node, network.add_peer()).connected()
    attempt.peer.change(refusal=text)
    meant = refusal(f"received funding error from {KEY}: chan_id=00, err={text}")
    assert meant is not None
    with attempt.negotiate() as negotiation, pytest.raises(meant.error) as caught:
        negotiation.funding_request(timeout_seconds=5)
    assert caught.value.reason == meant.reason
