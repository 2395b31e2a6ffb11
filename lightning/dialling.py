"""A host is looked up by us, and what was looked at is what our node dials."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final

from django.conf import settings

from lightning import addresses
from lightning.addresses import IPAddress
from lightning.errors import PeerOffline

#: The system's own patience with a server of names that does not answer is half a minute and more.
RESOLVE_SECONDS: Final = 5.0


def dialable(host: str) -> str:
    """What our node may dial to reach `host` (`name:port`).

    An address that was tested, never the name again: who answers for it could have another answer the second time.
    An onion service is named as it is: the node knows Tor, or does not reach it.
    Raises: PeerOffline where the host leads to no address that may be dialled.
    """
    if settings.DIAL_PRIVATE_ADDRESSES:
        return host
    why = addresses.objection(host)
    if why:
        raise PeerOffline(why, reason="PEER_NOT_REACHABLE")
    name, _, port = host.rpartition(":")
    if addresses.is_onion(name):
        return host.lower()  # lnd takes any other spelling for a name to look up
    written = addresses.literal(name)
    found = _resolved(name) if written is None else [written]
    public = [address for address in found if addresses.is_public(address)]
    if not public:
        where = ", ".join(map(str, found[:3]))
        raise PeerOffline(f"{name} leads to {where}, which is not dialled.", reason="PEER_NOT_REACHABLE")
    return addresses.joined(min(public, key=lambda address: address.version), port)  # IPv4 first, as LND itself


def _resolved(name: str) -> list[IPAddress]:
    """All that the name leads to. Raises: PeerOffline."""
    answers: SimpleQueue[list[IPAddress] | Exception] = SimpleQueue()
    # Nothing ends a lookup before its time: so it has a thread of its own, and we stop listening.
    Thread(target=_look_up, args=(name, answers), name="resolve", daemon=True).start()
    try:
        answer = answers.get(timeout=RESOLVE_SECONDS)
    except Empty:
        answer = TimeoutError("no answer in time")
    if isinstance(answer, Exception):
        raise PeerOffline(f"{name} cannot be resolved: {answer}", reason="PEER_NOT_REACHABLE")
    return answer


def _look_up(name: str, answers: SimpleQueue[list[IPAddress] | Exception]) -> None:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        answers.put([ip_address(str(where[0])) for *_, where in found])
    except (OSError, ValueError) as error:  # ValueError: labels too long, or none, which the codec of names says
        answers.put(error)
