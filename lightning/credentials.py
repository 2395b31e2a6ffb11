"""Who we are to the node: its address, TLS, our macaroon, and all that we ask permission for."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import grpc

from lightning.errors import NodeUnavailable
from lightning.proto import chainrpc_pb2, invoicesrpc_pb2, lnrpc_pb2, peersrpc_pb2, routerrpc_pb2, walletrpc_pb2

#: In place of a certificate: no TLS, and gRPC itself refuses any peer that is not this machine.
#: It is how the simulator is reached.
LOCAL = "local"

_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}){32,}")
#: Only for baking the macaroon in the first place; the server never does it.
_NOT_OURS = frozenset({"/lnrpc.Lightning/BakeMacaroon"})


@dataclass(frozen=True, slots=True)
class Credentials:
    """How to reach one node. `macaroon` never shows in a repr."""

    target: str  # host:port
    tls_cert: str = ""  # path of the node's certificate; "": the system's authorities; LOCAL
    macaroon: str = field(default="", repr=False)  # path, or hex
    network: str = ""  # the network the node has to be on; "": any
    recognises: Callable[[str], bool] | None = None  # whether the node with this key may be ours; None: any may

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The macaroon as each call carries it; a changed file is read again.

        Raises: NodeUnavailable when the file cannot be read: nothing has been sent yet.
        """
        if not self.macaroon:
            return ()
        if _HEX.fullmatch(self.macaroon):
            return (("macaroon", self.macaroon),)
        try:
            return (("macaroon", _macaroon_file(self.macaroon, _changed_at(self.macaroon))),)
        except OSError as error:
            raise NodeUnavailable(
                f"The macaroon cannot be read: {error.strerror}", reason="MACAROON_UNREADABLE"
            ) from None

    def certificate_changed_at(self) -> int:
        """A number that is another one once the certificate's file was replaced."""
        return _changed_at(self.tls_cert) if self._is_file() else 0

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Raises: NodeUnavailable when the certificate cannot be read."""
        if self.tls_cert == LOCAL:
            return grpc.local_channel_credentials()
        try:
            return grpc.ssl_channel_credentials(Path(self.tls_cert).read_bytes() if self._is_file() else None)
        except OSError as error:
            raise NodeUnavailable(
                f"The certificate cannot be read: {error.strerror}", reason="CERTIFICATE_UNREADABLE"
            ) from None

    def _is_file(self) -> bool:
        return self.tls_cert not in ("", LOCAL)


def _changed_at(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns  # asked at each call: a Path would take longer than the question
    except OSError:
        return 0


@lru_cache(maxsize=8)
def _macaroon_file(path: str, _changed: int) -> str:
    return Path(path).read_bytes().hex()


def required_methods() -> tuple[str, ...]:
    """Every RPC we call, as the `uri` permissions of a macaroon that allows nothing else.

    It is what our own .proto files contain: a method is added there before it can be called.
    """
    files = (lnrpc_pb2, invoicesrpc_pb2, walletrpc_pb2, chainrpc_pb2, peersrpc_pb2, routerrpc_pb2)
    services = [service for file in files for service in file.DESCRIPTOR.services_by_name.values()]
    uris = {f"/{service.full_name}/{method.name}" for service in services for method in service.methods}
    return tuple(sorted(uris - _NOT_OURS))
