"""lnrpc.Lightning, method by method: each takes the world and a request, and answers or raises Refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from google.protobuf.message import Message

from lightning.credentials import required_methods
from lightning.proto import lnrpc_pb2 as ln
from simulator import channels as ch
from simulator import events, messages, scripts, signed, strangers
from simulator.channels import Flow
from simulator.refused import Refused
from simulator.rest import Rest
from simulator.world import World

#: Methods of LND's that we never call, for who asks whether he might.
_OTHERS = frozenset(
    f"/lnrpc.Lightning/{name}"
    for name in (
        "BakeMacaroon", "BatchOpenChannel", "DeleteMacaroonID", "ExportAllChannelBackups",
        "OpenChannelSync", "RestoreChannelBackups", "SendCoins", "SendMany", "SendPaymentSync",
        "StopDaemon", "WalletBalance",
    )
)  # fmt: skip

_POLL_SECONDS = 0.05
_LEAST_CLTV_BLOCKS = 18
#: What each type of address pays.
_SCRIPTS: dict[ln.AddressType.ValueType, Callable[[Any], bytes]] = {
    ln.WITNESS_PUBKEY_HASH: scripts.p2wpkh,
    ln.NESTED_PUBKEY_HASH: scripts.nested,
    ln.TAPROOT_PUBKEY: scripts.p2tr,
}


def get_info(world: World, _: ln.GetInfoRequest) -> ln.GetInfoResponse:
    """What the node says of itself, and whether it has caught up with all of it."""
    return messages.node_info(world, synced=world.sync.asked())


def get_debug_info(world: World, _: ln.GetDebugInfoRequest) -> ln.GetDebugInfoResponse:
    """How it was started, as far as that matters here."""
    config = {
        "requireinterceptor": str(world.passing.kept.requires_interceptor).lower(),
        "bitcoin.timelockdelta": str(ch.CLTV_BLOCKS),
        "protocol.option-scid-alias": "true",
        "protocol.zero-conf": "true",
        "rejecthtlc": "false",
    }
    return ln.GetDebugInfoResponse(config=config)


def bake_macaroon(world: World, request: ln.BakeMacaroonRequest) -> ln.BakeMacaroonResponse:
    """Only whole methods can be allowed (`uri:/package.Service/Method`)."""
    if any(permission.entity != "uri" for permission in request.permissions):
        raise Refused("the simulator bakes macaroons of the entity uri only")
    actions = frozenset(permission.action for permission in request.permissions)
    return ln.BakeMacaroonResponse(macaroon=world.macaroons.bake(actions))


def check_macaroon_permissions(world: World, request: ln.CheckMacPermRequest) -> ln.CheckMacPermResponse:
    """Whether this macaroon may call the method. Refused where it may not, as LND does."""
    if request.fullMethod not in {*required_methods(), *_OTHERS}:
        raise Refused(f"no permissions found for full method {request.fullMethod}")
    world.macaroons.require([request.macaroon.hex()], request.fullMethod)
    return ln.CheckMacPermResponse(valid=True)


# Peers


def list_aliases(world: World, _: ln.ListAliasesRequest) -> ln.ListAliasesResponse:
    """What channels are called besides, by the name that they have in lists."""
    known = world.passing.names.all()
    maps = [ln.AliasMap(base_scid=base, aliases=names) for base, names in known.items()]
    return ln.ListAliasesResponse(alias_maps=maps)


def list_peers(world: World, _: ln.ListPeersRequest) -> ln.ListPeersResponse:
    """The customers that are connected."""
    connected = [each for each in world.customers.by_name.values() if each.is_connected]
    return ln.ListPeersResponse(peers=[*map(messages.peer, connected), *world.rest.connected()])


def get_node_info(world: World, request: ln.NodeInfoRequest) -> ln.NodeInfo:
    """Ourselves, and the customers that have announced themselves."""
    own = messages.node_info(world, synced=True)
    customer = world.customers.find(request.pub_key)
    if request.pub_key == own.identity_pubkey:
        hosts = [uri.partition("@")[2] for uri in own.uris]
    elif customer is not None and customer.is_announced:
        hosts = [customer.host]
    else:
        raise Refused("unable to find node", grpc.StatusCode.NOT_FOUND)
    addresses = [ln.NodeAddress(network="tcp", addr=host) for host in hosts]
    return ln.NodeInfo(node=ln.LightningNode(pub_key=request.pub_key, addresses=addresses))


async def connect_peer(world: World, request: ln.ConnectPeerRequest) -> ln.ConnectPeerResponse:
    """The customer is connected, or (`perm`) tried again later.

    A host that takes no packets costs all the time; one of this machine that is no customer's is really dialled.
    """
    known = world.customers.find(request.addr.pubkey)
    is_there = known is not None and known.is_connected
    if world.customers.is_dead(request.addr.host):
        await asyncio.sleep(request.timeout or strangers.PATIENCE_SECONDS)
    elif not (request.perm or is_there) and world.customers.is_elsewhere(request.addr.host):
        await strangers.dial(request.addr.host, request.timeout or strangers.PATIENCE_SECONDS)
    world.customers.connect(request.addr.pubkey, request.addr.host, stays=request.perm)
    return ln.ConnectPeerResponse()


def disconnect_peer(world: World, request: ln.DisconnectPeerRequest) -> ln.DisconnectPeerResponse:
    """The connection is cut; a customer with a channel comes back by itself."""
    has_channel = world.channels.has_open(request.pub_key)
    world.customers.disconnect(request.pub_key, now=world.now(), has_channel=has_channel)
    return ln.DisconnectPeerResponse()


def send_custom_message(world: World, request: ln.SendCustomMessageRequest) -> ln.SendCustomMessageResponse:
    """The customer has it, if it is connected."""
    customer = world.customers.find(request.peer.hex())
    if customer is None or not customer.is_connected:
        raise Refused("peer is not connected", code=grpc.StatusCode.NOT_FOUND)
    world.telling.say(customer.pubkey, request.type, request.data)
    return ln.SendCustomMessageResponse(status="message sent successfully")


def sign_message(world: World, request: ln.SignMessageRequest) -> ln.SignMessageResponse:
    """By the node's key, after the words that LND puts before whatever it signs so."""
    if request.single_hash:
        raise Refused("the simulator hashes twice")
    return ln.SignMessageResponse(signature=signed.message(request.msg, scripts.key(world.kept.seed, "node")))


# Channels


def list_channels(world: World, request: ln.ListChannelsRequest) -> ln.ListChannelsResponse:
    """The open ones."""
    found = [each for each in world.channels.alive(request.peer.hex()) if each.stage == ch.OPEN]
    ours = [messages.open_channel(world, each) for each in found]
    return ln.ListChannelsResponse(channels=[*ours, *world.rest.open_channels(request.peer.hex())])


def pending_channels(world: World, _: ln.PendingChannelsRequest) -> ln.PendingChannelsResponse:
    """What is being opened or closed."""
    return messages.pending_channels(world)


def closed_channels(world: World, _: ln.ClosedChannelsRequest) -> ln.ClosedChannelsResponse:
    """What is over, also what was abandoned."""
    over = [each for each in world.channels.by_point.values() if not each.is_alive]
    return ln.ClosedChannelsResponse(channels=[*map(messages.closed_channel, over), *world.rest.closed_channels()])


async def open_channel(world: World, request: ln.OpenChannelRequest) -> AsyncIterator[Message]:
    """The negotiation. It goes on when nobody reads any more."""
    flow = _begin(world, request)
    while True:
        update = await flow.updates.get()
        if isinstance(update, Refused):
            raise update
        kind, point = update
        yield _status(flow, kind, point)
        if kind == "open":
            return


def _begin(world: World, request: ln.OpenChannelRequest) -> Flow:
    if not world.sync.is_wallet_synced:
        raise Refused("channels cannot be created before the wallet is fully synced")
    shim = request.funding_shim.psbt_shim
    if not shim.no_publish or len(shim.pending_chan_id) != 32:
        raise Refused("the simulator opens channels by a PSBT with no_publish only")
    if request.zero_conf and request.commitment_type == ln.UNKNOWN_COMMITMENT_TYPE:
        raise Refused("use anchors for zero-conf")
    if request.scid_alias and not request.private:
        raise Refused("option-scid-alias chantype for public channel")
    return world.negotiations.begin(
        request.node_pubkey.hex(),
        shim.pending_chan_id,
        capacity_sat=request.local_funding_amount,
        push_sat=request.push_sat,
        private=request.private,
        memo=request.memo,
        zero_conf=request.zero_conf,
        is_free=request.use_base_fee and request.use_fee_rate and not (request.base_fee or request.fee_rate),
    )


def _status(flow: Flow, kind: str, point: scripts.Point) -> ln.OpenStatusUpdate:
    status = ln.OpenStatusUpdate(pending_chan_id=flow.pending_chan_id)
    if kind == "fund":
        status.psbt_fund.funding_address = scripts.address(flow.pk_script)
        status.psbt_fund.funding_amount = flow.capacity_sat
    elif kind == "pending":
        status.chan_pending.CopyFrom(messages.pending_update(point))
    else:
        status.chan_open.channel_point.CopyFrom(messages.channel_point(point))
    return status


def funding_state_step(world: World, request: ln.FundingTransitionMsg) -> ln.FundingStateStepResp:
    """One step of a negotiation: cancelled, or the PSBT seen."""
    if request.WhichOneof("trigger") == "shim_cancel":
        world.negotiations.cancel(request.shim_cancel.pending_chan_id)
        return ln.FundingStateStepResp()
    verify = request.psbt_verify
    flow = world.negotiations.verify(verify.pending_chan_id, verify.funded_psbt)
    if not flow.private and not _keeps_reserve(world, verify.funded_psbt):
        # The channel is there all the same: LND finds out too late.
        raise Refused(
            "reserved wallet balance invalidated: transaction would leave insufficient funds for fee bumping anchor "
            "channel closings (see debug log for details)"
        )
    return ln.FundingStateStepResp()


def _keeps_reserve(world: World, psbt: bytes) -> bool:
    unsigned, spent = scripts.open_psbt(psbt)
    """What would be left of the wallet's own coins is enough: those that it only watches pay for no close."""
    wallet = world.wallet
    own = [output for _, output in wallet.unspent(world.chain) if wallet.account(output[0]) == "default"]
    left_sat = sum(amount_sat for _, amount_sat in own)
    left_sat -= sum(amount_sat for pk_script, amount_sat in spent if pk_script in wallet.names)
    left_sat += sum(vout.value for vout in unsigned.vout if vout.script_pubkey.data in wallet.names)
    public = sum(1 for each in world.channels.alive() if not each.private)
    return bool(left_sat >= wallet.required_reserve_sat(public))


def abandon_channel(world: World, request: ln.AbandonChannelRequest) -> ln.AbandonChannelResponse:
    """Our node has forgotten the channel."""
    point = request.channel_point
    txid = point.funding_txid_str or point.funding_txid_bytes[::-1].hex()
    named = (txid, point.output_index)
    if not request.i_know_what_i_am_doing and not request.pending_funding_shim_only:
        raise Refused("AbandonChannel RPC call only available in dev builds")
    known = world.channels.by_point.get(named)
    if known and known.is_alive and not request.i_know_what_i_am_doing:
        # LND looks at the thaw height, which no channel that a PSBT funds has.
        raise Refused(f"channel {messages.point_text(named)} is not externally funded or not pending")
    world.channels.abandon(named, height=world.chain.height)
    return ln.AbandonChannelResponse()


async def close_channel(world: World, request: ln.CloseChannelRequest) -> AsyncIterator[Message]:
    """By us: at once where forced, else as soon as the customer answers, whether or not anybody still reads."""
    channel = _channel(world, request.channel_point)
    if request.force:
        world.require_forceable(channel)
        world.close(channel.point, ch.LOCAL_FORCE)
    else:
        world.require_closable(channel)
        channel.is_asked_to_close = True
        world.close_where_asked()
    while not channel.closing_txid:
        await asyncio.sleep(_POLL_SECONDS)
    yield ln.CloseStatusUpdate(close_pending=messages.pending_update((channel.closing_txid, 0)))
    while channel.is_alive:
        await asyncio.sleep(_POLL_SECONDS)
    txid = bytes.fromhex(channel.closing_txid)[::-1]
    yield ln.CloseStatusUpdate(chan_close=ln.ChannelCloseUpdate(closing_txid=txid, success=True))


def _channel(world: World, message: ln.ChannelPoint) -> ch.Channel:
    txid = message.funding_txid_str or message.funding_txid_bytes[::-1].hex()
    channel = world.channels.by_point.get((txid, message.output_index))
    if channel is None or not channel.is_alive:
        raise Refused("channel not found")
    return channel


def fee_report(world: World, _: ln.FeeReportRequest) -> ln.FeeReportResponse:
    """Of all open channels, announced or not."""
    found = [each for each in world.channels.alive() if each.stage == ch.OPEN]
    return ln.FeeReportResponse(channel_fees=[*map(messages.fee_report, found), *world.rest.fees()])


def get_chan_info(world: World, request: ln.ChanInfoRequest) -> ln.ChannelEdge:
    """The channel as the graph has it; of the customer's own side nothing is known."""
    named = [each for each in world.channels.alive() if messages.point_text(each.point) == request.chan_point]
    if not named or named[0].stage != ch.OPEN:
        raise Refused("edge not found", code=grpc.StatusCode.NOT_FOUND)
    return messages.edge(world, named[0])


def update_channel_policy(world: World, request: ln.PolicyUpdateRequest) -> ln.PolicyUpdateResponse:
    """What is asked for forwarding over one channel is this now."""
    if request.time_lock_delta < _LEAST_CLTV_BLOCKS:
        raise Refused(f"time lock delta of {request.time_lock_delta} is too small, minimum is {_LEAST_CLTV_BLOCKS}")
    point = request.chan_point
    txid = point.funding_txid_str or point.funding_txid_bytes[::-1].hex()
    channel = world.channels.by_point.get((txid, point.output_index))
    if channel is None or channel.stage != ch.OPEN:
        words = "not yet confirmed" if channel is not None and channel.stage == ch.PENDING else "not found"
        return ln.PolicyUpdateResponse(failed_updates=[ln.FailedUpdate(update_error=words)])
    channel.base_msat, channel.ppm = request.base_fee_msat, request.fee_rate_ppm
    channel.cltv_blocks = request.time_lock_delta
    return ln.PolicyUpdateResponse()


# Invoices


def list_invoices(world: World, request: ln.ListInvoiceRequest) -> ln.ListInvoiceResponse:
    """In the order they were added, from an index on (or back from one), page by page."""
    invoices, most = world.invoices, request.num_max_invoices or 100
    hashes = invoices.waiting if request.pending_only else invoices.by_hash
    found = sorted((invoices.by_hash[each] for each in hashes), key=lambda invoice: invoice.add_index)
    offset, rest = request.index_offset, Rest() if request.pending_only else world.rest
    if request.reversed:
        own = [messages.invoice(each) for each in found if not offset or each.add_index < offset][-most:]
        page = [*rest.invoices_before(offset, most - len(own)), *own]
    else:
        old = list(rest.invoices_after(offset, most))
        page = [*old, *(messages.invoice(each) for each in found if each.add_index > offset)][:most]
    last = page[-1].add_index if page else 0
    return ln.ListInvoiceResponse(invoices=page, last_index_offset=last)


def forwarding_history(world: World, request: ln.ForwardingHistoryRequest) -> ln.ForwardingHistoryResponse:
    """From a second on, to now or to another; page by page, each from a place in that time on."""
    until_ns = request.end_time * 10**9 or int(world.now() * 1e9)
    page = world.forwards.page(
        request.start_time * 10**9,
        until_ns,
        skip=request.index_offset,
        most=request.num_max_events,
        out_by=frozenset(request.outgoing_chan_ids),
    )
    return ln.ForwardingHistoryResponse(
        forwarding_events=[messages.forward(at_ns, each) for at_ns, each in page],
        last_offset_index=request.index_offset + len(page),
    )


# The wallet


def new_address(world: World, request: ln.NewAddressRequest) -> ln.NewAddressResponse:
    """Native segwit, taproot, or native segwit inside of P2SH."""
    if request.type not in _SCRIPTS:
        raise Refused("the simulator knows no address that is given out twice")
    return ln.NewAddressResponse(address=scripts.address(world.wallet.new_script(_SCRIPTS[request.type])))


def get_transactions(world: World, request: ln.GetTransactionsRequest) -> ln.TransactionDetails:
    """The wallet's, mined between the two heights; an open end includes the unmined."""
    end = request.end_height if request.end_height > 0 else world.chain.height
    mined = [
        txid for txid in world.wallet.known if request.start_height <= world.wallet.mined.get(txid, (-1, ""))[0] <= end
    ]
    waiting = list(world.wallet.unmined) if request.end_height <= 0 else []
    ours = [messages.transaction(world, txid) for txid in [*mined, *waiting]]
    old = world.rest.transactions_between(request.start_height, end, world.chain)
    return ln.TransactionDetails(transactions=[*old, *ours])


# Streams


async def subscribe_peer_events(world: World, _: ln.PeerEventSubscription) -> AsyncIterator[Message]:
    """Customers that come and go from now on."""
    async for message in listen(world, events.PEERS):
        yield message


async def subscribe_custom_messages(world: World, _: ln.SubscribeCustomMessagesRequest) -> AsyncIterator[Message]:
    """What customers say from now on that is no message of Lightning's own."""
    async for message in listen(world, events.MESSAGES):
        yield message


async def subscribe_channel_events(world: World, _: ln.ChannelEventSubscription) -> AsyncIterator[Message]:
    """What happens to channels from now on."""
    async for message in listen(world, events.CHANNELS):
        yield message


async def subscribe_transactions(world: World, _: ln.GetTransactionsRequest) -> AsyncIterator[Message]:
    """The wallet's transactions from now on, when first seen and when first mined."""
    async for message in listen(world, events.TRANSACTIONS):
        yield message


async def listen(world: World, topic: str) -> AsyncIterator[Message]:
    """What is said about the topic from now on."""
    with world.events.listening(topic) as queue:
        while True:
            yield await queue.get()
