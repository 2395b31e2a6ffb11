"""What LND's error texts mean: the one table of them.

LND answers nearly everything with the status UNKNOWN and a sentence, so the sentence is all there is.
Each row: a pattern, and the error (with its machine word) that it stands for. A row says that the call
*did not happen* (or, for NotFound, that there is nothing it could happen to); what no row knows is
decided in `lightning.mapping` by whether the call changes something.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from lightning.errors import InsufficientFunds, LightningError, NodeUnavailable, NotFound, PeerOffline, Rejected


class Refusal(NamedTuple):
    """What one sentence of the node means to us."""

    error: type[LightningError]
    reason: str


#: The peer's own words follow. They may say anything, so the node's table must not be asked about them.
_PEER_SPEAKS = re.compile(
    r"received funding error from [0-9a-f]+: (?:chan_id=[0-9a-f]+, )?(?:err=)?(?P<words>.*)", re.DOTALL
)

_NODE_NOT_READY = Refusal(NodeUnavailable, "NODE_NOT_READY")
_PERMISSION = Refusal(NodeUnavailable, "PERMISSION_DENIED")
_PEER_OFFLINE = Refusal(PeerOffline, "PEER_NOT_REACHABLE")
_NO_FUNDS = Refusal(InsufficientFunds, "INSUFFICIENT_FUNDS")
_TOO_BIG = Refusal(Rejected, "CHAN_SIZE_TOO_BIG")
_TOO_SMALL = Refusal(Rejected, "CHAN_SIZE_TOO_SMALL")
_FEATURE = Refusal(Rejected, "FEATURE_MISSING")
_FAILED_OPENING = Refusal(Rejected, "FAILED_OPENING")
_CHANNEL_REJECTED = Refusal(Rejected, "CHANNEL_REJECTED")
_TOO_MANY_PENDING = Refusal(Rejected, "PEER_TOO_MANY_PENDING_CHANNELS")
_MULTIPLE = Refusal(Rejected, "PEER_REJECT_MULTI_CHAN")
_FEE_RATE = Refusal(Rejected, "FEE_RATE_REJECTED")
_ANNOUNCEMENT = Refusal(Rejected, "ANNOUNCEMENT_REJECTED")
_ZERO_CONF = Refusal(Rejected, "ZERO_CONF_REJECTED")
_PEER_POLICY = Refusal(Rejected, "PEER_POLICY")
_INVALID = Refusal(Rejected, "invalid")
_UNKNOWN_INVOICE = Refusal(NotFound, "unknown_invoice")
_DOUBLE_SPEND = Refusal(Rejected, "double_spend")
_FEE_TOO_LOW = Refusal(Rejected, "fee_too_low")
_REFUSED = Refusal(Rejected, "refused")

_NODE_SAYS: tuple[tuple[str, Refusal], ...] = (
    # not yet able to do anything
    (r"^wallet locked, unlock it", _NODE_NOT_READY),
    (r"^wallet not created", _NODE_NOT_READY),
    (r"is still in the process of starting", _NODE_NOT_READY),
    (r"^the RPC server is in the process of starting", _NODE_NOT_READY),
    (r"^waiting to start", _NODE_NOT_READY),
    (r"before the wallet is fully synced", _NODE_NOT_READY),
    # macaroons, refused before the call is looked at
    (r"^permission denied$", _PERMISSION),
    (r"^verification failed: ", _PERMISSION),
    (r"^expected 1 macaroon, got ", _PERMISSION),
    (r"cannot (?:get|retrieve) macaroon: ", _PERMISSION),
    (r"^cannot determine data format of binary-encoded macaroon", _PERMISSION),
    (r"unknown permissions required for method", _PERMISSION),
    (r"^no permissions found for full method", Refusal(NotFound, "unknown_method")),
    # hold invoices
    (r"invoice with payment hash already exists", Refusal(Rejected, "already_exists")),
    (r"invoice already canceled", Refusal(Rejected, "cancelled")),
    (r"invoice already settled", Refusal(Rejected, "settled")),
    (r"invoice still open", Refusal(Rejected, "still_open")),
    (r"unable to locate invoice", _UNKNOWN_INVOICE),
    (r"there are no existing invoices", _UNKNOWN_INVOICE),
    (r"^invalid hash length of", _INVALID),
    (r"^CLTV delta of .* (?:must be greater than minimum|is too large)", _INVALID),
    (r"^memo too large", _INVALID),
    (r"^expiry of .* (?:is|greater)", _INVALID),
    # peers
    (r"^already connected to peer", Refusal(Rejected, "already_connected")),
    (r"^cannot make connection to self", Refusal(Rejected, "PEER_NOT_REACHABLE")),
    (r"^unable to disconnect peer: peer [0-9a-f]+ is not connected$", Refusal(NotFound, "not_connected")),
    (r"^peer [0-9a-f]+ is not online", _PEER_OFFLINE),
    (r"^peer (?:[0-9a-f]+ )?disconnected", _PEER_OFFLINE),
    (r"^peer is not connected$", _PEER_OFFLINE),
    (r"^peer exiting$", _PEER_OFFLINE),
    (r"^reservation timed out waiting for peer", _PEER_OFFLINE),
    (r"^unable to send funding request message: peer exiting", _PEER_OFFLINE),
    # what the node tells of itself
    (r"invalid add action for bit .*, bit is already set", Refusal(Rejected, "announced")),
    (r"^error trying to update node addresses: unable to resolve address", Refusal(Rejected, "no_address")),
    # opening a channel, refused by our own node
    (r"channel is too small, the minimum channel size is", _TOO_SMALL),
    (r"^funder balance too small", _TOO_SMALL),
    (r"funding amount is too large, the max channel size is", _TOO_BIG),
    (r"requested channel type not supported", _FEATURE),
    (r"^use anchors for zero-conf", _FEATURE),
    (r"option-scid-alias chantype for public channel", _FEATURE),
    (r"^zero-conf channel has min_depth non-zero", _ZERO_CONF),
    (r"^amount pushed to remote peer", _FAILED_OPENING),
    (r"^cannot open channel to self", _CHANNEL_REJECTED),
    (r"pendingChannelID\([0-9a-f]+\) already present", _FAILED_OPENING),
    (r"^duplicate pending channel ID", _FAILED_OPENING),
    (r"user canceled funding", _FAILED_OPENING),
    # of a flow that has ended, psbt_verify misses the intent first up to 0.21.2, the reservation first from then on
    (r"no (?:funding intent|channel reservation) found for ", Refusal(NotFound, "unknown_flow")),
    (r"^unable to find closed channel summary", Refusal(NotFound, "unknown_channel")),
    # closing a channel
    (r"^unable to gracefully close channel while peer is offline", _PEER_OFFLINE),
    (r"^cannot coop close channel with active htlcs", Refusal(Rejected, "payments_under_way")),
    (r"^channel shutdown already initiated", Refusal(Rejected, "already_closing")),
    (r"^channel is already in the process of being force closed", Refusal(Rejected, "already_closing")),
    (r"^unable to find arbitrator", Refusal(Rejected, "not_open")),
    (r"^channel not found$", Refusal(NotFound, "unknown_channel")),
    # others' payments
    (r"^interceptor already exists", Refusal(NodeUnavailable, "interceptor_exists")),
    (r"^forward does not exist", Refusal(NodeUnavailable, "unknown_forward")),
    (r"^cannot (?:resume|fail) held htlc in the on-chain flow", Refusal(NodeUnavailable, "on_chain")),
    (r"^not a valid alias: ", _INVALID),
    (r"^alias already exists: alias .* already exists for base scid", Refusal(Rejected, "alias_taken")),
    (r"^alias already exists: SCID alias", Refusal(Rejected, "alias_exists")),
    (r"^base scid .* not found", Refusal(NotFound, "unknown_channel")),
    (r"^error deleting scid alias, .*: alias not found$", Refusal(NotFound, "unknown_alias")),
    # the wallet
    (r"insufficient funds available to construct transaction", _NO_FUNDS),
    (r"not enough witness outputs to create funding transaction", _NO_FUNDS),
    (r"reserved wallet balance invalidated", _NO_FUNDS),
    (r"^input \d+ not found in list of non-locked UTXO", Refusal(Rejected, "leased_by_another")),
    (r"^error parsing address ", _INVALID),
    (r"^fee .* exceeds max fee", Refusal(Rejected, "FEE_TOO_HIGH")),
    (r"^output already locked", Refusal(Rejected, "leased_by_another")),
    (r"^output unlock not al", Refusal(Rejected, "leased_by_another")),
    (r"^unable to find node", Refusal(NotFound, "unknown_node")),
    (r"^unknown output", Refusal(NotFound, "unknown_output")),
    (r"^can not find transaction", Refusal(NotFound, "unknown_transaction")),
    (r"the passed output does not belong to the wallet", Refusal(NotFound, "unknown_output")),
    (r"unable to bump fee of a confirmed transaction", Refusal(Rejected, "confirmed")),
    # publishing, refused by the mempool; the wallet forgets the transaction again
    (r"^transaction rejected: output already spent", _DOUBLE_SPEND),
    (r"^(?:txn mempool conflict|missing inputs|bad txns inputs missingorspent)", _DOUBLE_SPEND),
    (r"^transaction rejected by the mempool because of low fees", _FEE_TOO_LOW),
    (r"^(?:insufficient fee|mempool min fee not met|min relay fee not met)", _FEE_TOO_LOW),
    (r"^(?:max fee exceeded|max feerate exceeded|too long mempool chain|mempool full|dust)", _REFUSED),
    (r"^(?:bad txns |bad witness |tx size|non final|non BIP68 final|bip125 replacement|replacement adds)", _REFUSED),
    (r"^undefined: failed to validate input", _REFUSED),
    (r"^(?:mandatory script verify|non mandatory script verify|scriptpubkey|scriptsig|too many potential)", _REFUSED),
)

#: How other nodes refuse: lnd, CLN, LDK, eclair, Electrum, and what their owners write. The first row that fits counts.
#: A word that is final for the order (orders.openings.reasons) stands here only for what says that it is.
_PEER_SAYS: tuple[tuple[str, Refusal], ...] = (
    # for now
    (r"number of pending channels exceed", _TOO_MANY_PENDING),
    (r"too many pending", _TOO_MANY_PENDING),
    (r"unfunded channels", _TOO_MANY_PENDING),
    (r"rate limit reached|concurrent request rejected", _TOO_MANY_PENDING),
    (r"synchronizing blockchain|still syncing|not (?:yet )?(?:fully )?synced", _PEER_OFFLINE),
    (r"fee ?rates?(?:_per_kw)?\b.{0,80}(?:below|above|too (?:low|high|small|large|different))", _FEE_RATE),
    (r"internal error", _FAILED_OPENING),
    # for good
    (r"is below min chan size|(?:funding_satoshis|funding_sat)\b.* too (?:small|low)|channel capacity is .* below "
     r"|funding satoshis \(\d+\) is less than|invalid funding_amount=[^(]*\(min=[^)=]*\)", _TOO_SMALL),
    (r"exceeds maximum chan size|channel too large|funding must be (?:at most|smaller)|funding_satoshis\b.* too large"
     r"|funding_satoshis to less than|invalid funding_amount=[^(]*\(max=", _TOO_BIG),
    (r"multiple channels|already ha(?:s|ve) (?:an? )?(?:active |open )?channel|only one channel", _MULTIPLE),
    (r"announcement preference|only (?:accepts? |takes? )?(?:public|private|(?:un)?announced) channels"
     r"|(?:public|private|(?:un)?announced) channels? (?:are |is )?not (?:accepted|allowed|supported)", _ANNOUNCEMENT),
    (r"zero[- ]?conf(?:irmation)?s?\b", _ZERO_CONF),
    (r"channel[ _]type|unsupported feature|anchor outputs accepted", _FEATURE),
    (r"non-zero push amounts are disabled", _PEER_POLICY),
    (r"no inbound channels accepted|\bonly accepts? (?:inbound )?channels from\b|\b(?:allow|white|black)[- ]?list",
     _PEER_POLICY),
)  # fmt: skip

#: A `^` means the start of the sentence itself, without the wrapping of nested gRPC errors.
_WRAPPING = re.compile(r"^(?:rpc error: code = \w+ desc = )+")
#: A peer may send 65,535 bytes of words; what matters stands at their beginning.
_MOST_READ = 2_000


def refusal(text: str) -> Refusal | None:
    """What the node's sentence means, or None where no row knows it. Words of a peer that no row knows may pass."""
    text = _WRAPPING.sub("", text[:_MOST_READ].strip())
    peer = _PEER_SPEAKS.search(text)
    if peer:
        return _first(_PEER_SAYS, peer["words"]) or _CHANNEL_REJECTED
    return _first(_NODE_SAYS, text)


#: A limit of sizes in a peer's own words, and what its number is worth in satoshis.
_LEAST: tuple[tuple[str, int], ...] = (
    (r"is below min chan size of ([0-9.]+) BTC", 10**8),
    (r"\(min=(\d+) sat", 1),
    (r"funding satoshis \(\d+\) is less than the user specified limit \((\d+)\)", 1),
    (r"channel capacity is .* below (\d+)sat", 1),
)
_MOST: tuple[tuple[str, int], ...] = (
    (r"exceeds maximum chan size of ([0-9.]+) BTC", 10**8),
    (r"max=(\d+) sat", 1),
    (r"(?:funding must be (?:at most|smaller than)|sat >) (\d+)", 1),
)


def told_limits(text: str) -> tuple[int | None, int | None]:
    """The least and the most satoshis that a refusal names. The words are a stranger's: what makes no sense is none."""
    text = text[:_MOST_READ]
    return _told(_LEAST, text), _told(_MOST, text)


def _told(table: tuple[tuple[str, int], ...], text: str) -> int | None:
    for pattern, worth in table:
        found = re.search(pattern, text, re.IGNORECASE)
        if found:
            amount_sat = _satoshis(found[1], worth)
            return amount_sat if 0 < amount_sat < _ALL_SAT else None
    return None


def _satoshis(number: str, worth: int) -> int:
    """Without floats. -1: it is no number, or has more digits than any amount."""
    whole, _, part = number.partition(".")
    digits = len(str(worth)) - 1
    if not (whole + part).isdecimal() or len(whole) > _MOST_DIGITS or len(part) > _MOST_DIGITS:
        return -1
    return int(whole or 0) * worth + int(part[:digits].ljust(digits, "0") or 0)


_ALL_SAT = 21 * 10**14
_MOST_DIGITS = 16


def legible(text: str, length: int) -> str:
    """The text on one line, so long at most, without what no reader should meet.

    It may be a stranger's: control characters steer a terminal, turned writing hides what is said, NUL is refused by
    the database, and markup is for a page to take at its word.
    """
    shown = "".join(letter if letter.isprintable() else " " for letter in text[: 4 * length])
    return " ".join(shown.translate(_NO_MARKUP).split())[:length]


_NO_MARKUP = str.maketrans("<>`", "()'")


def _first(table: tuple[tuple[str, Refusal], ...], text: str) -> Refusal | None:
    return next((meaning for pattern, meaning in table if re.search(pattern, text, re.IGNORECASE)), None)
