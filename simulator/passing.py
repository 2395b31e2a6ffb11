"""Payments of others on their way through our node: held for an interceptor, passed on, settled or failed back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from simulator.channels import LOCAL_FORCE, OPEN, REMOTE_FORCE, Channel, Channels
from simulator.forwards import Forwards
from simulator.invoices import FAILED, SUCCEEDED, Payment
from simulator.names import Names, scid_text
from simulator.peers import FAILS, HOLDS, SETTLES_A_PART, SETTLES_THE_LAST, Customer, Customers
from simulator.refused import Refused
from simulator.scripts import Point

#: LND fails a held part so many blocks before it runs out, and holds none that comes later than that.
REJECT_BLOCKS, INTERCEPT_BLOCKS = 19, 22
#: What the last hop has to be told of a fee that was taken from a part.
FEE_RECORD = 65_537
#: In place of a channel's number: the part names the next node instead.
NO_CHANNEL = 2**64 - 1
_LEAST_BLOCKS_LEFT = 3

TEMPORARY = "TEMPORARY_CHANNEL_FAILURE"
UNKNOWN_NEXT = "UNKNOWN_NEXT_PEER"
TOO_SOON = "EXPIRY_TOO_SOON"
INSUFFICIENT = "TEMPORARY_NODE_FAILURE"  # in place of FEE_INSUFFICIENT, where LND has no update of an alias to show
BAD_EXPIRY = "INCORRECT_CLTV_EXPIRY"
TOO_LITTLE = "FINAL_INCORRECT_HTLC_AMOUNT"
REFUSED_BY_RECEIVER = "INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS"

Circuit = tuple[int, int]
#: It is with the next node.
ON = "IN_FLIGHT"


@dataclass(frozen=True)
class Asked:
    """What a customer has asked to be paid, over one of our channels or what may become one."""

    customer: str
    payment_hash: str
    preimage: str
    amount_msat: int  # 0: what the payer likes
    scid: int
    base_msat: int
    ppm: int
    cltv_blocks: int

    def fee_msat(self, amount_msat: int) -> int:
        """What the payer leaves us of a part."""
        return self.base_msat + amount_msat * self.ppm // 10**6 if amount_msat else 0


@dataclass(eq=False)
class Part:
    """One part of a payment. What became of it at the side where it came in is `back`, where it went out `out`."""

    channel: int
    htlc: int
    payment_id: int
    payment_hash: str
    in_msat: int
    in_expiry: int
    out_msat: int
    out_expiry: int
    scid: int
    back: str = ""  # "", SUCCEEDED or FAILED
    out: str = ""  # "" (not passed on), IN_FLIGHT, SUCCEEDED or FAILED
    out_point: Point | None = None
    out_htlc: int = 0
    passed_msat: int = 0
    told_fee_msat: int = 0
    #: The next node knows that it may get less by the channel that it got this by.
    may_be_less: bool = False
    failure: str = ""

    @property
    def circuit(self) -> Circuit:
        """By which an interceptor knows it."""
        return self.channel, self.htlc

    @property
    def is_on(self) -> bool:
        """It is with the next node."""
        return self.out == ON


@dataclass
class Passed:
    """What survives the node's end."""

    asked: dict[str, Asked] = field(default_factory=dict)  # by what the payer is shown
    parts: list[Part] = field(default_factory=list)
    aliases: dict[int, list[int]] = field(default_factory=dict)  # what was added, by the channel's name
    next_htlc: dict[int, int] = field(default_factory=dict)
    next_out: dict[Point, int] = field(default_factory=dict)
    requires_interceptor: bool = False
    #: Paid out, and failed back where it came from.
    lost_msat: int = 0


class Passing:
    """What is under way. Whom it waits for, an interceptor, is known in memory only."""

    def __init__(
        self,
        kept: Passed,
        channels: Channels,
        customers: Customers,
        forwards: Forwards,
        payments: dict[int, Payment],
        *,
        height: Callable[[], int],
        now: Callable[[], float],
        close: Callable[[Point, str], object],
    ) -> None:
        self.kept = kept
        self._channels, self._customers, self._forwards, self._payments = channels, customers, forwards, payments
        self._height, self._now, self._close = height, now, close
        self.names = Names(kept.aliases, channels, is_active=self._is_active)
        #: What the interceptor is asked; None: there is none.
        self.asking: asyncio.Queue[tuple[Part, bool]] | None = None
        #: What waits for its word, and whether its channel is on chain already. A question stays when its part has come
        #: to its end meanwhile, as LND's does.
        self.held: dict[Circuit, tuple[Part, bool]] = {}

    # Paying

    def pay(self, request: str, payment: Payment, *, shares: Iterable[int], over: list[Channel]) -> None:
        """These parts are on their way, each over the next of these channels that can carry it."""
        asked, height = self.kept.asked[request], self._height()
        for number, share_msat in enumerate(shares):
            in_msat = share_msat + asked.fee_msat(share_msat)
            channel = self._carrier(over[number % len(over) :] + over, in_msat) if over else None
            if channel is None:
                payment.stage, payment.failure = FAILED, "FAILURE_REASON_NO_ROUTE"
                return
            out_expiry = height + 43
            self._arrive(channel, Part(
                channel.known_as, self._next_htlc(channel), payment.id, asked.payment_hash, in_msat,
                out_expiry + asked.cltv_blocks, share_msat, out_expiry, asked.scid,
            ))  # fmt: skip

    def _carrier(self, channels: list[Channel], in_msat: int) -> Channel | None:
        fits = (each for each in channels if each.remote_sat * 1000 >= in_msat and self._is_active(each))
        return next(fits, None)

    def _next_htlc(self, channel: Channel) -> int:
        number = self.kept.next_htlc.get(channel.known_as, 0)
        self.kept.next_htlc[channel.known_as] = number + 1
        return number

    def _arrive(self, channel: Channel, part: Part) -> None:
        channel.remote_sat -= part.in_msat // 1000
        channel.updates += 1
        self.kept.parts.append(part)
        if part.in_expiry < self._height() + INTERCEPT_BLOCKS:
            self._fail_back(part, TOO_SOON)
        elif self.asking is not None:
            self._offer(part)
        elif self.kept.requires_interceptor:
            self._fail_back(part, TEMPORARY)
        else:
            self._go_on(part, part.out_msat, 0)

    # The interceptor

    def listen(self) -> asyncio.Queue[tuple[Part, bool]]:
        """What is held, and what comes, is asked of whoever reads this. Raises: Refused where somebody does."""
        if self.asking is not None:
            raise Refused("interceptor already exists")
        self.asking = asyncio.Queue()
        for held in self.held.values():
            self.asking.put_nowait(held)
        return self.asking

    def leave(self) -> None:
        """Nobody is asked any more. What was held goes on, unless an interceptor is required."""
        self.asking = None
        if not self.kept.requires_interceptor:
            for circuit, (part, is_on_chain) in list(self.held.items()):
                if not is_on_chain:
                    del self.held[circuit]
                    self._go_on(part, part.out_msat, 0)

    def answer(self, circuit: Circuit, action: str, *, out_msat: int, fee_msat: int) -> None:
        """Raises: Refused in LND's words, and then nothing happened."""
        if circuit not in self.held:
            raise Refused(f"forward does not exist: (Chan ID={scid_text(circuit[0])}, HTLC ID={circuit[1]})")
        part, is_on_chain = self.held[circuit]
        if is_on_chain:
            verb = "fail" if action == "FAIL" else "resume"
            raise Refused(f"cannot {verb} held htlc in the on-chain flow")
        del self.held[circuit]
        if action == "FAIL":
            self._fail_back(part, TEMPORARY)
        else:
            self._go_on(part, out_msat or part.out_msat, fee_msat)

    def _offer(self, part: Part, *, is_on_chain: bool = False) -> None:
        self.held[part.circuit] = (part, is_on_chain)
        if self.asking is not None:
            self.asking.put_nowait((part, is_on_chain))

    def replay(self, channel: int = 0) -> None:
        """As LND's links do when they start: what has not ended is offered again, also what was passed on already."""
        for part in self.unresolved(channel):
            if part.circuit in self.held:
                continue
            if self.asking is not None or self.kept.requires_interceptor:
                self._offer(part)
            else:
                self._go_on(part, part.out_msat, 0)

    def unresolved(self, channel: int = 0) -> list[Part]:
        """What neither came back nor was paid for, of one channel or of all."""
        return [each for each in self.kept.parts if not each.back and channel in (0, each.channel)]

    # Further on

    def _go_on(self, part: Part, out_msat: int, fee_msat: int) -> None:
        if part.is_on:
            return  # LND drops what it has passed on already; what has come back since goes on anew
        channel = self._way(part, out_msat)
        problem = self._objection(part, channel, out_msat)
        if problem or channel is None:
            self._fail_back(part, problem)
            return
        channel.local_sat -= out_msat // 1000
        channel.updates += 1
        part.out, part.out_point, part.passed_msat, part.told_fee_msat = ON, channel.point, out_msat, fee_msat
        customer = self._customers.find(channel.pubkey)
        part.may_be_less = customer is not None and customer.takes_less and channel.life == customer.lives
        part.out_htlc = self.kept.next_out.get(channel.point, 0)
        self.kept.next_out[channel.point] = part.out_htlc + 1
        self.look(channel.pubkey)

    def _way(self, part: Part, out_msat: int) -> Channel | None:
        """LND takes any channel with the peer that can carry it."""
        if part.scid == NO_CHANNEL:
            asked = self._asked(part)
            pubkey = self._customers.named(asked.customer).pubkey if asked else ""
        else:
            named = next((each for each in self._open() if part.scid in self.names.of(each)), None)
            pubkey = named.pubkey if named else ""
        ways = [each for each in self._open() if pubkey and each.pubkey == pubkey]
        fit = [each for each in ways if not self._objection(part, each, out_msat)]
        return next(iter(fit or ways), None)

    def _open(self) -> Iterator[Channel]:
        return (each for each in self._channels.alive() if each.stage == OPEN)

    def _objection(self, part: Part, channel: Channel | None, out_msat: int) -> str:
        if channel is None or not self._is_active(channel):
            return UNKNOWN_NEXT
        if part.in_msat - out_msat < channel.base_msat + out_msat * channel.ppm // 10**6:
            return INSUFFICIENT
        if part.in_expiry - part.out_expiry < channel.cltv_blocks:
            return BAD_EXPIRY
        if part.out_expiry <= self._height() + _LEAST_BLOCKS_LEFT:
            return TOO_SOON
        return "" if out_msat <= (channel.local_sat - channel.capacity_sat // 100) * 1000 else TEMPORARY

    def _is_active(self, channel: Channel) -> bool:
        customer = self._customers.find(channel.pubkey)
        return channel.stage == OPEN and customer is not None and customer.is_connected

    def _asked(self, part: Part) -> Asked | None:
        found = (each for each in self.kept.asked.values() if each.payment_hash == part.payment_hash)
        return next(found, None)

    # The next node

    def look(self, pubkey: str) -> None:
        """The customer does what it does with what has arrived, if it is there."""
        customer = self._customers.find(pubkey)
        if customer is None or not customer.is_connected or customer.presence != "online" or customer.takes == HOLDS:
            return
        there = [each for each in self.kept.parts if each.is_on and self._is_at(each, pubkey)]
        for payment_hash in {each.payment_hash for each in there}:
            self._receive(customer, [each for each in there if each.payment_hash == payment_hash])

    def _is_at(self, part: Part, pubkey: str) -> bool:
        channel = self._channels.by_point.get(part.out_point) if part.out_point else None
        return channel is not None and channel.pubkey == pubkey and channel.stage == OPEN

    def _receive(self, customer: Customer, parts: list[Part]) -> None:
        """A set is whole by what the sender meant to pay; of each part less may come where its record says so."""
        asked = self._asked(parts[0])
        if asked is None or asked.customer != customer.name or customer.takes == FAILS:
            for part in parts:
                self._fail_on(part, REFUSED_BY_RECEIVER)
            return
        for part in [each for each in parts if not _is_enough(each)]:
            self._fail_on(part, TOO_LITTLE)
        there = [each for each in parts if each.is_on]
        total_msat = self._payments[parts[0].payment_id].amount_msat
        if there and sum(each.out_msat for each in there) >= max(total_msat, asked.amount_msat):
            for part in _taken(there, customer):
                self._settle(part, asked.preimage)
            for part in there if customer.takes == SETTLES_THE_LAST else ():
                if part.is_on:
                    self._fail_on(part, REFUSED_BY_RECEIVER)

    def _settle(self, part: Part, preimage: str) -> None:
        channel = self._channel_out(part)
        channel.remote_sat += part.passed_msat // 1000
        part.out = SUCCEEDED
        if part.back:
            self.kept.lost_msat += part.passed_msat
            return
        part.back = SUCCEEDED
        self._ended_on_chain(part)
        into = self._channel_in(part)
        into.local_sat += part.in_msat // 1000
        self._forwards.note(
            into.known_as, channel.known_as, in_msat=part.in_msat, out_msat=part.passed_msat,
            htlcs=(part.htlc, part.out_htlc), at_ns=int(self._now() * 1e9),
        )  # fmt: skip
        payment = self._payments[part.payment_id]
        payment.stage, payment.preimage, payment.failure = SUCCEEDED, preimage, ""
        self._moved(into, channel)

    def _fail_on(self, part: Part, failure: str) -> None:
        channel = self._channel_out(part)
        channel.local_sat += part.passed_msat // 1000
        part.out = FAILED
        self._moved(channel)
        self._fail_back(part, failure)

    def _fail_back(self, part: Part, failure: str) -> None:
        self._ended_on_chain(part)
        if part.back:
            return
        part.back, part.failure = FAILED, failure
        into = self._channel_in(part)
        into.remote_sat += part.in_msat // 1000
        self._moved(into)
        payment = self._payments[part.payment_id]
        under_way = any(each.payment_id == payment.id for each in self.unresolved())
        if payment.stage != SUCCEEDED:
            payment.failure = failure
            payment.stage = payment.stage if under_way else FAILED

    def _ended_on_chain(self, part: Part) -> None:
        if self.held.get(part.circuit, (part, False))[1]:
            del self.held[part.circuit]

    def _channel_in(self, part: Part) -> Channel:
        return next(each for each in self._channels.by_point.values() if each.known_as == part.channel)

    def _channel_out(self, part: Part) -> Channel:
        assert part.out_point is not None
        return self._channels.by_point[part.out_point]

    def _moved(self, *channels: Channel) -> None:
        for channel in channels:
            channel.updates += 1
        self._channels.changed += [("update", each.point) for each in channels if each.stage == OPEN]

    # What happens by itself

    def block_came(self, height: int) -> None:
        """What is held for too long is failed back; what runs out on its way ends its channel."""
        for part, is_on_chain in list(self.held.values()):
            if not is_on_chain and part.in_expiry - REJECT_BLOCKS <= height:
                del self.held[part.circuit]
                self._fail_back(part, TEMPORARY)
        for part in [each for each in self.kept.parts if each.is_on and each.out_expiry <= height]:
            self._end(part.out_point, LOCAL_FORCE)
            self._fail_on(part, "PERMANENT_CHANNEL_FAILURE")
        for part in [each for each in self.unresolved() if each.in_expiry <= height]:
            self._end(self._channel_in(part).point, REMOTE_FORCE)
            self._fail_back(part, "PERMANENT_CHANNEL_FAILURE")

    def _end(self, point: Point | None, how: str) -> None:
        if point is not None and self._channels.by_point[point].stage == OPEN:
            self._close(point, how)

    def went_on_chain(self, channel: Channel) -> None:
        """What came by this channel, and has not ended, is offered once more: by the preimage alone it can be had."""
        for part in self.unresolved(channel.known_as):
            self._offer(part, is_on_chain=True)


def _is_enough(part: Part) -> bool:
    return part.passed_msat + (part.told_fee_msat if part.may_be_less else 0) >= part.out_msat


def _taken(parts: list[Part], customer: Customer) -> list[Part]:
    one = {SETTLES_A_PART: parts[:1], SETTLES_THE_LAST: parts[-1:]}
    return one.get(customer.takes, parts)
