"""lnrpc.State: whether the node answers. Asked without a macaroon."""

from __future__ import annotations

from lightning.proto import stateservice_pb2 as state
from simulator.world import World


def get_state(_: World, request: state.GetStateRequest) -> state.GetStateResponse:
    """A simulator that answers is ready."""
    return state.GetStateResponse(state=state.SERVER_ACTIVE)
