"""The part of our node that has to do with peers: who is connected, dialling, messages, and what is announced."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import Future
from time import monotonic, sleep

from lightning import mapping
from lightning.calls import LIST_SECONDS, READ_SECONDS, Calls
from lightning.credentials import Credentials
from lightning.dialling import dialable
from lightning.errors import NotFound, OutcomeUnknown, PeerOffline, Rejected
from lightning.proto import lnrpc_pb2 as ln
from lightning.proto.invoicesrpc_pb2_grpc import InvoicesStub
from lightning.proto.lnrpc_pb2_grpc import LightningStub
from lightning.proto.walletrpc_pb2_grpc import WalletKitStub
from lightning.types import NodeAddress, Peer

_PAUSE_SECONDS = 0.1
_Sending = Future[ln.SendCustomMessageResponse]
#: How long a connection that was closed may still be listed.
_GONE_SECONDS = 5.0


class Reaching:
    """The calls of `LndNode` that concern peers."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._calls = Calls(credentials)
        #: Who was connected when that was last asked.
        self._seen: tuple[float, frozenset[str]] = (0.0, frozenset())
        self._read = self._calls.read
        self._change = self._calls.change

    @property
    def _lightning(self) -> LightningStub:
        return self._calls.link().lightning

    @property
    def _invoices(self) -> InvoicesStub:
        return self._calls.link().invoices

    @property
    def _wallet(self) -> WalletKitStub:
        return self._calls.link().wallet

    # Peers

    def peers(self, *, seconds: float = LIST_SECONDS) -> tuple[Peer, ...]:
        """The nodes connected to ours now."""
        request = ln.ListPeersRequest(latest_error=True)  # else LND sends the last ten of each peer, which nobody reads
        at = monotonic()
        answer = self._read(self._lightning.ListPeers, request, seconds=seconds)
        self._seen = (at, frozenset(peer.pub_key for peer in answer.peers))
        return tuple(map(mapping.peer, answer.peers))

    def known_hosts(self, pubkey: str) -> tuple[str, ...]:
        """Where the graph has the node, as it has announced itself; () where it has not."""
        try:
            answer = self._read(self._lightning.GetNodeInfo, ln.NodeInfoRequest(pub_key=pubkey))
        except NotFound:
            return ()
        return tuple(address.addr for address in answer.node.addresses)

    def connect(
        self, address: NodeAddress, *, timeout_seconds: int, was_there: bool = False, believed_seconds: float = 0.0
    ) -> None:
        """The peer is connected; if it was already, that is fine.

        Without a host only a peer that is connected already will do. A peer we share a channel with is
        kept: the node tries for ever to reach it. A stranger is tried once, so that nobody can fill the
        node with addresses to try. What may not be dialled (`dialable`) is not, whoever asks; but where the node
        itself `was_there`, connected by its own list of peers, it goes again. Who was listed no longer ago than
        `believed_seconds` is taken for connected: the list is long, and what is done next says whether that is so.
        Raises: PeerOffline, Rejected("PEER_NOT_REACHABLE") for our own key.
        """
        if self._was_there(address.pubkey, believed_seconds) or self._connection(address.pubkey):
            return
        if not address.host:
            raise PeerOffline("The peer is not connected and we know no address.", reason="PEER_NOT_REACHABLE")
        until = monotonic() + timeout_seconds
        self._dial(NodeAddress(address.pubkey, address.host if was_there else dialable(address.host)), timeout_seconds)
        while not self._connection(address.pubkey):
            if monotonic() >= until:
                raise PeerOffline("The peer was not reached in time.", reason="PEER_NOT_REACHABLE")
            sleep(_PAUSE_SECONDS)

    def begin_dialling(self, address: NodeAddress, *, timeout_seconds: int) -> Future[ln.ConnectPeerResponse]:
        """The node dials the peer at this address, which `dialable` gave, and nobody's thread waits for that.

        The future's end, well or not, says little: what counts is whether the peer is among `peers` soon after.
        Cancelling it stops nothing inside the node. As with `connect`, a stranger is tried once.
        """
        request = self._dialling(address, timeout_seconds)
        return self._calls.begin(self._lightning.ConnectPeer, request, seconds=timeout_seconds + READ_SECONDS)

    def _dialling(self, address: NodeAddress, timeout_seconds: int) -> ln.ConnectPeerRequest:
        return ln.ConnectPeerRequest(
            addr=ln.LightningAddress(pubkey=address.pubkey, host=address.host),
            perm=self._has_channel_with(address.pubkey),
            timeout=timeout_seconds,
        )

    def _dial(self, address: NodeAddress, timeout_seconds: int) -> None:
        request = self._dialling(address, timeout_seconds)
        try:
            self._change(self._lightning.ConnectPeer, request, seconds=timeout_seconds + READ_SECONDS)
        except Rejected as error:
            if error.reason != "already_connected":
                raise
        except OutcomeUnknown as error:
            # Any text of a dialler (no such host, refused, timed out), or no answer: what counts is
            # whether the peer is there, and a second connection does no harm.
            if not self._connection(address.pubkey):
                raise PeerOffline(str(error), reason="PEER_NOT_REACHABLE") from error

    def _connection(self, pubkey: str) -> Peer | None:
        return next((peer for peer in self.peers() if peer.pubkey == pubkey), None)

    def _was_there(self, pubkey: str, seconds: float) -> bool:
        """Whoever asked last, no longer ago than that, saw it."""
        at, seen = self._seen
        return pubkey in seen and monotonic() - at < seconds

    def _address(self, pubkey: str) -> str:
        """Where the peer is connected from or to: what tells one connection from the next."""
        peer = self._connection(pubkey)
        return peer.address if peer else ""

    def _has_channel_with(self, pubkey: str) -> bool:
        request = ln.ListChannelsRequest(peer=bytes.fromhex(pubkey))
        return len(self._read(self._lightning.ListChannels, request).channels) > 0

    def disconnect(self, pubkey: str) -> None:
        """The connection that was there is gone; not connected is fine.

        The node also forgets that it wanted to stay connected, until `connect`. The peer may come back
        by itself at once, over another connection.
        """
        before = self._address(pubkey)
        try:
            self._change(self._lightning.DisconnectPeer, ln.DisconnectPeerRequest(pub_key=pubkey))
        except NotFound:
            return
        # The node lists the peer for a moment longer, and until then also refuses to connect it anew.
        until = monotonic() + _GONE_SECONDS
        while before and self._address(pubkey) == before and monotonic() < until:
            sleep(_PAUSE_SECONDS)

    def begin_sending(self, pubkey: str, *, type: int, data: bytes, timeout_seconds: int) -> _Sending:
        """The peer is sent a message that is not Lightning's own; the future ends once it is written, read or not."""
        request = ln.SendCustomMessageRequest(peer=bytes.fromhex(pubkey), type=type, data=data)
        return self._calls.begin(self._lightning.SendCustomMessage, request, seconds=timeout_seconds)

    def sign(self, message: bytes) -> str:
        """The node's signature of the message, in zbase32: who has it recovers the node's key from it.

        Spec: bLIP-50, LSPS0.ln_signature. The node itself puts "Lightning Signed Message:" before what it signs, so
        that nothing else can be signed by this. Raises: NodeUnavailable.
        """
        return str(self._read(self._lightning.SignMessage, ln.SignMessageRequest(msg=message)).signature)

    def announce(self, *, feature_bit: int | None = None, addresses: Collection[str] = ()) -> None:
        """Until it is started anew the node announces this feature and these addresses too, none of them yet.

        What it says to who connects its configuration alone sets. Raises: Rejected("announced" | "no_address").
        """
        self._change(self._calls.link().announcing.UpdateNodeAnnouncement, mapping.announced(feature_bit, addresses))
