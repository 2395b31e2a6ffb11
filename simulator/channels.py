"""Channels, from the first word with a customer to the last confirmation of the close."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from simulator import scripts
from simulator.chain import Chain
from simulator.peers import AT_OPEN, AT_VERIFY, OFFLINE, ONLINE, SILENT, Customer, Customers
from simulator.refused import Refused
from simulator.scripts import Point, Tx

# A channel's life. Abandoned and closed ones are kept as summaries.
PENDING, OPEN, CLOSING, FORCE_CLOSING, CLOSED = "pending", "open", "closing", "force_closing", "closed"
COOPERATIVE, LOCAL_FORCE, REMOTE_FORCE = "COOPERATIVE_CLOSE", "LOCAL_FORCE_CLOSE", "REMOTE_FORCE_CLOSE"
ABANDONED = "ABANDONED"
#: Asked for by us; LND says who asked beside the kind.
OUR_COOPERATIVE = "COOPERATIVE_CLOSE_OF_OURS"
CLOSE_TYPES = (COOPERATIVE, OUR_COOPERATIVE, LOCAL_FORCE, REMOTE_FORCE)

#: A negotiation: asked the customer; agreed; the PSBT seen; over.
ASKED, AGREED, VERIFIED, OVER = "asked", "agreed", "verified", "over"

MIN_CHANNEL_SAT = 20_000
MAX_MEMO = 500
#: LND takes a close for final after so many blocks; its own forced money waits longer.
CLOSE_DEPTH = 3
FORCE_DEPTH = 144
#: A customer that has agreed waits so long for our signature.
RESERVATION_SECONDS = 600
#: Set aside by whoever opens: the commitment's fee and its two anchors.
COMMIT_FEE_SAT = 2_810 + 660
#: What a new channel asks for, where nobody says otherwise.
BASE_MSAT, PPM, CLTV_BLOCKS = 1_000, 1, 80
#: LND counts the names of channels that are in no block from there on: no block has such a height.
_FIRST_ALIAS = 16_000_000 << 40


@dataclass
class Channel:
    """One channel."""

    point: Point
    pubkey: str
    capacity_sat: int
    push_sat: int
    private: bool
    by_us: bool
    memo: str
    local_sat: int
    remote_sat: int
    key_name: str
    stage: str = PENDING
    short_id: int = 0
    closing_txid: str = ""
    close_type: str = ""
    close_height: int = 0
    closed_by_us: bool = False
    #: We want to close it together, and the customer has not answered yet; LND keeps that over restarts.
    is_asked_to_close: bool = False
    #: What our node asks for forwarding over it.
    base_msat: int = BASE_MSAT
    ppm: int = PPM
    cltv_blocks: int = CLTV_BLOCKS
    #: Of one that is usable before its funding is mined: what it is called, for ever.
    alias: int = 0
    #: What ends it, where the network cannot take that yet: nobody has published the funding.
    unheard: Tx | None = None
    #: How often its balances were agreed upon anew.
    updates: int = 0
    #: In which of the customer's lives it came to be.
    life: int = 0

    @property
    def is_alive(self) -> bool:
        """It is pending or open, in whatever sense."""
        return self.stage != CLOSED

    @property
    def known_as(self) -> int:
        """What the node calls it in its lists."""
        return self.alias or self.short_id


@dataclass(eq=False)
class Flow:
    """One negotiation. It lives in the node's memory: a restart forgets it."""

    pending_chan_id: bytes
    customer: Customer
    capacity_sat: int
    push_sat: int
    private: bool
    memo: str
    key_name: str
    pk_script: bytes
    stage: str = ASKED
    agreed_at: float = 0
    #: What the OpenChannel stream says: ("fund" | "pending" | "open", point), or Refused.
    updates: asyncio.Queue[tuple[str, Point] | Refused] = field(default_factory=asyncio.Queue)
    point: Point | None = None
    zero_conf: bool = False
    is_free: bool = False

    def end(self, text: str) -> None:
        """The stream ends with this sentence."""
        self.stage = OVER
        self.updates.put_nowait(Refused(text))


@dataclass
class Channels:
    """All channels by their point. What happened since it was last asked for (kind, point) stands in `changed`."""

    seed: bytes
    by_point: dict[Point, Channel] = field(default_factory=dict)
    keys_used: int = 0
    changed: list[tuple[str, Point]] = field(default_factory=list)

    def alive(self, pubkey: str = "") -> list[Channel]:
        """Those that are not over, of one customer or of all."""
        return [each for each in self.by_point.values() if each.is_alive and pubkey in ("", each.pubkey)]

    def has_open(self, pubkey: str) -> bool:
        """Something keeps us and the customer together."""
        return any(each.stage in (OPEN, PENDING) for each in self.alive(pubkey))

    def new_keys(self) -> tuple[str, bytes, bytes]:
        """Fresh keys of both sides: their name, the funding's script and what is behind it."""
        name = f"channel/{self.keys_used}"
        self.keys_used += 1
        return name, *self.scripts_of(name)

    def scripts_of(self, key_name: str) -> tuple[bytes, bytes]:
        """The funding's script, and what is behind it."""
        return scripts.two_of_two(*self._keys(key_name))

    def _keys(self, key_name: str) -> tuple[Any, Any]:
        return scripts.key(self.seed, f"{key_name}/ours"), scripts.key(self.seed, f"{key_name}/theirs")

    def new_alias(self) -> int:
        """A name that no block will ever give."""
        return _FIRST_ALIAS | sum(1 for each in self.by_point.values() if each.alias) << 16

    def add(self, channel: Channel) -> None:
        """The channel is pending; or open at once, where it has a name that needs no block."""
        self.by_point[channel.point] = channel
        self.changed.append(("pending", channel.point))
        if channel.alias:
            channel.stage = OPEN
            self.changed.append(("open", channel.point))

    def abandon(self, point: Point, *, height: int) -> None:
        """Our node has forgotten the channel. Repeat: safe. Raises: Refused when it never knew it."""
        channel = self.by_point.get(point)
        if channel is None:
            raise Refused("unable to find closed channel summary")
        if channel.is_alive:
            self._close(channel, ABANDONED, height)

    # What the chain does

    def block_came(self, chain: Chain) -> None:
        """Fundings and closes that are deep enough have their effect."""
        for channel in self.alive():
            is_mined = chain.depth(channel.point[0]) >= 1
            if is_mined and not channel.short_id:
                txid, index = channel.point
                channel.short_id = chain.mined[txid] << 40 | chain.place(txid) << 16 | index
            if is_mined and channel.stage == PENDING:
                channel.stage = OPEN
                self.changed.append(("open", channel.point))
            depth = chain.depth(channel.closing_txid)
            if channel.stage == CLOSING and channel.close_type == LOCAL_FORCE and depth >= 1:
                channel.stage = FORCE_CLOSING
            if self._close_is_deep(channel, depth):
                self._close(channel, channel.close_type, chain.mined[channel.closing_txid])

    def _close_is_deep(self, channel: Channel, depth: int) -> bool:
        if channel.stage == FORCE_CLOSING:
            return depth >= FORCE_DEPTH
        return channel.stage == CLOSING and channel.close_type != LOCAL_FORCE and depth >= CLOSE_DEPTH

    def _close(self, channel: Channel, close_type: str, height: int) -> None:
        channel.stage, channel.close_type, channel.close_height = CLOSED, close_type, height
        self.changed.append(("closed", channel.point))

    def closing(self, channel: Channel, close_type: str, our_script: bytes, fee_sat: int) -> Tx:
        """The signed transaction that ends the channel; the channel counts as closing. Raises: Refused."""
        if close_type not in CLOSE_TYPES:
            raise Refused(f"a close is one of {', '.join(CLOSE_TYPES)}")
        if channel.stage != OPEN and (channel.stage, close_type) != (PENDING, REMOTE_FORCE):
            raise Refused(f"the channel is {channel.stage}")
        keys = self._keys(channel.key_name)
        _, inner = scripts.two_of_two(*keys)
        theirs = scripts.p2wpkh(scripts.key(self.seed, f"customer-wallet/{channel.pubkey}"))
        shares = [(our_script, channel.local_sat), (theirs, channel.remote_sat)]
        # Each output bears the whole fee, which is twice too much and always enough.
        outputs = [(script, amount_sat - fee_sat) for script, amount_sat in shares if amount_sat > 1_000 + fee_sat]
        unsigned = scripts.build([channel.point], outputs)
        items = scripts.witness_two_of_two(unsigned, 0, inner, channel.capacity_sat, keys)
        tx = scripts.with_witnesses(unsigned, [items])
        channel.closed_by_us = close_type in (LOCAL_FORCE, OUR_COOPERATIVE)
        close_type = COOPERATIVE if close_type == OUR_COOPERATIVE else close_type
        channel.stage, channel.close_type, channel.closing_txid = CLOSING, close_type, tx.txid
        self.changed.append(("inactive", channel.point))
        return tx


class Negotiations:
    """What is being opened, and with whom. Nothing here survives a restart."""

    def __init__(self, channels: Channels, customers: Customers, now: Callable[[], float]) -> None:
        self._channels = channels
        self._customers = customers
        self._now = now
        self.flows: dict[bytes, Flow] = {}

    def begin(
        self,
        pubkey: str,
        pending_chan_id: bytes,
        *,
        capacity_sat: int,
        push_sat: int,
        private: bool,
        memo: str,
        zero_conf: bool = False,
        is_free: bool = False,
    ) -> Flow:
        """The customer has been asked. Raises: Refused where our own node does not even ask."""
        _require_possible(capacity_sat, push_sat, memo)
        if pubkey == scripts.pubkey(scripts.key(self._channels.seed, "node")):
            raise Refused("cannot open channel to self")
        customer = self._customers.find(pubkey)
        if customer is None or not customer.is_connected:
            raise Refused(f"peer {pubkey} is not online")
        if pending_chan_id in self.flows:
            raise Refused(f"pendingChannelID({pending_chan_id.hex()}) already present")
        if zero_conf and not customer.knows_zero_conf:
            raise Refused("requested channel type not supported")
        key_name, pk_script, _ = self._channels.new_keys()
        flow = Flow(pending_chan_id, customer, capacity_sat, push_sat, private, memo, key_name, pk_script)
        flow.zero_conf, flow.is_free = zero_conf, is_free
        self.flows[pending_chan_id] = flow
        self._ask(flow)
        return flow

    def _ask(self, flow: Flow) -> None:
        customer = flow.customer
        if customer.presence == SILENT or customer.withholds_answer:
            return
        if customer.vanishes == AT_OPEN:
            self._vanish(customer)
            return
        others = sum(1 for each in self._with(customer) if each is not flow)
        pending = len(customer.pending) + others
        words = customer.objection(
            flow.capacity_sat, flow.push_sat, pending, private=flow.private, zero_conf=flow.zero_conf
        )
        if words:
            self._end_by(customer, flow, words)
            return
        flow.stage, flow.agreed_at = AGREED, self._now()
        flow.updates.put_nowait(("fund", ("", 0)))

    def verify(self, pending_chan_id: bytes, psbt: bytes) -> Flow:
        """The customer has our side's signature, and (where it answers) the channel is pending. Raises: Refused."""
        flow = self._find(pending_chan_id, "channel reservation")
        if flow.stage != AGREED:
            raise Refused(f"invalid state. got {flow.stage} expected output_known")
        try:
            unsigned, _ = scripts.open_psbt(psbt)
        except ValueError as error:
            raise Refused(f"error parsing psbt: {error}") from error
        outputs = [(vout.script_pubkey.data, vout.value) for vout in unsigned.vout]
        if (flow.pk_script, flow.capacity_sat) not in outputs:
            raise Refused("error verifying PSBT: funding output not found in PSBT")
        flow.point = (unsigned.txid().hex(), outputs.index((flow.pk_script, flow.capacity_sat)))
        flow.stage = VERIFIED
        if flow.customer.vanishes == AT_VERIFY:
            self._vanish(flow.customer)
        elif flow.customer.presence == ONLINE and not flow.customer.withholds_signature:
            self._become_pending(flow)
        return flow

    def _become_pending(self, flow: Flow) -> None:
        assert flow.point is not None
        flow.stage = OVER
        if not flow.zero_conf:
            flow.customer.pending.append(flow.point)
        base_msat, ppm = (0, 0) if flow.is_free else (BASE_MSAT, PPM)
        self._channels.add(
            Channel(
                point=flow.point,
                pubkey=flow.customer.pubkey,
                capacity_sat=flow.capacity_sat,
                push_sat=flow.push_sat,
                private=flow.private,
                by_us=True,
                memo=flow.memo,
                local_sat=flow.capacity_sat - flow.push_sat - COMMIT_FEE_SAT,
                remote_sat=flow.push_sat,
                key_name=flow.key_name,
                alias=self._channels.new_alias() if flow.zero_conf else 0,
                base_msat=base_msat,
                ppm=ppm,
                life=flow.customer.lives,
            )
        )
        flow.updates.put_nowait(("pending", flow.point))

    def cancel(self, pending_chan_id: bytes) -> None:
        """The negotiation is over; once the PSBT was verified nothing happens.

        Raises: Refused when it is unknown: LND forgets it once the channel is pending.
        """
        flow = self._find(pending_chan_id, "funding intent")
        if flow.stage in (ASKED, AGREED):
            self._end(flow, "user canceled funding")

    def customer_changed(self, customer: Customer) -> None:
        """What waited for the customer goes on, or is over with it."""
        for flow in self._with(customer):
            if not customer.is_connected:
                self._end(flow, "peer disconnected")
            elif customer.presence == ONLINE and flow.stage == ASKED:
                self._ask(flow)
            elif customer.presence == ONLINE and flow.stage == VERIFIED and not customer.withholds_signature:
                self._become_pending(flow)

    def time_passed(self) -> None:
        """Customers have given up what they agreed to, and never heard of again."""
        for flow in list(self.flows.values()):
            if flow.stage == AGREED and flow.agreed_at + RESERVATION_SECONDS <= self._now():
                self._end_by(flow.customer, flow, "funding failed due to internal error")

    def opened(self, point: Point) -> None:
        """The stream of the channel, if there is one, says so and ends."""
        for flow in [each for each in self.flows.values() if each.point == point]:
            flow.updates.put_nowait(("open", point))
            del self.flows[flow.pending_chan_id]

    def _vanish(self, customer: Customer) -> None:
        customer.vanishes = ""
        has_channel = self._channels.has_open(customer.pubkey)
        self._customers.set_presence(customer, OFFLINE, has_channel=has_channel)
        self.customer_changed(customer)

    def _with(self, customer: Customer) -> list[Flow]:
        return [each for each in self.flows.values() if each.customer is customer and each.stage != OVER]

    def _find(self, pending_chan_id: bytes, missed: str) -> Flow:
        flow = self.flows.get(pending_chan_id)
        if flow is None or flow.stage == OVER:
            raise Refused(f"no {missed} found for pendingChannelID({pending_chan_id.hex()})")
        return flow

    def _end_by(self, customer: Customer, flow: Flow, words: str) -> None:
        # LND thinks of a time-out whenever a peer ends what a PSBT was to fund.
        said = f"received funding error from {customer.pubkey}: chan_id={flow.pending_chan_id.hex()}, err={words}"
        self._end(flow, f"remote canceled funding, possibly timed out: {said}")

    def _end(self, flow: Flow, text: str) -> None:
        flow.end(text)
        del self.flows[flow.pending_chan_id]


def _require_possible(capacity_sat: int, push_sat: int, memo: str) -> None:
    if push_sat >= capacity_sat:
        raise Refused("amount pushed to remote peer for initial state must be below the local funding amount")
    if capacity_sat < MIN_CHANNEL_SAT:
        raise Refused(f"channel is too small, the minimum channel size is: {MIN_CHANNEL_SAT} SAT")
    if len(memo.encode()) > MAX_MEMO:
        raise Refused(f"provided memo ({memo}) is of length {len(memo.encode())}, exceeds {MAX_MEMO}")
