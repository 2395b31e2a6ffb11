"""walletrpc.WalletKit, method by method."""

from __future__ import annotations

from lightning.proto import lnrpc_pb2 as ln
from lightning.proto import walletrpc_pb2 as wal
from simulator import messages, scripts
from simulator.refused import Refused
from simulator.scripts import Output, Point
from simulator.world import World

_MAX_LABEL = 500
_DEFAULT_LABEL = "external"
_LOCK_ID_BYTES = 32


def list_unspent(world: World, request: wal.ListUnspentRequest) -> wal.ListUnspentResponse:
    """What is not leased, of the account, or of all: also what is only watched."""
    coins = world.wallet.coins(
        world.chain, min_confirmations=request.min_confs, now=world.now(), account=request.account
    )
    return wal.ListUnspentResponse(utxos=[messages.utxo(world, coin) for coin in coins])


def required_reserve(world: World, request: wal.RequiredReserveRequest) -> wal.RequiredReserveResponse:
    """For the announced channels there are, and so many more."""
    public = sum(1 for each in world.channels.alive() if not each.private)
    reserve_sat = world.wallet.required_reserve_sat(public + request.additional_public_channels)
    return wal.RequiredReserveResponse(required_reserve=reserve_sat)


def estimate_fee(world: World, request: wal.EstimateFeeRequest) -> wal.EstimateFeeResponse:
    """The same for every target."""
    if request.conf_target < 1:
        raise Refused("confirmation target must be greater than 0")
    estimate = max(world.chain.estimate_sat_per_kw, world.chain.floor_sat_per_kw)
    return wal.EstimateFeeResponse(sat_per_kw=estimate, min_relay_fee_sat_per_kw=world.chain.floor_sat_per_kw)


# Leases


def list_leases(world: World, _: wal.ListLeasesRequest) -> wal.ListLeasesResponse:
    """All that have not run out, also of coins that are spent."""
    active = world.wallet.active_leases(world.now())
    known = [messages.lease(world, point, held) for point, held in active.items() if point in world.wallet.owned]
    return wal.ListLeasesResponse(locked_utxos=known)


def lease_output(world: World, request: wal.LeaseOutputRequest) -> wal.LeaseOutputResponse:
    """The coin is kept for this id."""
    if len(request.id) != _LOCK_ID_BYTES:
        raise Refused(f"id must be {_LOCK_ID_BYTES} bytes")
    point = messages.point_of(request.outpoint)
    seconds = request.expiration_seconds
    expires_at = world.wallet.lease(point, request.id, seconds, chain=world.chain, now=world.now())
    return wal.LeaseOutputResponse(expiration=expires_at)


def release_output(world: World, request: wal.ReleaseOutputRequest) -> wal.ReleaseOutputResponse:
    """The coin is free."""
    world.wallet.release(messages.point_of(request.outpoint), request.id, now=world.now())
    return wal.ReleaseOutputResponse()


# Spending


def fund_psbt(world: World, request: wal.FundPsbtRequest) -> wal.FundPsbtResponse:
    """An unsigned transaction for these outputs, its inputs leased."""
    outputs, named = _template(request)
    now, depth = world.now(), 0 if request.spend_unconfirmed else max(request.min_confs, 1)
    funding = world.wallet.fund(
        outputs,
        sat_per_kw=request.sat_per_kw,
        coins=world.wallet.coins(world.chain, min_confirmations=depth, now=now),
        named=named,
    )
    lock_id = request.custom_lock_id or b"\xed\xe1\x9a\x92" * 8
    for point in funding.points:
        world.wallet.lease(point, lock_id, request.lock_expiration_seconds, chain=world.chain, now=now)
    leases = [messages.lease(world, point, world.wallet.leases[point]) for point in funding.points]
    return wal.FundPsbtResponse(funded_psbt=funding.psbt, change_output_index=funding.change_index, locked_utxos=leases)


def _template(request: wal.FundPsbtRequest) -> tuple[list[Output], list[Point]]:
    """What is to be paid, and the coins that are named for it."""
    if request.WhichOneof("template") == "raw":
        return [_output(address, amount_sat) for address, amount_sat in request.raw.outputs.items()], []
    try:
        return scripts.open_template(request.psbt)
    except ValueError as error:
        raise Refused(f"could not parse PSBT: {error}") from error


def _output(address: str, amount_sat: int) -> Output:
    try:
        return scripts.script_of(address), amount_sat
    except ValueError as error:
        raise Refused(f"error parsing address {address} for network {scripts.NETWORK}: {error}") from error


def finalize_psbt(world: World, request: wal.FinalizePsbtRequest) -> wal.FinalizePsbtResponse:
    """Our inputs are signed; nothing else happens."""
    psbt, raw = world.wallet.sign(request.funded_psbt)
    return wal.FinalizePsbtResponse(signed_psbt=psbt, raw_final_tx=raw)


def publish_transaction(world: World, request: wal.Transaction) -> wal.PublishResponse:
    """The transaction waits for a block."""
    if len(request.label) > _MAX_LABEL:
        raise Refused(f"label length: {len(request.label)} exceeds limit of {_MAX_LABEL}")
    try:
        tx = scripts.read(request.tx_hex)
    except ValueError as error:
        raise Refused(str(error)) from error
    world.publish(tx, label=request.label or _DEFAULT_LABEL)
    return wal.PublishResponse()


def get_transaction(world: World, request: wal.GetTransactionRequest) -> ln.Transaction:
    """A transaction of the wallet."""
    if request.txid not in world.wallet.known:
        raise Refused(f"can not find transaction: txid {request.txid}")
    return messages.transaction(world, request.txid)


def bump_fee(world: World, request: wal.BumpFeeRequest) -> wal.BumpFeeResponse:
    """Our unmined output is spent by a child that pays for both; with more money, by a better child."""
    point = messages.point_of(request.outpoint)
    wallet, chain = world.wallet, world.chain
    if point not in wallet.owned:
        raise Refused("the passed output does not belong to the wallet")
    if wallet.depth(point[0], chain):
        raise Refused("unable to bump fee of a confirmed transaction")
    size = 110 + chain.txs[point[0]].vbytes
    wanted_sat = size * 4 * chain.estimate_sat_per_kw // 1000
    fee_sat = request.budget if request.deadline_delta <= 1 else min(request.budget, wanted_sat)
    before = wallet.children.get(point)
    if before not in chain.mempool or fee_sat > chain.fee_sat(before or ""):
        child = wallet.child(point, fee_sat, chain)
        world.publish(child, label="sweep")
        if before:
            wallet.forget(before)
        wallet.children[point] = child.txid
    return wal.BumpFeeResponse(status="Successfully registered CPFP-tx with the sweeper")
