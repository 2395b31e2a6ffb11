"""Who only listens asks now and then whether the node is there: LND lets him, each five seconds at most."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from lightning import streams
from lightning.errors import NodeUnavailable
from lightning.streams import LndStreams
from simulator import server
from tests.contract.conftest import credentials
from tests.property.inside import InsideNetwork, Loop

pytestmark = pytest.mark.long

#: More than LND asks for. gRPC's own server ends a connection at the fourth ping of five minutes.
_PING_MS = 5_500
_SECONDS = 6 * _PING_MS / 1_000


@pytest.fixture
def ends(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], bool]]:
    """Whether a subscription ends while nothing happens."""
    options = dict(streams.CHANNEL_OPTIONS) | {"grpc.keepalive_time_ms": _PING_MS}
    monkeypatch.setattr(streams, "CHANNEL_OPTIONS", tuple(options.items()))
    networks: list[InsideNetwork] = []

    def ended() -> bool:
        networks.append(InsideNetwork(loop))
        return loop.start(_ends(LndStreams(credentials(networks[0].lsp)))).result(2 * _SECONDS)

    yield ended
    networks[0].stop()


async def _ends(node: LndStreams) -> bool:
    try:
        async with asyncio.timeout(_SECONDS):
            async for event in node.peer_events():
                raise AssertionError(f"something happened: {event}")
    except TimeoutError:
        return False
    except NodeUnavailable as problem:
        assert "Too many pings" in str(problem)
    finally:
        await node.close()
    return True


def test_who_only_listens_may_ask_whether_the_node_is_there(ends: Callable[[], bool]) -> None:
    assert not ends()


def test_control_by_grpcs_own_limit_his_connection_is_ended(
    ends: Callable[[], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_OPTIONS", server._OPTIONS[:-1])
    assert ends()
