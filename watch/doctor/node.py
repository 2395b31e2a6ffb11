"""Checks of what the node says. Pure: values in, a finding out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set
from typing import Final

from lightning.errors import LightningError
from lightning.just_in_time import Lack
from lightning.types import takes_zero_conf
from lightning.versions import LOWEST_LND_VERSION, Fault, dotted, faults_of, is_supported
from orders.figures import ENOUGH_COINS
from watch.doctor.finding import Finding, failure, ok, warning

#: BOLT 2: without `option_support_large_channel` (bits 18 and 19) a channel is smaller than 2^24 sat.
WUMBO_BITS: Final = frozenset({18, 19})
LARGEST_SAT: Final = 2**24 - 1
#: A block may not be dated further ahead of the others' clocks than that.
_AHEAD_SECONDS: Final = 2 * 3600
#: On a network with steady blocks a longer wait for one is rare.
_BEHIND_SECONDS: Final = 2 * 3600
_STEADY: Final = frozenset({"mainnet", "signet"})
_SHOWN: Final = 8

_UNLOCK: Final = "Unlock LND's wallet (`lncli unlock`, or wallet-unlock-password-file), and wait until it has started."
_ANNOUNCE: Final = (
    "Set protocol.custom-nodeann=729 and protocol.custom-init=729 in lnd.conf, and start LND anew; or bake a macaroon "
    "that allows UpdateNodeAnnouncement, with which the streams process announces it."
)
_BAKE: Final = "Bake a macaroon with `manage.py bake_macaroon`, and set LND_MACAROON to it."


def not_configured() -> Finding:
    """We do not know which node is ours."""
    return failure("node", "no node is set", "Set LND_GRPC, LND_TLS_CERT, LND_MACAROON and LND_NETWORK.")


def unreadable(error: LightningError) -> Finding:
    """The node did not say who it is, under the name of the check that this fails."""
    seen = str(error)[:300]
    match error.reason:
        case "NODE_NOT_READY":
            return failure("wallet", seen, _UNLOCK)
        case "NETWORK_MISMATCH":
            return failure("network", seen, "Set LND_NETWORK to the node's network, or LND_GRPC to another node.")
        case "ANOTHER_NODE":
            return failure("node", seen, "Set LND_GRPC to the node whose orders are in this database, or DATABASE_URL.")
        case "PERMISSION_DENIED" | "MACAROON_UNREADABLE":
            return failure("macaroon", seen, _BAKE)
        case "CERTIFICATE_UNREADABLE":
            return failure("node", seen, "Set LND_TLS_CERT to LND's tls.cert.")
    return failure("node", seen, "Start LND; look at LND_GRPC, at LND_TLS_CERT, and at what is between us and it.")


def broken_off(error: LightningError) -> Finding:
    """The node went away while we looked."""
    return failure("examination", str(error)[:300], "Look at LND's log, and run `manage.py doctor` again.")


def node(alias: str, pubkey: str) -> Finding:
    """The node answers."""
    return ok("node", f"{alias or '(no alias)'} {pubkey}")


def wallet() -> Finding:
    """Where the node answers GetInfo its wallet is open."""
    return ok("wallet", "unlocked")


def version(said: str) -> Finding:
    """The node is one that our margins were made for, and nothing is known to be wrong with it."""
    said = said.removesuffix(" commit=")  # as a build says it that knows of no commit
    if not is_supported(said):
        return failure("version", said or "unknown", f"Upgrade LND to {dotted(LOWEST_LND_VERSION)} or newer.")
    if faults := faults_of(said):
        return warning("version", said, "\n".join(map(_told, faults)))
    return ok("version", said)


def _told(fault: Fault) -> str:
    return f"Before {dotted(fault.mended_in)} {fault.what}. {fault.mend}"


def chain(synced: bool, height: int) -> Finding:
    """The node follows the chain; until then nothing is sold."""
    seen = f"block {height:,}, {'synced' if synced else 'not synced'}"
    return ok("chain", seen) if synced else failure("chain", seen, "Wait until LND and its chain backend are synced.")


def network(said: str, wanted: str) -> Finding:
    """The node's coins are those that we sell."""
    if said == wanted:
        return ok("network", said)
    return failure("network", f"{said}, not {wanted or '(not set)'}", "Set LND_NETWORK to the node's network.")


def addresses(uris: Sequence[str], pubkey: str) -> Finding:
    """Buyers know where to connect, and find our node there."""
    others = [uri for uri in uris if uri.partition("@")[0].lower() != pubkey]
    if others:
        mend = f"Set NODE_URIS to addresses of {pubkey}, or leave it out: whoever connects finds another node."
        return failure("addresses", f"of another node: {', '.join(others)}", mend)
    if uris:
        return ok("addresses", ", ".join(uris))
    mend = "Set externalip in lnd.conf, or NODE_URIS: without an address nobody can claim by LNURL."
    return failure("addresses", "none is advertised", mend)


def macaroon(
    missing: Collection[str], unknown: Collection[str], excess: Collection[str], off: Mapping[str, Collection[str]]
) -> Finding:
    """We may do what we have to do, and not much more. `off`: what each feature lacks that selling does without."""
    if unknown:
        mend = "Use a build of LND with chainrpc, invoicesrpc and walletrpc (release builds have them)."
        return failure("macaroon", f"the node has no {_listed(unknown)}", mend)
    if missing:
        return failure("macaroon", f"does not allow {_listed(missing)}", _BAKE)
    if off:
        told = "; ".join(f"{feature} off: does not allow {_listed(methods)}" for feature, methods in off.items())
        return warning("macaroon", told, _BAKE)
    if excess:
        return warning("macaroon", f"also allows {_listed(excess)}, which the server never calls", _BAKE)
    return ok("macaroon", "allows what the server calls, and no more")


def onchain(is_on: bool, lacking: str, owed_sat: int, deep_sat: int) -> Finding:
    """Buyers can pay on chain, and what is owed back can go back."""
    if deep_sat < owed_sat:
        mend = "Send coins to LND's wallet, or lower REFUND_RESERVE_SAT if that alone asks for so much."
        return failure("onchain", f"{owed_sat:,} sat are kept to go back, and {deep_sat:,} sat are deep", mend)
    if not is_on:
        return ok("onchain", "off by ONCHAIN_ENABLED")
    if lacking:
        return warning("onchain", f"not offered: the macaroon does not allow {_listed([lacking])}", _BAKE)
    return ok("onchain", f"on; {owed_sat:,} sat are kept to go back")


def over_lightning(is_on: bool, lacking: str, is_announced: bool, is_to_be_announced: bool) -> Finding:
    """Peers can buy by LSPS1 over Lightning, and wallets find out that they can."""
    if not is_on:
        return ok("lsps1", "over Lightning: off by LSPS1_OVER_LIGHTNING")
    if lacking:
        return warning("lsps1", f"not over Lightning: the macaroon does not allow {_listed([lacking])}", _BAKE)
    if is_announced:
        return ok("lsps1", "over Lightning, and announced (feature bit 729)")
    if not is_to_be_announced:
        return ok("lsps1", "over Lightning; not announced, by LSPS1_ANNOUNCED")
    return warning("lsps1", "over Lightning, and not announced (feature bit 729)", _ANNOUNCE)


def waking(is_on: bool, lacking: str) -> Finding:
    """Wallets that are away can be told that they are wanted."""
    if not is_on:
        return ok("lsps5", "off by LSPS5_ENABLED")
    if lacking:
        mend = f"With LSPS5_ENABLED=on: {_BAKE[0].lower()}{_BAKE[1:]}"
        return warning("lsps5", f"no wallet is woken: the macaroon does not allow {_listed([lacking])}", mend)
    return ok("lsps5", "wallets that are away are told that they are wanted")


def just_in_time(is_on: bool, lacks: Sequence[Lack], *, is_asked_for_all: bool, opens_several: bool = True) -> Finding:
    """Channels are sold that open while their payment is on its way; and nobody's payments wait for who does not come.

    `is_asked_for_all`: LND forwards nothing while no interceptor answers, as far as we may know. `opens_several`: a
    first payment that is under way leaves coins for the next.
    """
    if not is_on and is_asked_for_all:
        mend = "Set LSPS2_ENABLED=on, or take requireinterceptor out of lnd.conf, unless another program answers LND."
        return warning("lsps2", "off, and LND forwards nothing that no interceptor has answered", mend)
    if not is_on:
        return ok("lsps2", "off by LSPS2_ENABLED")
    if lacks:
        mend = "\n".join(dict.fromkeys(lack.mend for lack in lacks))
        return warning("lsps2", f"not sold: {'; '.join(lack.what for lack in lacks)}", mend)
    if not opens_several:
        mend = "Make several coins of it: `manage.py coins --split 5`. Until then who comes second waits, and fails."
        return warning("lsps2", "one first payment at a time: the largest coin is more than a quarter of all", mend)
    return ok("lsps2", "the node can open channels just in time")


def uncheckable_macaroon(refused: Collection[str]) -> Finding:
    """It may not be asked about: so what reads was called, and what changes anything is not known."""
    if refused:
        return failure("macaroon", f"does not allow {_listed(refused)}", _BAKE)
    return warning("macaroon", "allows all reads; the rest cannot be checked with it", _BAKE)


def _listed(methods: Collection[str]) -> str:
    names = sorted(method.rpartition("/")[2] for method in methods)
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def features(bits: Collection[int], largest_sat: int) -> Finding:
    """The node can open the largest channel on sale."""
    if largest_sat <= LARGEST_SAT:
        return ok("features", f"no service sells more than {LARGEST_SAT:,} sat")
    if WUMBO_BITS & set(bits):
        return ok("features", f"large channels, up to {largest_sat:,} sat on sale")
    mend = "Set protocol.wumbo-channels=true in lnd.conf, or lower the service's largest channel."
    return failure("features", f"{largest_sat:,} sat on sale, and the node opens {LARGEST_SAT:,} at most", mend)


def zero_conf(bits: Set[int]) -> Finding:
    """Who asks for a channel that is usable at once can have one, from us as far as it is ours to say."""
    if takes_zero_conf(bits):
        return ok("zero_conf", "offered to who asks for it, where the peer takes such channels")
    note = "For such channels set protocol.zero-conf=true and protocol.option-scid-alias=true in lnd.conf."
    return ok("zero_conf", "no channel is usable before its funding is mined", note)


def coins(deep_sat: Sequence[int], kept_sat: int, smallest_sat: int) -> Finding:
    """Several channels can be opened one after the other, without waiting for change."""
    free_sat = max(0, sum(deep_sat) - kept_sat)
    seen = f"{len(deep_sat):,} deep coins, {free_sat:,} sat of them free"
    if smallest_sat and free_sat <= smallest_sat:
        mend = f"Send coins to LND's wallet: the smallest channel on sale has {smallest_sat:,} sat."
        return warning("coins", seen, mend)
    if len(deep_sat) < ENOUGH_COINS:
        return warning("coins", seen, f"Keep {ENOUGH_COINS} or more coins: an opening takes at least one for an hour.")
    return ok("coins", seen)


def coin_sizes(can_sell_sat: int, largest_sat: int, free_sat: int) -> Finding:
    """The largest channel on sale can be paid for with the coins that there are, and not only with their sum."""
    wanted_sat = min(largest_sat, free_sat * 9 // 10)  # that the sum is too small is told already
    seen = f"pay for channels of up to {can_sell_sat:,} sat at once"
    if can_sell_sat >= wanted_sat:
        return ok("coin_sizes", seen)
    mend = "Make fewer coins of them while fees are low: `manage.py coins --consolidate --below 3`."
    return warning("coin_sizes", f"{seen}, though {free_sat:,} sat are there", mend)


def fee_budgets(waiting: int, above: int) -> Finding:
    """The next fundings cost no more than the orders have paid for them."""
    if not above:
        return ok("fee_budgets", f"enough for all of {waiting:,} paid orders that are to be opened")
    mend = "They wait for lower fees, and give up at the end of their windows. Larger coins make fundings cheaper."
    return warning("fee_budgets", f"too small at today's fees for {above:,} of {waiting:,} paid orders", mend)


def nested_coins(amounts_sat: Sequence[int]) -> Finding:
    """All coins can fund channels: what spends a nested one gets its final id only when it is signed."""
    if not amounts_sat:
        return ok("nested_coins", "none")
    mend = "Send them to a native address of LND's wallet (`lncli newaddress p2wkh`, `lncli sendcoins --utxo`)."
    return warning("nested_coins", f"{sum(amounts_sat):,} sat in {len(amounts_sat):,} that fund no channel", mend)


def reserve(wallet_sat: int, required_sat: int) -> Finding:
    """Closes of anchor channels can be paid for."""
    seen = f"{wallet_sat:,} sat in the wallet, {required_sat:,} to be kept for closes"
    if wallet_sat >= required_sat:
        return ok("reserve", seen)
    return failure(
        "reserve", seen, "Send coins to LND's wallet: a forced close may not be paid for, nor a channel opened."
    )


def block_time(ahead_seconds: int, network: str) -> Finding:
    """Our clock agrees with the newest block as far as a block can tell. Positive: the block is ahead of us."""
    seen = (
        f"the newest block is dated {abs(ahead_seconds):,} s {'ahead of' if ahead_seconds > 0 else 'before'} our clock"
    )
    mend = "Let this machine follow NTP; if its clock is right, look whether LND's chain backend gets blocks."
    if ahead_seconds > _AHEAD_SECONDS:
        return failure("block_time", seen, mend)
    if network in _STEADY and -ahead_seconds > _BEHIND_SECONDS:
        return warning("block_time", seen, mend)
    return ok("block_time", seen)


def inbound_slots() -> Finding:
    """A note: LND tells nobody how many strangers may connect."""
    return ok("inbound_slots", "LND does not tell num-restricted-slots (docs/operating.md: lnd.conf)")
