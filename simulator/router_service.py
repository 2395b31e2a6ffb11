"""routerrpc.Router: what others pay through our node, and what its channels are called besides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import grpc
from google.protobuf.message import Message

from lightning.proto import lnrpc_pb2 as ln
from lightning.proto import routerrpc_pb2 as router
from simulator import messages
from simulator.passing import FEE_RECORD
from simulator.refused import Refused
from simulator.world import World


def xadd_local_chan_aliases(world: World, request: router.AddAliasesRequest) -> router.AddAliasesResponse:
    """The channels are called so too."""
    for each in request.alias_maps:
        for alias in each.aliases:
            world.passing.names.add(each.base_scid, alias)
    known = world.passing.names.all()
    maps = [ln.AliasMap(base_scid=base, aliases=names) for base, names in known.items()]
    return router.AddAliasesResponse(alias_maps=maps)


def xdelete_local_chan_aliases(world: World, request: router.DeleteAliasesRequest) -> router.DeleteAliasesResponse:
    """The channels are called so no more."""
    for each in request.alias_maps:
        for alias in each.aliases:
            world.passing.names.remove(each.base_scid, alias)
    known = world.passing.names.all()
    maps = [ln.AliasMap(base_scid=base, aliases=names) for base, names in known.items()]
    return router.DeleteAliasesResponse(alias_maps=maps)


async def htlc_interceptor(
    world: World, answers: AsyncIterator[router.ForwardHtlcInterceptResponse], answered: Callable[[], None]
) -> AsyncIterator[Message]:
    """What is held, and what comes. An answer that does not fit ends it."""
    asking = world.passing.listen()
    reading = asyncio.create_task(_read(world, answers, answered))
    next_part = asyncio.create_task(asking.get())
    try:
        while True:
            await asyncio.wait({next_part, reading}, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
                return
            part, is_on_chain = next_part.result()
            next_part = asyncio.create_task(asking.get())
            yield messages.intercepted(part, is_on_chain=is_on_chain)
    finally:
        next_part.cancel()
        reading.cancel()
        world.passing.leave()
        answered()


async def _read(
    world: World, answers: AsyncIterator[router.ForwardHtlcInterceptResponse], answered: Callable[[], None]
) -> None:
    async for answer in answers:
        _take(world, answer)
        answered()


def _take(world: World, answer: router.ForwardHtlcInterceptResponse) -> None:
    circuit = (answer.incoming_circuit_key.chan_id, answer.incoming_circuit_key.htlc_id)
    action = router.ResolveHoldForwardAction.Name(answer.action)
    is_other = action == "RESUME_MODIFIED"
    record = answer.out_wire_custom_records.get(FEE_RECORD, b"") if is_other else b""
    if action == "SETTLE":
        raise Refused("missing preimage")
    if action == "FAIL" and answer.failure_code not in (0, ln.Failure.TEMPORARY_CHANNEL_FAILURE):
        raise Refused(f"unsupported failure code: {answer.failure_code}", grpc.StatusCode.INVALID_ARGUMENT)
    out_msat = answer.out_amount_msat if is_other else 0
    world.passing.answer(circuit, action, out_msat=out_msat, fee_msat=int.from_bytes(record, "big"))
