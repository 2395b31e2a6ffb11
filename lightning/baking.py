"""The server's own macaroon: it allows what `rights.to_bake` names, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable

from lightning.calls import Calls
from lightning.credentials import Credentials
from lightning.proto import lnrpc_pb2 as ln


def bake(admin: Credentials, *, methods: Iterable[str], root_key_id: int) -> bytes:
    """A new macaroon for the server that allows these methods, made by one that may bake.

    The server never calls this: it is no method of LndNode, and the new macaroon does not allow it.
    Repeat: safe; the same root key gives another macaroon with the same rights, revoked with it.
    Raises: NodeUnavailable (also where `admin` may not bake), OutcomeUnknown.
    """
    calls = Calls(admin)
    permissions = [ln.MacaroonPermission(entity="uri", action=method) for method in methods]
    request = ln.BakeMacaroonRequest(permissions=permissions, root_key_id=root_key_id)
    return bytes.fromhex(calls.change(calls.link().lightning.BakeMacaroon, request).macaroon)
