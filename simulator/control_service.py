"""simulator.Control, method by method: what tests and demonstrations do to the world."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable

from google.protobuf.message import Message

from simulator import bolt11, events, invoices, messages, passing, peers, scripts, telling
from simulator import control_pb2 as control
from simulator.channels import COOPERATIVE, Channel
from simulator.faults import Fault, Faults
from simulator.refused import Refused
from simulator.scripts import Output, Point
from simulator.world import World

_CLTV_BLOCKS = 80
_EXPIRY_SECONDS = 3600

# The chain


def mine(world: World, request: control.MineRequest) -> control.Tip:
    """So many blocks more (at least one)."""
    only = [*request.txids, *map(world.chain.add_unchecked, request.raw)] if request.chosen else None
    return _tip(world, world.mine(max(request.blocks, 1), only))


def reorganise(world: World, request: control.ReorganiseRequest) -> control.Tip:
    """The last blocks are others."""
    if not 0 < request.depth < len(world.chain.blocks) - 1:
        raise Refused("there are not so many blocks")
    replacement = list(request.replacement) if request.replaced else None
    return _tip(world, world.reorganise(request.depth, replacement))


def _tip(world: World, _: object) -> control.Tip:
    return control.Tip(height=world.chain.height, hash=world.chain.tip.hash)


def set_fees(world: World, request: control.Fees) -> control.Nothing:
    """What is not given stays."""
    chain = world.chain
    chain.estimate_sat_per_kw = request.estimate_sat_per_kw or chain.estimate_sat_per_kw
    chain.floor_sat_per_kw = request.minimum_sat_per_kw or chain.floor_sat_per_kw
    if request.evict:
        for txid in list(chain.mempool):
            if txid in chain.mempool and chain.fee_sat(txid) + 1 < chain.least_fee_sat(chain.txs[txid].vbytes):
                chain.evict(txid)
    return control.Nothing()


def deposit(world: World, request: control.DepositRequest) -> control.TxId:
    """A stranger pays these addresses in one transaction."""
    return control.TxId(txid=world.deposit(_outputs(request.outputs), replaceable=request.replaceable))


def replace(world: World, request: control.ReplaceRequest) -> control.TxId:
    """The stranger pays otherwise what he had paid, for a higher fee."""
    _require_known(world, request.txid)
    return control.TxId(txid=world.replace(request.txid, _outputs(request.outputs)))


def rival_of(world: World, request: control.TxId) -> control.RawTransaction:
    """A transaction that takes the stranger's money back; nobody has seen it yet."""
    _require_known(world, request.txid)
    return control.RawTransaction(raw=world.chain.rival(request.txid))


def evict(world: World, request: control.TxId) -> control.Nothing:
    """The mempool has lost it; the wallet has not."""
    world.chain.evict(request.txid)
    return control.Nothing()


def list_mempool(world: World, _: control.Nothing) -> control.Mempool:
    """What waits."""
    return control.Mempool(txids=world.chain.mempool)


def _outputs(wanted: Iterable[control.Output]) -> list[Output]:
    try:
        return [(scripts.script_of(each.address), each.amount_sat) for each in wanted]
    except ValueError as error:
        raise Refused(str(error)) from error


def _require_known(world: World, txid: str) -> None:
    if txid not in world.chain.txs:
        raise Refused("there is no such transaction")


# Customers


def get_customer(world: World, request: control.CustomerName) -> control.Customer:
    """The customer of this name, new where there was none."""
    return _customer(world.customers.named(request.name))


def set_customer(world: World, request: control.CustomerChange) -> control.Customer:
    """What is given has changed, and what waited for the customer goes on."""
    customer = world.customers.named(request.name)
    if request.vanishes not in peers.VANISHES:
        raise Refused(f"vanishes is one of {peers.VANISHES}")
    for name in (
        "refusal", "min_channel_sat", "max_channel_sat", "refuses_push", "pending_limit", "vanishes",
        "withholds_signature", "refuses_announced", "withholds_answer", "accepts_zero_conf", "knows_zero_conf",
        "is_announced", "takes_less",
    ):  # fmt: skip
        if request.HasField(name):  # type: ignore[arg-type]  # a name of ours, from the tuple above
            setattr(customer, name, getattr(request, name))
    if request.HasField("takes"):
        if request.takes not in peers.TAKES:
            raise Refused(f"takes is one of {peers.TAKES}")
        customer.takes = request.takes
    if request.HasField("presence"):
        has_channel = world.channels.has_open(customer.pubkey)
        world.customers.set_presence(customer, request.presence, has_channel=has_channel)
    world.negotiations.customer_changed(customer)
    world.passing.look(customer.pubkey)
    return _customer(customer)


def list_customers(world: World, _: control.Nothing) -> control.Customers:
    """All there are."""
    return control.Customers(customers=map(_customer, world.customers.by_name.values()))


def _customer(customer: peers.Customer) -> control.Customer:
    return control.Customer(
        name=customer.name,
        pubkey=customer.pubkey,
        host=customer.host,
        presence=customer.presence,
        connected=customer.is_connected,
    )


def open_channel(world: World, request: control.DirectOpening) -> control.ChannelName:
    """A channel that nobody bought is pending, its funding waiting for a block; its customer is connected."""
    customer = world.customers.named(request.customer)
    point = world.open_directly(
        request.customer,
        capacity_sat=request.capacity_sat,
        push_sat=request.push_sat,
        by_us=request.by_us,
        private=request.private,
    )
    world.customers.set_presence(customer, customer.presence, has_channel=True)
    return control.ChannelName(point=messages.point_text(point))


def close_channel(world: World, request: control.Closing) -> control.TxId:
    """The channel is closing."""
    return control.TxId(txid=world.close(_point(request.point), request.type or COOPERATIVE))


def set_policy(world: World, request: control.Policy) -> control.Nothing:
    """Our node asks for so much over the channel, as a person or another program has told it."""
    channel = _channel(world, request.point)
    channel.base_msat, channel.ppm = request.base_msat, request.ppm
    channel.cltv_blocks = request.cltv_blocks or channel.cltv_blocks
    return control.Nothing()


def get_policy(world: World, request: control.ChannelName) -> control.Policy:
    """What our node asks for over the channel."""
    channel = _channel(world, request.point)
    return control.Policy(
        point=request.point, base_msat=channel.base_msat, ppm=channel.ppm, cltv_blocks=channel.cltv_blocks
    )


def say_to_node(world: World, request: control.CustomMessage) -> control.Nothing:
    """Whoever listens to our node has the message of the customer, who connects for it."""
    customer = world.customers.named(request.customer)
    telling.require_custom(request.type, request.data)
    world.customers.come(customer)
    world.tell()
    world.announce(events.MESSAGES, (customer.pubkey, request.type, request.data))
    return control.Nothing()


def list_heard(world: World, request: control.Heard) -> control.CustomMessages:
    """What our node has said to the customer, the oldest first."""
    heard = world.telling.heard[world.customers.named(request.customer).pubkey][request.skip :]
    return control.CustomMessages(
        messages=[control.CustomMessage(customer=request.customer, type=kind, data=data) for kind, data in heard]
    )


def _channel(world: World, text: str) -> Channel:
    channel = world.channels.by_point.get(_point(text))
    if channel is None:
        raise Refused("there is no such channel")
    return channel


def _point(text: str) -> Point:
    txid, _, index = text.partition(":")
    if not index.isdecimal():
        raise Refused("a channel is named txid:index")
    return txid, int(index)


# Payments


def add_invoice(world: World, request: control.PlainInvoice) -> control.PaymentRequest:
    """An invoice that is settled as soon as it is paid."""
    preimage = os.urandom(32)
    added = world.invoices.add(
        hashlib.sha256(preimage).digest(),
        value_sat=request.amount_sat,
        memo="",
        expiry_seconds=_EXPIRY_SECONDS,
        cltv_blocks=_CLTV_BLOCKS,
        now=world.now(),
    )
    added.preimage = preimage.hex()
    return control.PaymentRequest(payment_request=added.payment_request)


def pay(world: World, request: control.PayRequest) -> control.Payment:
    """Somebody pays; the answer is how it stands at once."""
    if request.payment_request in world.passing.kept.asked:
        return _payment(_pay_customer(world, request))
    payment = world.invoices.pay(
        request.payment_request,
        payer=request.payer,
        amount_msat=request.amount_msat,
        parts=request.parts,
        missing_parts=request.missing_parts,
        part_msat=request.part_msat,
        height=world.chain.height,
        now=world.now(),
        counts_after_start=request.counts_after_start,
    )
    return _payment(payment)


def _pay_customer(world: World, request: control.PayRequest) -> invoices.Payment:
    asked = world.passing.kept.asked[request.payment_request]
    payment = invoices.Payment(len(world.invoices.payments) + 1, asked.payment_hash, request.payer)
    payment.amount_msat = request.amount_msat or asked.amount_msat
    world.invoices.payments[payment.id] = payment
    parts = max(request.parts, 1)
    shares = invoices.shares(payment.amount_msat, parts)[: parts - request.missing_parts]
    over = [_channel(world, point) for point in request.over] or _channels_of(world, request.payer)
    shares = [request.part_msat] if request.part_msat else shares
    world.passing.pay(request.payment_request, payment, shares=shares, over=over)
    return payment


def _channels_of(world: World, payer: str) -> list[Channel]:
    pubkey = world.customers.named(payer).pubkey if payer else ""
    return [each for each in world.channels.alive(pubkey) if world.is_active(each)]


def ask_for_payment(world: World, request: control.CustomerInvoice) -> control.PaymentRequest:
    """A customer's own invoice, with the way from our node to it."""
    preimage, customer = os.urandom(32), world.customers.named(request.customer)
    our_key = scripts.pubkey(scripts.key(world.kept.seed, "node"))
    written = bolt11.encode(
        private=scripts.key(world.kept.seed, f"customer/{customer.name}"),
        payment_hash=hashlib.sha256(preimage).digest(),
        payment_secret=os.urandom(32),
        amount_msat=request.amount_msat,
        created_at=int(world.now()),
        description="",
        expiry_seconds=_EXPIRY_SECONDS,
        cltv_blocks=_CLTV_BLOCKS,
        hint=(our_key, request.scid, request.base_msat, request.ppm, request.cltv_blocks or _CLTV_BLOCKS),
    )
    world.passing.kept.asked[written] = passing.Asked(
        customer.name,
        hashlib.sha256(preimage).hexdigest(),
        preimage.hex(),
        request.amount_msat,
        request.scid,
        request.base_msat,
        request.ppm,
        request.cltv_blocks or _CLTV_BLOCKS,
    )
    return control.PaymentRequest(payment_request=written)


def list_parts(world: World, _: control.Nothing) -> control.Parts:
    """All that ever came, and what became of each."""
    kept = world.passing.kept
    return control.Parts(parts=map(_part, kept.parts), lost_msat=kept.lost_msat)


def _part(part: passing.Part) -> control.Part:
    return control.Part(
        channel=part.channel,
        htlc=part.htlc,
        payment_hash=part.payment_hash,
        in_msat=part.in_msat,
        scid=part.scid,
        back=part.back,
        out=part.out,
        passed_msat=part.passed_msat,
        told_fee_msat=part.told_fee_msat,
        failure=part.failure,
        out_point=messages.point_text(part.out_point) if part.out_point else "",
    )


def require_interceptor(world: World, request: control.Required) -> control.Nothing:
    """Whether nothing is passed on while nobody is asked, as `requireinterceptor` of LND's says."""
    world.passing.kept.requires_interceptor = request.required
    return control.Nothing()


def look_payment(world: World, request: control.PaymentId) -> control.Payment:
    """How the payment stands now."""
    if request.id not in world.invoices.payments:
        raise Refused("there is no such payment")
    return _payment(world.invoices.payments[request.id])


def add_forward(world: World, request: control.Forward) -> control.Nothing:
    """A payment of others was passed on, and is in the node's history."""
    at_ns = request.timestamp_ns or int(world.now() * 1e9)
    into, out = (world.channels.by_point.get(_point(each)) for each in (request.point_in, request.point_out))
    if into is None or out is None:
        raise Refused("there is no such channel")
    world.forwards.add(into, out, out_msat=request.out_msat, fee_msat=request.fee_msat, at_ns=at_ns)
    return control.Nothing()


def _payment(payment: invoices.Payment) -> control.Payment:
    return control.Payment(
        id=payment.id,
        state=payment.stage,
        failure=payment.failure,
        preimage=payment.preimage,
        payment_hash=payment.payment_hash,
    )


# The node itself


def fill(world: World, request: control.AtRest) -> control.Nothing:
    """The node has so much at rest: more than it has had of it, or less, as it is told. Refused where it has invoices
    of its own already: those come after what is at rest.
    """
    if world.invoices.by_hash:
        raise Refused("it has invoices already")
    world.fill(
        channels=request.channels,
        closed=request.closed_channels,
        invoices=request.invoices,
        transactions=request.transactions,
        blocks=max(1, request.blocks),
    )
    return control.Nothing()


def pass_time(world: World, request: control.Seconds) -> control.Nothing:
    """The node's clock is so much later than it was."""
    world.kept.clock_ahead_seconds += request.seconds
    world.time_passed()
    return control.Nothing()


def tell_of_parts(world: World, request: control.Telling) -> control.Nothing:
    """Channel events name what comes in, or leave it out."""
    world.tells_of_parts = request.tells
    return control.Nothing()


def set_synced(world: World, request: control.Synced) -> control.Nothing:
    """Whether the node says that it knows the whole chain, how surely, and whether its wallet does."""
    world.sync.is_at_tip, world.sync.doubts_at_block = request.synced, request.doubts_at_block
    world.let_wallet_read(not request.wallet_waits)
    return control.Nothing()


def watch_address(world: World, _: control.Nothing) -> control.Address:
    """A new address that the wallet watches for somebody else's key."""
    return control.Address(address=scripts.address(world.wallet.new_script(watched=True)))


def fault_calls(faults: Faults) -> dict[str, Callable[..., Message]]:
    """The methods that concern calls, not the world."""

    def add_fault(_: World, request: control.Fault) -> Message:
        """The next calls of the method meet it."""
        faults.add(Fault(request.method, request.kind, request.text, request.times))
        return control.Nothing()

    def list_waiting(_: World, request: control.Nothing) -> Message:
        """The methods of the calls that are held."""
        return control.Waiting(methods=faults.waiting)

    def end_faults(_: World, request: control.Method) -> Message:
        """What was held goes on."""
        faults.end(request.method)
        return control.Nothing()

    return {"AddFault": add_fault, "ListWaiting": list_waiting, "EndFaults": end_faults}
