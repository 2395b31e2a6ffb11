"""What would keep a channel from opening: pure rules over facts. No framework, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

#: Without `option_support_large_channel` of both nodes no channel is larger.
MOST_SMALL_SAT: Final = (1 << 24) - 1
#: Bits of the peer's `init`, required and optional.
WUMBO: Final = frozenset({18, 19})
SCID_ALIAS: Final = frozenset({46, 47})
ZERO_CONF: Final = frozenset({50, 51})
#: How many channels of one peer LND lets be pending, where its owner has set nothing else.
LND_MOST_PENDING: Final = 1
#: A commitment with anchors and without payments, its two anchors, and the fee rate that LND bounds it by.
COMMITMENT_WEIGHT: Final = 1_124
ANCHORS_SAT: Final = 2 * 330
MOST_COMMITMENT_SAT_PER_KW: Final = 2_500
#: Each side keeps a hundredth of the channel that it cannot spend, and never less than what is dust.
RESERVE_PART: Final = 100
DUST_SAT: Final = 573

#: Our names of what a buyer would change.
NODE, CAPACITY, ANNOUNCED, CLIENT_BALANCE = "node", "capacity_sat", "announced", "client_balance_sat"
CONFIRMATIONS: Final = "required_channel_confirmations"

#: What would work in its place: a number, yes or no; None: nothing that we could name.
Works = int | bool | None


@dataclass(frozen=True, slots=True)
class Asked:
    """The channel, as a peer would be asked for it."""

    pubkey: str
    host: str
    lsp_balance_sat: int
    client_balance_sat: int
    announced: bool
    #: Whether somebody has asked for that: else a peer that takes no public channel gets another one by itself.
    announced_is_asked: bool
    zero_conf: bool = False

    @property
    def capacity_sat(self) -> int:
        """Both sides together."""
        return self.lsp_balance_sat + self.client_balance_sat


@dataclass(frozen=True, slots=True)
class Past:
    """One attempt to open a channel to this peer that is over, or a dry run; the peer's own words tell its limits."""

    #: Empty: it went well.
    reason: str
    announced: bool
    capacity_sat: int
    push_sat: int
    least_sat: int | None = None
    most_sat: int | None = None
    #: It was asked for just this channel, just now.
    is_fresh: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the peer. None: it was not looked at."""

    #: What came of earlier attempts, the newest first.
    past: tuple[Past, ...] = ()
    connected: bool | None = None
    #: It was dialled where the buyer says, for as long as a buyer can be kept waiting.
    dialled: bool = False
    features: frozenset[int] | None = None
    pending: int | None = None
    channels: int | None = None
    sat_per_kw: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that would keep the channel from opening, or from being of use, and what would work."""

    code: str
    message: str
    field: str
    works: Works = None
    #: As things stand it would fail. Else it may, or costs the buyer something.
    is_sure: bool = True


def judge(asked: Asked, facts: Facts) -> tuple[Finding, ...]:
    """All that speaks against it: of each field and word once, the first rule that says so."""
    found: dict[tuple[str, str], Finding] = {}
    for rule in _RULES:
        for finding in rule(asked, facts):
            found.setdefault((finding.code, finding.field), finding)
    return tuple(found.values())


def commitment_sat(sat_per_kw: int) -> int:
    """What the channel's own transaction costs us, whose side it is taken from."""
    rate = min(max(sat_per_kw, 253), MOST_COMMITMENT_SAT_PER_KW)
    return COMMITMENT_WEIGHT * rate // 1_000 + ANCHORS_SAT


def reserve_sat(capacity_sat: int) -> int:
    """What either side cannot spend."""
    return max(DUST_SAT, capacity_sat // RESERVE_PART)


def _reach(asked: Asked, facts: Facts) -> Iterator[Finding]:
    if facts.connected is not False:
        return
    if facts.dialled:
        words = "Your node does not answer where you say, and is not connected to ours."
        yield Finding("PEER_NOT_REACHABLE", words, NODE)
    elif not asked.host:
        words = (
            "Your node is not connected to ours, and you name no address: connect it to ours, or name key@host:port."
        )
        yield Finding("PEER_NOT_REACHABLE", words, NODE, is_sure=False)


def _features(asked: Asked, facts: Facts) -> Iterator[Finding]:
    if facts.features is None:
        return
    if asked.capacity_sat > MOST_SMALL_SAT and not facts.features & WUMBO:
        words = f"Your node has not switched on channels of more than {MOST_SMALL_SAT} satoshis (wumbo)."
        yield Finding("CHAN_SIZE_TOO_BIG", words, CAPACITY, MOST_SMALL_SAT)
    if asked.zero_conf and not (facts.features & ZERO_CONF and facts.features & SCID_ALIAS):
        words = "Your node takes no channel before its funding is confirmed (zero-conf and scid-alias are needed)."
        yield Finding("FEATURE_MISSING", words, CONFIRMATIONS, 1, is_sure=False)  # it gets an ordinary one


def _too_small(asked: Asked, facts: Facts) -> Iterator[Finding]:
    """As the peer has told it; where it named no number, what it refused is one."""
    for past in facts.past:
        if not past.reason and past.capacity_sat <= asked.capacity_sat:
            return  # it has taken such a one since
        if past.reason == "CHAN_SIZE_TOO_SMALL":
            least = past.least_sat or past.capacity_sat + 1
            if asked.capacity_sat < least:
                words = f"Your node takes no channel of less than {least} satoshis."
                yield Finding(past.reason, words, CAPACITY, least)
            return


def _too_big(asked: Asked, facts: Facts) -> Iterator[Finding]:
    for past in facts.past:
        if not past.reason and past.capacity_sat >= asked.capacity_sat:
            return
        if past.reason == "CHAN_SIZE_TOO_BIG":
            most = past.most_sat or past.capacity_sat - 1
            if asked.capacity_sat > most:
                words = f"Your node takes no channel of more than {most} satoshis."
                yield Finding(past.reason, words, CAPACITY, most)
            return


def _announcement(asked: Asked, facts: Facts) -> Iterator[Finding]:
    """Many wallets take no public channel, and say no more than that they refuse. The newest word counts."""
    if not asked.announced_is_asked:
        return
    alike = next((past for past in facts.past if past.announced == asked.announced and _tells(past)), None)
    if alike is None or not alike.reason:
        return
    if alike.reason == "ANNOUNCEMENT_REJECTED" or asked.announced:
        kind, other = ("public", "an unannounced") if asked.announced else ("unannounced", "a public")
        words = f"Your node has refused {'a' if asked.announced else 'an'} {kind} channel: ask for {other} one."
        yield Finding("ANNOUNCEMENT_REJECTED", words, ANNOUNCED, not asked.announced)


def _tells(past: Past) -> bool:
    """Of what a peer thinks of public or unannounced channels."""
    return past.reason in {"", "ANNOUNCEMENT_REJECTED", "CHANNEL_REJECTED"}


def _slots(asked: Asked, facts: Facts) -> Iterator[Finding]:
    if facts.pending is not None and facts.pending >= LND_MOST_PENDING:
        words = f"Your node has {facts.pending} pending from us, and most take {LND_MOST_PENDING}: wait for its block."
        yield Finding("PEER_TOO_MANY_PENDING_CHANNELS", words, NODE, LND_MOST_PENDING, is_sure=False)


def _second(asked: Asked, facts: Facts) -> Iterator[Finding]:
    if facts.channels and _newest(facts) == "PEER_REJECT_MULTI_CHAN":
        yield Finding("PEER_REJECT_MULTI_CHAN", "Your node takes no second channel from us.", NODE)


def _policy(asked: Asked, facts: Facts) -> Iterator[Finding]:
    """What it will not have whoever asks: pushed money, or anything from us."""
    past = next((each for each in facts.past if each.reason in {"", "PEER_POLICY", "FEATURE_MISSING"}), None)
    if past is None or not past.reason:
        return
    if past.push_sat and past.reason == "PEER_POLICY":
        if asked.client_balance_sat:
            words = "Your node takes no channel with a balance on its own side."
            yield Finding(past.reason, words, CLIENT_BALANCE, 0)
    elif past.reason == "PEER_POLICY":
        yield Finding(past.reason, "Your node takes no channel from us, and says so.", NODE)
    else:
        yield Finding(past.reason, "One of the two nodes lacks what such a channel needs.", NODE)


def _newest(facts: Facts) -> str:
    return facts.past[0].reason if facts.past else ""


def _refused(asked: Asked, facts: Facts) -> Iterator[Finding]:
    """Refused the last time in words that say nothing: it may pass. A public one nobody asked for goes without."""
    past = facts.past[0] if facts.past else None
    if past is None or past.announced != asked.announced or asked.announced:
        return
    if past.reason == "CHANNEL_REJECTED":
        when = "this channel" if past.is_fresh else "the last channel that we wanted to open to it"
        words = f"Your node has refused {when}, and did not say why."
        yield Finding(past.reason, words, NODE, is_sure=past.is_fresh)


def _fresh(asked: Asked, facts: Facts) -> Iterator[Finding]:
    """What it has said just now, and no other rule knows: it may pass."""
    past = facts.past[0] if facts.past else None
    if past is not None and past.is_fresh and past.reason == "FEE_RATE_REJECTED":
        words = "Your node finds the fee rate of the channel's own transaction too low, or too high, just now."
        yield Finding(past.reason, words, NODE, is_sure=False)
    if past is not None and past.is_fresh and past.reason == "PEER_TOO_MANY_PENDING_CHANNELS":
        words = "Your node takes no more pending channels now: wait until one of them is confirmed."
        yield Finding(past.reason, words, NODE, LND_MOST_PENDING, is_sure=False)


def _commitment(asked: Asked, facts: Facts) -> Iterator[Finding]:
    """Our side pays for the channel's own transaction and must be left with what we cannot spend."""
    needed = commitment_sat(facts.sat_per_kw) + reserve_sat(asked.capacity_sat)
    if asked.lsp_balance_sat <= needed:
        words = f"Of our side {needed} satoshis go into fees and reserve of the channel: ask for more."
        yield Finding("CHAN_SIZE_TOO_SMALL", words, CAPACITY, needed + 1 + asked.client_balance_sat)


def _reserve(asked: Asked, facts: Facts) -> Iterator[Finding]:
    """What is pushed and lies within the reserve is paid for, and cannot be spent."""
    reserve = reserve_sat(asked.capacity_sat)
    if 0 < asked.client_balance_sat <= reserve:
        words = f"Each side keeps {reserve} satoshis in reserve: so little on yours cannot be spent before more came."
        works = asked.lsp_balance_sat // (RESERVE_PART - 1) + 1
        yield Finding("WITHIN_RESERVE", words, CLIENT_BALANCE, max(works, DUST_SAT + 1), is_sure=False)


_RULES: Final[tuple[Callable[[Asked, Facts], Iterator[Finding]], ...]] = (
    _reach,
    _features,
    _too_small,
    _too_big,
    _announcement,
    _slots,
    _second,
    _policy,
    _refused,
    _fresh,
    _commitment,
    _reserve,
)
