"""Who may call what. A macaroon is a token that we remember; its bytes only look like LND's."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from simulator import files
from simulator.refused import Refused

ADMIN, READONLY = "admin", "readonly"
_BEGIN = b"\x02\x01\x03lnd\x02"
_CHANGES = frozenset(
    {
        "ConnectPeer", "DisconnectPeer", "OpenChannel", "FundingStateStep", "AbandonChannel", "NewAddress",
        "BakeMacaroon", "AddHoldInvoice", "SettleInvoice", "CancelInvoice", "LeaseOutput", "ReleaseOutput",
        "FundPsbt", "FinalizePsbt", "PublishTransaction", "BumpFee", "CloseChannel", "UpdateChannelPolicy",
        "SendCustomMessage", "UpdateNodeAnnouncement", "HtlcInterceptor", "XAddLocalChanAliases",
        "XDeleteLocalChanAliases", "SignMessage",
    }
)  # fmt: skip
#: What only looks, of what is no call of LND's: who plays buyers asks it again and again.
_LOOKS = frozenset({"ListMempool", "ListCustomers", "GetPolicy", "LookPayment", "RivalOf", "ListWaiting", "ListParts"})


def only_reads(method: str) -> bool:
    """The RPC (`/package.Service/Method`) of LND's changes nothing."""
    return method.rpartition("/")[2] not in _CHANGES and not method.startswith("/simulator.")


def changes(method: str) -> bool:
    """The RPC, of LND's or not, may leave something other than it was."""
    return not only_reads(method) and method.rpartition("/")[2] not in _LOOKS


@dataclass
class Macaroons:
    """Tokens in hex, and what each allows."""

    rights: dict[str, frozenset[str]] = field(default_factory=dict)

    def bake(self, permissions: frozenset[str]) -> str:
        """A new token that allows these: full method names, "admin" or "readonly"."""
        token = (_BEGIN + os.urandom(48)).hex()
        self.rights[token] = permissions
        return token

    def write(self, home: Path) -> None:
        """`admin.macaroon` and `readonly.macaroon` are in `home`; those that are there and known are kept."""
        for name in (ADMIN, READONLY):
            path = home / f"{name}.macaroon"
            if not path.exists() or path.read_bytes().hex() not in self.rights:
                files.write(path, bytes.fromhex(self.bake(frozenset({name}))))

    def require(self, tokens: list[str], method: str) -> None:
        """Raises: Refused in LND's words."""
        if len(tokens) != 1:
            raise Refused(f"expected 1 macaroon, got {len(tokens)}")
        token = tokens[0].lower()
        if not token.startswith(_BEGIN[:1].hex()):
            raise Refused("cannot determine data format of binary-encoded macaroon")
        if token not in self.rights:
            raise Refused("verification failed: signature mismatch after caveat verification")
        if not self._allows(self.rights[token], method):
            raise Refused("permission denied")

    def _allows(self, rights: frozenset[str], method: str) -> bool:
        return ADMIN in rights or method in rights or (READONLY in rights and only_reads(method))
