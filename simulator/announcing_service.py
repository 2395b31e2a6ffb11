"""peersrpc.Peers: what the node tells the network of itself."""

from __future__ import annotations

from lightning.proto import lnrpc_pb2 as ln
from lightning.proto import peersrpc_pb2 as own
from simulator.peers import FEATURES
from simulator.world import World


def update_node_announcement(
    world: World, request: own.NodeAnnouncementUpdateRequest
) -> own.NodeAnnouncementUpdateResponse:
    """More features and addresses are announced, until the node starts anew."""
    bits = [update.feature_bit for update in request.feature_updates]
    addresses = [update.address for update in request.address_updates]
    world.telling.announce([int(bit) for bit in bits], addresses, set(FEATURES))
    done = [ln.Op(entity=name) for name, given in (("features", bits), ("addresses", addresses)) if given]
    return own.NodeAnnouncementUpdateResponse(ops=done)
