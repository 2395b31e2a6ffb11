"""LND's messages as our types, and its failures as our errors."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import grpc

from lightning.errors import LightningError, NodeUnavailable, NotFound, OutcomeUnknown
from lightning.parts import Action, Answer, Circuit, Intercepted
from lightning.proto import lnrpc_pb2 as ln
from lightning.proto import peersrpc_pb2 as own
from lightning.proto import routerrpc_pb2 as router
from lightning.proto import walletrpc_pb2 as wallet
from lightning.refusals import legible, refusal
from lightning.types import (
    ChainTransaction,
    Channel,
    ChannelEvent,
    ClosedChannel,
    CustomMessage,
    Forward,
    Htlc,
    Invoice,
    Lease,
    NodeInfo,
    NodeInvoiceState,
    Outpoint,
    PartsOnTheWay,
    Peer,
    PeerEvent,
    PendingChannel,
    PendingPhase,
    RoutingFee,
    TxOutput,
    Utxo,
)

# Errors


def error_of(error: grpc.RpcError, *, call: str, changing: bool) -> LightningError:
    """The error to raise for a failed call, named by what the caller may do next.

    A changing call whose text no row knows may have happened, whatever its status says: a deadline or a
    lost connection stops nothing inside the node, and even a refused connection may be the second try of
    a request that gRPC had already sent.
    """
    status, text = _status_and_text(error)
    message = f"{call}: {legible(text, 500) or status.name}"
    if known := refusal(text):
        return known.error(message, reason=known.reason)
    if status is grpc.StatusCode.UNIMPLEMENTED:
        # The node has no such method, so it cannot have done it: too old, or built without the service.
        return NodeUnavailable(message, reason="UNSUPPORTED")
    if changing:
        return OutcomeUnknown(message)
    if status is grpc.StatusCode.NOT_FOUND:
        return NotFound(message)
    return NodeUnavailable(message)


def _status_and_text(error: grpc.RpcError) -> tuple[grpc.StatusCode, str]:
    if isinstance(error, grpc.Call | grpc.aio.AioRpcError):
        return error.code(), error.details() or ""
    return grpc.StatusCode.UNKNOWN, str(error)


# Outpoints: bytes are in the order of the wire, the text form is reversed


def outpoint(message: ln.OutPoint) -> Outpoint:
    """Whichever of its two forms is set."""
    return Outpoint(message.txid_str or message.txid_bytes[::-1].hex(), message.output_index)


def outpoint_message(value: Outpoint) -> ln.OutPoint:
    """The text form, which every call of LND reads."""
    return ln.OutPoint(txid_str=value.txid, output_index=value.index)


def pending_outpoint(message: ln.PendingUpdate) -> Outpoint:
    """The funding output of a channel that has just become pending."""
    return Outpoint(message.txid[::-1].hex(), message.output_index)


def channel_point(message: ln.ChannelPoint) -> Outpoint:
    """The funding output that names a channel."""
    return Outpoint(message.funding_txid_str or message.funding_txid_bytes[::-1].hex(), message.output_index)


def channel_point_message(value: Outpoint) -> ln.ChannelPoint:
    """The funding output that names a channel."""
    return ln.ChannelPoint(funding_txid_str=value.txid, output_index=value.index)


# The node and its peers


def node_info(message: ln.GetInfoResponse) -> NodeInfo:
    """A node knows one chain; its first is its network."""
    return NodeInfo(
        pubkey=message.identity_pubkey,
        alias=message.alias,
        uris=tuple(message.uris),
        version=message.version,
        network=message.chains[0].network if message.chains else "",
        block_height=message.block_height,
        best_header_at=message.best_header_timestamp,
        synced_to_chain=message.synced_to_chain,
        active_channels=message.num_active_channels,
        features=frozenset(message.features),
        wallet_synced=message.wallet_synced,
    )


def peer(message: ln.Peer) -> Peer:
    """A connected peer."""
    return Peer(message.pub_key, message.address, message.inbound, frozenset(message.features))


def custom_message(message: ln.CustomMessage) -> CustomMessage:
    """What a peer sent."""
    return CustomMessage(message.peer.hex(), message.type, message.data)


def announced(bit: int | None, addresses: Collection[str]) -> own.NodeAnnouncementUpdateRequest:
    """What is announced besides; LND's list of names has not every feature that there is."""
    features = [] if bit is None else [own.UpdateFeatureAction(feature_bit=bit)]  # type: ignore[arg-type]
    hosts = [own.UpdateAddressAction(address=address) for address in addresses]
    return own.NodeAnnouncementUpdateRequest(feature_updates=features, address_updates=hosts)


# Invoices

_INVOICE_STATES = {
    ln.Invoice.OPEN: NodeInvoiceState.OPEN,
    ln.Invoice.ACCEPTED: NodeInvoiceState.ACCEPTED,
    ln.Invoice.SETTLED: NodeInvoiceState.SETTLED,
    ln.Invoice.CANCELED: NodeInvoiceState.CANCELED,
}


def invoice(message: ln.Invoice) -> Invoice:
    """Of an OPEN invoice `held_msat` is an incomplete payment: it may still be withdrawn."""
    held = [htlc for htlc in message.htlcs if htlc.state == ln.ACCEPTED]
    return Invoice(
        payment_hash=message.r_hash.hex(),
        payment_request=message.payment_request,
        memo=message.memo,
        value_sat=message.value,
        state=_INVOICE_STATES[message.state],
        add_index=message.add_index,
        held_msat=sum(htlc.amt_msat for htlc in held),
        settled_msat=sum(htlc.amt_msat for htlc in message.htlcs if htlc.state == ln.SETTLED),
        nearest_expiry_height=min((htlc.expiry_height for htlc in held), default=None),
    )


# Channels


def channel(message: ln.Channel) -> Channel:
    """An open channel."""
    return Channel(
        outpoint=Outpoint.parse(message.channel_point),
        peer_pubkey=message.remote_pubkey,
        # Of a zero-conf channel chan_id stays an alias for ever.
        short_channel_id=message.zero_conf_confirmed_scid if message.zero_conf else message.chan_id,
        capacity_sat=message.capacity,
        local_balance_sat=message.local_balance,
        remote_balance_sat=message.remote_balance,
        push_sat=message.push_amount_sat,
        active=message.active,
        private=message.private,
        initiated_by_us=message.initiator,
        memo=message.memo,
        watched_seconds=message.lifetime,
        online_seconds=message.uptime,
        zero_conf=message.zero_conf,
        alias=message.chan_id if message.zero_conf else 0,
        aliases=tuple(message.alias_scids),
        htlcs=tuple(map(_htlc, message.pending_htlcs)),
        updates=message.num_updates,
    )


def _htlc(message: ln.HTLC) -> Htlc:
    return Htlc(
        incoming=message.incoming,
        amount_sat=message.amount,
        payment_hash=message.hash_lock.hex(),
        expiry_height=message.expiration_height,
        index=message.htlc_index,
        other_channel=message.forwarding_channel,
        other_index=message.forwarding_htlc_index,
        locked_in=message.locked_in,
    )


def pending_channels(message: ln.PendingChannelsResponse) -> Iterator[PendingChannel]:
    """All of them, whatever they wait for."""
    for opening in message.pending_open_channels:
        yield _pending(opening.channel, PendingPhase.OPENING)
    for waiting in message.waiting_close_channels:
        yield _pending(waiting.channel, PendingPhase.WAITING_CLOSE, waiting.closing_txid)
    for forced in message.pending_force_closing_channels:
        yield _pending(forced.channel, PendingPhase.FORCE_CLOSING, forced.closing_txid)


def _pending(
    message: ln.PendingChannelsResponse.PendingChannel, phase: PendingPhase, closing_txid: str = ""
) -> PendingChannel:
    return PendingChannel(
        outpoint=Outpoint.parse(message.channel_point),
        peer_pubkey=message.remote_node_pub,
        phase=phase,
        capacity_sat=message.capacity,
        local_balance_sat=message.local_balance,
        remote_balance_sat=message.remote_balance,
        private=message.private,
        memo=message.memo,
        closing_txid=closing_txid,
    )


_CLOSED_BY_US = {ln.INITIATOR_LOCAL: True, ln.INITIATOR_REMOTE: False}


def closed_channel(message: ln.ChannelCloseSummary) -> ClosedChannel:
    """A closed channel."""
    return ClosedChannel(
        outpoint=Outpoint.parse(message.channel_point),
        peer_pubkey=message.remote_pubkey,
        short_channel_id=message.zero_conf_confirmed_scid or message.chan_id,
        capacity_sat=message.capacity,
        closing_txid=message.closing_tx_hash,
        close_height=message.close_height,
        close_type=ln.ChannelCloseSummary.ClosureType.Name(message.close_type).lower(),
        initiated_by_us=_CLOSED_BY_US.get(message.close_initiator),
    )


def routing_fee(message: ln.ChannelFeeReport) -> RoutingFee:
    """What our node asks for forwarding over a channel."""
    return RoutingFee(Outpoint.parse(message.channel_point), message.base_fee_msat, message.fee_per_mil)


def own_policy(message: ln.ChannelEdge, pubkey: str) -> ln.RoutingPolicy:
    """Of the two ends, that of the node with this key."""
    return message.node1_policy if message.node1_pub == pubkey else message.node2_policy


def forward(message: ln.ForwardingEvent) -> Forward:
    """A payment that was passed on."""
    return Forward(
        at_ns=message.timestamp_ns,
        channel_in=message.chan_id_in,
        channel_out=message.chan_id_out,
        in_msat=message.amt_in_msat,
        out_msat=message.amt_out_msat,
        htlc_in=message.incoming_htlc_id if message.HasField("incoming_htlc_id") else None,
        htlc_out=message.outgoing_htlc_id if message.HasField("outgoing_htlc_id") else None,
    )


def intercepted(message: router.ForwardHtlcInterceptRequest) -> Intercepted:
    """A part that is held."""
    return Intercepted(
        circuit=Circuit(message.incoming_circuit_key.chan_id, message.incoming_circuit_key.htlc_id),
        payment_hash=message.payment_hash.hex(),
        incoming_msat=message.incoming_amount_msat,
        incoming_expiry=message.incoming_expiry,
        outgoing_msat=message.outgoing_amount_msat,
        outgoing_expiry=message.outgoing_expiry,
        scid=message.outgoing_requested_chan_id,
        auto_fail_height=message.auto_fail_height,
    )


def interception_answer(circuit: Circuit, answer: Answer) -> router.ForwardHtlcInterceptResponse:
    """What becomes of a part. Its action is always set: the first of LND's settles."""
    message = router.ForwardHtlcInterceptResponse(
        incoming_circuit_key=router.CircuitKey(chan_id=circuit.channel, htlc_id=circuit.htlc)
    )
    if answer.action is Action.FAIL:
        message.action, message.failure_code = router.FAIL, ln.Failure.TEMPORARY_CHANNEL_FAILURE
    elif answer.out_msat is None:
        message.action = router.RESUME
    else:
        message.action, message.out_amount_msat = router.RESUME_MODIFIED, answer.out_msat
        message.out_wire_custom_records.update(dict(answer.records))
    return message


def channel_event(message: ln.ChannelEventUpdate) -> ChannelEvent | PartsOnTheWay | None:
    """None where a balance changed and nothing comes in."""
    if message.type == ln.ChannelEventUpdate.CHANNEL_UPDATE:
        pending = message.updated_channel.channel.pending_htlcs
        hashes = frozenset(each.hash_lock.hex() for each in pending if each.incoming)
        return PartsOnTheWay(hashes) if hashes else None
    kind = ln.ChannelEventUpdate.UpdateType.Name(message.type).lower()
    return ChannelEvent(kind, _event_outpoint(message))


def _event_outpoint(message: ln.ChannelEventUpdate) -> Outpoint | None:
    match message.WhichOneof("channel"):
        case "open_channel":
            return Outpoint.parse(message.open_channel.channel_point)
        case "closed_channel":
            return Outpoint.parse(message.closed_channel.channel_point)
        case "pending_open_channel":
            return pending_outpoint(message.pending_open_channel)
        case None:
            return None
        case point:
            return channel_point(getattr(message, point))


def peer_event(message: ln.PeerEvent) -> PeerEvent:
    """A peer that came or went."""
    return PeerEvent(message.pub_key, message.type == ln.PeerEvent.PEER_ONLINE)


# The wallet


def chain_transaction(message: ln.Transaction) -> ChainTransaction:
    """A transaction of the wallet."""
    return ChainTransaction(
        txid=message.tx_hash,
        confirmations=message.num_confirmations,
        block_height=message.block_height,
        at=message.time_stamp,
        label=message.label,
        raw=bytes.fromhex(message.raw_tx_hex),
        outputs=tuple(map(_tx_output, message.output_details)),
        inputs=tuple(Outpoint.parse(previous.outpoint) for previous in message.previous_outpoints),
        block_hash=message.block_hash,
    )


def _tx_output(message: ln.OutputDetail) -> TxOutput:
    return TxOutput(message.output_index, message.address, message.amount, message.is_our_address)


def utxo(message: ln.Utxo) -> Utxo:
    """A coin of the wallet."""
    return Utxo(
        outpoint=outpoint(message.outpoint),
        address=message.address,
        amount_sat=message.amount_sat,
        confirmations=message.confirmations,
        is_nested=message.address_type == ln.NESTED_PUBKEY_HASH,
    )


def lease(message: wallet.UtxoLease) -> Lease:
    """A leased coin."""
    return Lease(
        outpoint=outpoint(message.outpoint),
        lock_id=message.id,
        expires_at=message.expiration,
        pk_script=message.pk_script,
        amount_sat=message.value,
    )
