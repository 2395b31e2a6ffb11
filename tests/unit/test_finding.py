"""Where a node is of which its buyer has said the key alone."""

from __future__ import annotations

from typing import Any

from orders.openings import finding
from tests.factories import pubkey
from tests.fakes import FakeNode

HOSTS = ("203.0.113.1:9735", "[2001:db8::1]:9735")


class Announced(FakeNode):
    """Its graph has the node, with two addresses; its macaroon may not allow the question."""

    allowed = True

    def known_hosts(self, pubkey: str) -> tuple[str, ...]:
        super().known_hosts(pubkey)
        return HOSTS

    def allows(self, method: str) -> bool:
        return self.allowed


def test_another_of_its_addresses_is_tried_each_time() -> None:
    node: Any = Announced()
    assert [finding.known_host(pubkey(7), node, tries=tries) for tries in range(3)] == [*HOSTS, HOSTS[0]]


def test_a_node_that_has_announced_no_address_is_nowhere() -> None:
    node: Any = FakeNode()
    assert finding.known_host(pubkey(7), node, tries=0) == ""


def test_where_the_macaroon_does_not_allow_it_the_graph_is_not_asked() -> None:
    node: Any = Announced()
    node.allowed = False
    assert finding.known_host(pubkey(7), node, tries=0) == ""
    assert "known_hosts" not in node.calls
