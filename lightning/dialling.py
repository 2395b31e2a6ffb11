"""A host is looked up by us, and what was looked at is what our node dials."""

from __future__ import annotations

import socket
from concurrent.futures import Future
from ipaddress import ip_address
from threading import Lock, Thread
from typing import Final

from django.conf import settings

from lightning import addresses
from lightning.addresses import IPAddress
from lightning.errors import PeerOffline

#: The system's own patience with a server of names that does not answer is half a minute and more.
RESOLVE_SECONDS: Final = 5.0
#: Nothing ends a look-up before its time, so each holds a thread as long as the system is patient.
MOST_LOOKUPS: Final = 64

_lookups: dict[str, Future[list[IPAddress]]] = {}
_looking_up = Lock()


def dialable(host: str) -> str:
    """What our node may dial to reach `host` (`name:port`).

    An address that was tested, never the name again: who answers for it could have another answer the second time.
    An onion service is named as it is: the node knows Tor, or does not reach it.
    Raises: PeerOffline where the host leads to no address that may be dialled.
    """
    asked = begin(host)
    try:
        return asked.result(RESOLVE_SECONDS)
    except TimeoutError:
        raise too_late(host) from None


def too_late(host: str) -> PeerOffline:
    """What is said where the answer has not come within RESOLVE_SECONDS."""
    return _unresolved(host.rpartition(":")[0], "no answer in time")


def begin(host: str, *, most: int = MOST_LOOKUPS) -> Future[str]:
    """Ends as `dialable` does, and nobody's thread waits for it. `most`: no new look-up beside so many."""
    answer: Future[str] = Future()
    try:
        known = _without_asking(host)
        if known is not None:
            answer.set_result(known)
            return answer
        name, _, port = host.rpartition(":")
        found = _lookup(name, most)
    except PeerOffline as error:
        answer.set_exception(error)
        return answer
    found.add_done_callback(lambda done: _pass_on(done, answer, name, port))
    return answer


def _without_asking(host: str) -> str | None:
    """What may be dialled, where nobody has to be asked for a name. Raises: PeerOffline."""
    if settings.DIAL_PRIVATE_ADDRESSES:
        return host
    why = addresses.objection(host)
    if why:
        raise PeerOffline(why, reason="PEER_NOT_REACHABLE")
    name, _, port = host.rpartition(":")
    if addresses.is_onion(name):
        return host.lower()  # lnd takes any other spelling for a name to look up
    written = addresses.literal(name)
    return None if written is None else _chosen(name, [written], port)


def _chosen(name: str, found: list[IPAddress], port: str) -> str:
    """Raises: PeerOffline."""
    public = [address for address in found if addresses.is_public(address)]
    if not public:
        where = ", ".join(map(str, found[:3]))
        raise PeerOffline(f"{name} leads to {where}, which is not dialled.", reason="PEER_NOT_REACHABLE")
    return addresses.joined(min(public, key=lambda address: address.version), port)  # IPv4 first, as LND itself


def _pass_on(found: Future[list[IPAddress]], answer: Future[str], name: str, port: str) -> None:
    if not answer.set_running_or_notify_cancel():
        return
    try:
        answer.set_result(_chosen(name, found.result(), port))
    except PeerOffline as error:
        answer.set_exception(error)
    except Exception as error:  # noqa: BLE001  OSError; ValueError: labels too long, or none, says the codec of names
        answer.set_exception(_unresolved(name, str(error)))


def _unresolved(name: str, why: str) -> PeerOffline:
    return PeerOffline(f"{name} cannot be resolved: {why}", reason="PEER_NOT_REACHABLE")


def _lookup(name: str, most: int) -> Future[list[IPAddress]]:
    """The name is being looked up: once, however many ask, and in a thread of its own that nobody has to wait for.

    Raises: PeerOffline where too many are.
    """
    with _looking_up:
        if name in _lookups:
            return _lookups[name]
        if len(_lookups) >= most:
            raise _unresolved(name, "too many others are being looked up")
        found: Future[list[IPAddress]] = Future()
        _lookups[name] = found
    Thread(target=_look_up, args=(name, found), name="resolve", daemon=True).start()
    return found


def _look_up(name: str, found: Future[list[IPAddress]]) -> None:
    try:
        answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        addresses_of = [ip_address(str(where[0])) for *_, where in answers]
    except Exception as error:  # noqa: BLE001  whoever asks is told
        _ended(name)
        found.set_exception(error)
    else:
        _ended(name)
        found.set_result(addresses_of)


def _ended(name: str) -> None:
    with _looking_up:
        del _lookups[name]
