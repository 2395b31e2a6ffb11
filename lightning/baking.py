"""The server's own macaroon: it allows what `credentials.required_methods` names, and nothing else."""

from __future__ import annotations

from lightning.calls import Calls
from lightning.credentials import Credentials, required_methods
from lightning.proto import lnrpc_pb2 as ln


def bake(admin: Credentials, *, root_key_id: int) -> bytes:
    """A new macaroon for the server, made by one that may bake.

    The server never calls this: it is no method of LndNode, and the new macaroon does not allow it.
    Repeat: safe; the same root key gives another macaroon with the same rights, revoked with it.
    Raises: NodeUnavailable (also where `admin` may not bake), OutcomeUnknown.
    """
    calls = Calls(admin)
    permissions = [ln.MacaroonPermission(entity="uri", action=method) for method in required_methods()]
    request = ln.BakeMacaroonRequest(permissions=permissions, root_key_id=root_key_id)
    return bytes.fromhex(calls.change(calls.link().lightning.BakeMacaroon, request).macaroon)
