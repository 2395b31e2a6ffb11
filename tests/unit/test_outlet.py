"""What is kept for a client that takes its answer slowly: all of it, and little of it in memory."""

from __future__ import annotations

from lsp_site.serving.connections import MOST_IN_MEMORY, Outlet


def taken(outlet: Outlet, at_once: int) -> bytes:
    said = bytearray()
    while outlet.refill():
        assert len(outlet.kept) <= MOST_IN_MEMORY
        said += outlet.kept[:at_once]
        del outlet.kept[:at_once]
    return bytes(said)


def test_a_large_answer_comes_whole_and_in_order_with_little_of_it_in_memory() -> None:
    outlet = Outlet()
    pieces = [bytes([n % 251]) * 100_003 for n in range(50)]
    for piece in pieces:
        outlet.sendall(piece)
    assert len(outlet.kept) <= MOST_IN_MEMORY
    assert taken(outlet, 70_001) == b"".join(pieces)


def test_after_it_the_next_answer_is_the_next_answer() -> None:
    outlet = Outlet()
    outlet.sendall(b"a" * (2 * MOST_IN_MEMORY))
    assert len(taken(outlet, 999_999)) == 2 * MOST_IN_MEMORY
    outlet.sendall(b"b")
    assert taken(outlet, 10) == b"b"


def test_half_an_answer_is_thrown_away_with_its_file() -> None:
    outlet = Outlet()
    outlet.sendall(b"a" * (2 * MOST_IN_MEMORY))
    outlet.shutdown(1)
    assert not outlet.refill()
