"""The world's things as LND's messages."""

from __future__ import annotations

from google.protobuf.message import Message

from lightning.proto import chainrpc_pb2 as chain
from lightning.proto import lnrpc_pb2 as ln
from lightning.proto import routerrpc_pb2 as router
from lightning.proto import walletrpc_pb2 as wal
from simulator import channels as ch
from simulator import events, scripts
from simulator.channels import Channel
from simulator.forwards import Forward
from simulator.invoices import Invoice
from simulator.passing import REJECT_BLOCKS, Part
from simulator.peers import FEATURES, ZERO_CONF, Customer
from simulator.scripts import Point
from simulator.wallet import Coin, Lease
from simulator.world import World

VERSION = "0.21.3-beta commit=simulator"


def event(world: World, topic: str, fact: object) -> Message:
    """What listeners of the topic are told about the fact."""
    match topic, fact:
        case events.BLOCKS, (str(block_hash), int(height)):
            return chain.BlockEpoch(hash=bytes.fromhex(block_hash)[::-1], height=height)
        case events.TRANSACTIONS, str(txid):
            return transaction(world, txid)
        case events.PEERS, (str(pubkey), bool(is_online)):
            kind = ln.PeerEvent.PEER_ONLINE if is_online else ln.PeerEvent.PEER_OFFLINE
            return ln.PeerEvent(pub_key=pubkey, type=kind)
        case events.MESSAGES, (str(pubkey), int(number), bytes(data)):
            return ln.CustomMessage(peer=bytes.fromhex(pubkey), type=number, data=data)
        case events.CHANNELS, (str(kind), tuple(point)):
            return _channel_event(world, kind, (str(point[0]), int(point[1])))
        case _, str(payment_hash):
            return invoice(world.invoices.by_hash[payment_hash])
    raise TypeError(f"nothing is known of {topic}")


# The node


def node_info(world: World, *, synced: bool) -> ln.GetInfoResponse:
    """What the node says of itself."""
    pubkey = scripts.pubkey(scripts.key(world.kept.seed, "node"))
    return ln.GetInfoResponse(
        version=VERSION,
        identity_pubkey=pubkey,
        alias=world.kept.alias,
        num_active_channels=sum(1 for each in world.channels.alive() if world.is_active(each)) + world.rest.peers,
        block_height=world.chain.height,
        best_header_timestamp=world.chain.tip.at,
        synced_to_chain=synced,
        wallet_synced=world.sync.is_wallet_synced,
        chains=[ln.Chain(network=scripts.NETWORK)],
        uris=[f"{pubkey}@{host}" for host in (world.customers.our_host, *world.telling.addresses)],
        features=_features() | {bit: ln.Feature(name="unknown") for bit in world.telling.features},
    )


def _features() -> dict[int, ln.Feature]:
    return {bit: ln.Feature(name=name, is_known=True) for bit, name in FEATURES.items()}


def peer(customer: Customer) -> ln.Peer:
    """A connected customer."""
    features = _features()
    if not customer.knows_zero_conf:
        del features[ZERO_CONF]
    address = customer.came_from or customer.host
    return ln.Peer(pub_key=customer.pubkey, address=address, inbound=bool(customer.came_from), features=features)


# Invoices


def invoice(found: Invoice) -> ln.Invoice:
    """The invoice with all the parts that ever came."""
    settled_msat = sum(htlc.amount_msat for htlc in found.htlcs if htlc.stage == "SETTLED")
    return ln.Invoice(
        memo=found.memo,
        r_hash=bytes.fromhex(found.payment_hash),
        value=found.value_sat,
        payment_request=found.payment_request,
        add_index=found.add_index,
        amt_paid_msat=settled_msat,
        state=ln.Invoice.InvoiceState.Value(found.stage),
        htlcs=[
            ln.InvoiceHTLC(
                amt_msat=htlc.amount_msat,
                expiry_height=htlc.expiry_height,
                state=ln.InvoiceHTLCState.Value(htlc.stage),
            )
            for htlc in found.htlcs
        ],
    )


# Channels


def point_text(point: Point) -> str:
    """`txid:index`."""
    return f"{point[0]}:{point[1]}"


def open_channel(world: World, channel: Channel) -> ln.Channel:
    """A channel that is open. Whether its peer was there is not kept: it was for as long as it is."""
    is_active, watched_seconds = world.is_active(channel), int(world.now() - world.began_at)
    return ln.Channel(
        active=is_active,
        lifetime=watched_seconds,
        uptime=watched_seconds if is_active else 0,
        remote_pubkey=channel.pubkey,
        channel_point=point_text(channel.point),
        chan_id=channel.known_as,
        zero_conf=bool(channel.alias),
        zero_conf_confirmed_scid=channel.short_id if channel.alias else 0,
        capacity=channel.capacity_sat,
        local_balance=channel.local_sat,
        remote_balance=channel.remote_sat,
        private=channel.private,
        initiator=channel.by_us,
        push_amount_sat=channel.push_sat,
        memo=channel.memo,
        alias_scids=world.passing.names.all().get(channel.known_as, ()),
        pending_htlcs=_htlcs(world, channel),
        num_updates=channel.updates,
    )


def _htlcs(world: World, channel: Channel) -> list[ln.HTLC]:
    """What the channel carries now."""
    carried = []
    for part in world.passing.kept.parts:
        out = world.channels.by_point.get(part.out_point) if part.out_point else None
        if not part.back and part.channel == channel.known_as:
            carried.append(_htlc(part, incoming=True, other=(out.known_as, part.out_htlc) if out else (0, 0)))
        if part.is_on and out is channel:
            carried.append(_htlc(part, incoming=False, other=part.circuit))
    return carried


def _htlc(part: Part, *, incoming: bool, other: tuple[int, int]) -> ln.HTLC:
    return ln.HTLC(
        incoming=incoming,
        amount=(part.in_msat if incoming else part.passed_msat) // 1000,
        hash_lock=bytes.fromhex(part.payment_hash),
        expiration_height=part.in_expiry if incoming else part.out_expiry,
        htlc_index=part.htlc if incoming else part.out_htlc,
        forwarding_channel=other[0],
        forwarding_htlc_index=other[1],
        locked_in=True,
    )


def intercepted(part: Part, *, is_on_chain: bool) -> router.ForwardHtlcInterceptRequest:
    """What an interceptor is asked."""
    return router.ForwardHtlcInterceptRequest(
        incoming_circuit_key=router.CircuitKey(chan_id=part.channel, htlc_id=part.htlc),
        incoming_amount_msat=part.in_msat,
        incoming_expiry=part.in_expiry,
        payment_hash=bytes.fromhex(part.payment_hash),
        outgoing_requested_chan_id=part.scid,
        outgoing_amount_msat=part.out_msat,
        outgoing_expiry=part.out_expiry,
        auto_fail_height=part.in_expiry - (0 if is_on_chain else REJECT_BLOCKS),
    )


def pending_channels(world: World) -> ln.PendingChannelsResponse:
    """What is being opened or closed."""
    answer = ln.PendingChannelsResponse()
    for channel in world.channels.alive():
        common = ln.PendingChannelsResponse.PendingChannel(
            remote_node_pub=channel.pubkey,
            channel_point=point_text(channel.point),
            capacity=channel.capacity_sat,
            local_balance=channel.local_sat,
            remote_balance=channel.remote_sat,
            initiator=_initiator(channel.by_us),
            private=channel.private,
            memo=channel.memo,
        )
        if channel.stage == ch.PENDING:
            answer.pending_open_channels.add(channel=common)
        elif channel.stage == ch.CLOSING:
            answer.waiting_close_channels.add(channel=common, closing_txid=channel.closing_txid)
        elif channel.stage == ch.FORCE_CLOSING:
            answer.pending_force_closing_channels.add(channel=common, closing_txid=channel.closing_txid)
    return answer


def closed_channel(channel: Channel) -> ln.ChannelCloseSummary:
    """A channel that is over."""
    abandoned = channel.close_type == ch.ABANDONED
    return ln.ChannelCloseSummary(
        channel_point=point_text(channel.point),
        chan_id=channel.known_as,
        zero_conf_confirmed_scid=channel.short_id if channel.alias else 0,
        closing_tx_hash=channel.closing_txid or "00" * 32,
        remote_pubkey=channel.pubkey,
        capacity=channel.capacity_sat,
        close_height=channel.close_height,
        close_type=ln.ChannelCloseSummary.ClosureType.Value(channel.close_type),
        close_initiator=ln.INITIATOR_UNKNOWN if abandoned else _initiator(channel.closed_by_us),
    )


def fee_report(channel: Channel) -> ln.ChannelFeeReport:
    """What our node asks for forwarding."""
    return ln.ChannelFeeReport(
        channel_point=point_text(channel.point), base_fee_msat=channel.base_msat, fee_per_mil=channel.ppm
    )


def edge(world: World, channel: Channel) -> ln.ChannelEdge:
    """The channel as the graph has it: the two ends in the order of their keys."""
    own = scripts.pubkey(scripts.key(world.channels.seed, "node"))
    policy = ln.RoutingPolicy(
        time_lock_delta=channel.cltv_blocks, fee_base_msat=channel.base_msat, fee_rate_milli_msat=channel.ppm
    )
    first, second = sorted((own, channel.pubkey))
    ends = {"node1_policy" if own == first else "node2_policy": policy}
    return ln.ChannelEdge(node1_pub=first, node2_pub=second, **ends)


def forward(at_ns: int, each: Forward) -> ln.ForwardingEvent:
    """A payment that was passed on."""
    return ln.ForwardingEvent(
        timestamp_ns=at_ns,
        chan_id_in=each.channel_in,
        chan_id_out=each.channel_out,
        amt_in_msat=each.in_msat,
        amt_out_msat=each.out_msat,
        incoming_htlc_id=each.htlc_in,
        outgoing_htlc_id=each.htlc_out,
    )


def _initiator(by_us: bool) -> ln.Initiator.ValueType:
    return ln.INITIATOR_LOCAL if by_us else ln.INITIATOR_REMOTE


def pending_update(point: Point) -> ln.PendingUpdate:
    """The funding output of a channel that has just become pending."""
    return ln.PendingUpdate(txid=bytes.fromhex(point[0])[::-1], output_index=point[1])


def channel_point(point: Point) -> ln.ChannelPoint:
    """The funding output that names a channel."""
    return ln.ChannelPoint(funding_txid_bytes=bytes.fromhex(point[0])[::-1], output_index=point[1])


def _channel_event(world: World, kind: str, point: Point) -> ln.ChannelEventUpdate:
    kinds = ln.ChannelEventUpdate
    if kind == "parts":
        return kinds(
            type=kinds.CHANNEL_UPDATE, updated_channel=ln.ChannelCommitUpdate(channel=_bearing(world, point[0]))
        )
    channel = world.channels.by_point[point]
    match kind:
        case "pending":
            return kinds(type=kinds.PENDING_OPEN_CHANNEL, pending_open_channel=pending_update(point))
        case "open":
            return kinds(type=kinds.OPEN_CHANNEL, open_channel=open_channel(world, channel))
        case "active":
            return kinds(type=kinds.ACTIVE_CHANNEL, active_channel=channel_point(point))
        case "inactive":
            return kinds(type=kinds.INACTIVE_CHANNEL, inactive_channel=channel_point(point))
        case "closed":
            return kinds(type=kinds.CLOSED_CHANNEL, closed_channel=closed_channel(channel))
        case _:
            update = ln.ChannelCommitUpdate(channel=open_channel(world, channel))
            return kinds(type=kinds.CHANNEL_UPDATE, updated_channel=update)


def _bearing(world: World, payment_hash: str) -> ln.Channel:
    """What a channel has on it that the parts of a payment come by: payers have ways to us that are not shown."""
    parts = world.invoices.on_the_way(payment_hash)
    return ln.Channel(
        active=True,
        pending_htlcs=[
            ln.HTLC(
                incoming=True,
                amount=part.amount_msat // 1000,
                hash_lock=bytes.fromhex(payment_hash),
                expiration_height=part.expiry_height,
                locked_in=True,
            )
            for part in parts
        ],
    )


# The wallet


def transaction(world: World, txid: str) -> ln.Transaction:
    """A transaction that the wallet knows."""
    chain_, wallet = world.chain, world.wallet
    tx = chain_.txs[txid]
    height, block_hash = wallet.mined.get(txid, (0, ""))
    return ln.Transaction(
        tx_hash=txid,
        num_confirmations=wallet.depth(txid, chain_),
        block_hash=block_hash,
        block_height=height,
        time_stamp=chain_.block_at(height).at if height else wallet.known[txid],
        raw_tx_hex=tx.raw.hex(),
        label=wallet.labels.get(txid, ""),
        output_details=[
            ln.OutputDetail(
                address=scripts.address(pk_script),
                output_index=index,
                amount=amount_sat,
                is_our_address=pk_script in wallet.names,
            )
            for index, (pk_script, amount_sat) in enumerate(tx.outputs)
        ],
        previous_outpoints=[ln.PreviousOutPoint(outpoint=point_text(point)) for point in tx.inputs],
    )


def outpoint(point: Point) -> ln.OutPoint:
    """Both of its forms, as LND fills them."""
    return ln.OutPoint(txid_bytes=bytes.fromhex(point[0])[::-1], txid_str=point[0], output_index=point[1])


def point_of(message: ln.OutPoint) -> Point:
    """Whichever form is set."""
    return message.txid_str or message.txid_bytes[::-1].hex(), message.output_index


def utxo(world: World, coin: Coin) -> ln.Utxo:
    """A coin that can be spent."""
    return ln.Utxo(
        address_type=_address_type(coin.pk_script),
        address=scripts.address(coin.pk_script),
        amount_sat=coin.amount_sat,
        outpoint=outpoint(coin.point),
        confirmations=world.wallet.depth(coin.point[0], world.chain),
    )


def _address_type(pk_script: bytes) -> ln.AddressType.ValueType:
    if scripts.is_nested(pk_script):
        return ln.NESTED_PUBKEY_HASH
    return ln.TAPROOT_PUBKEY if scripts.is_p2tr(pk_script) else ln.WITNESS_PUBKEY_HASH


def lease(world: World, point: Point, held: Lease) -> wal.UtxoLease:
    """A leased coin, spent or not."""
    pk_script, amount_sat = world.wallet.owned[point]
    return wal.UtxoLease(
        id=held.lock_id,
        outpoint=outpoint(point),
        expiration=held.expires_at,
        pk_script=pk_script,
        value=amount_sat,
    )
