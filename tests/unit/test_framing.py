"""Where a request ends: as gunicorn's parser reads it, wherever the network has cut it."""

from __future__ import annotations

import pytest
from gunicorn.config import Config
from gunicorn.http import RequestParser
from hypothesis import given
from hypothesis import strategies as st

from lsp_site.serving.framing import MOST_HEAD_BYTES, Frame, Framing
from lsp_site.serving.lane import waits_for_node

MOST = 1000
GET = b"GET /node/info HTTP/1.1\r\nHost: lsp\r\n\r\n"
NEXT = b"POST /channel/buy HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"


def post(body: bytes, **fields: str) -> bytes:
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"POST /channel/buy HTTP/1.1\r\nHost: lsp\r\n{head}\r\n".encode() + body


def chunked(*chunks: bytes, trailers: bytes = b"") -> bytes:
    body = b"".join(b"%x;by=7\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return post(body + b"0\r\n" + trailers + b"\r\n", Transfer_Encoding="chunked")


def framed(raw: bytes) -> Frame | None:
    return Framing(MOST).frame(bytearray(raw))


WHOLE = [
    GET,
    b"\r\n" + GET,
    post(b"abc", Content_Length="3"),
    post(b"a" * MOST, content_length=str(MOST)),
    post(b"", Content_Length="0"),
    post(b"ab\r\n\r\nc", CONTENT_LENGTH="007"),
    chunked(),
    chunked(b"abc", b"\r\n\r\n", b"x" * 900),
    chunked(b"abc", trailers=b"Checksum: 7\r\n"),
]


@pytest.mark.parametrize("raw", WHOLE)
def test_a_request_ends_where_gunicorn_says_wherever_it_was_cut(raw: bytes) -> None:
    for cut in range(len(raw)):
        framing, received = Framing(MOST), bytearray(raw[:cut])
        assert framing.frame(received) is None, cut
        received += raw[cut:] + NEXT
        assert framing.frame(received) == Frame(len(raw)), cut


@given(st.lists(st.binary(min_size=1, max_size=80), max_size=8), st.lists(st.integers(1, 40), max_size=60))
def test_chunks_of_any_sizes_in_pieces_of_any_sizes_are_one_request(chunks: list[bytes], sizes: list[int]) -> None:
    raw = chunked(*chunks)
    framing, received, at = Framing(MOST), bytearray(), 0
    for size in sizes:
        found = framing.frame(received)
        assert found is None or found == Frame(len(raw))
        received += raw[at : at + size]
        at += size
    received += raw[at:] + NEXT
    assert framing.frame(received) == Frame(len(raw))


@pytest.mark.parametrize("raw", WHOLE)
def test_what_gunicorn_is_given_is_all_that_it_reads(raw: bytes) -> None:
    parser = RequestParser(Config(), iter([raw]), ("127.0.0.1", 1))
    request = next(parser)
    request.body.read()
    assert parser.finish_body() and not parser.unreader.take_buffered()


@pytest.mark.parametrize(
    "raw",
    [
        post(b"", Content_Length=str(MOST + 1)),
        post(b"", Content_Length="5, 5"),
        post(b"", Content_Length="+5"),
        post(b"", Content_Length="9" * 30),
        post(b"", Content_Length="0" * 30 + "5"),
        post(b"", **{"Content_Length": "5", "content-length": "5"}),
        post(b"", Content_Length="5", Transfer_Encoding="chunked"),
        post(b"", Transfer_Encoding="gzip, chunked"),
        post(b"", Transfer_Encoding="identity"),
        chunked(b"a" * MOST, b"b"),
        post(b"zz\r\n", Transfer_Encoding="chunked"),
        post(b"-1\r\n", Transfer_Encoding="chunked"),
        post(b"1\r\nabc\r\n", Transfer_Encoding="chunked"),
        post(b"a" * 2000, Transfer_Encoding="chunked"),
        post(b"1\r\nx\r\n" * 900, Transfer_Encoding="chunked"),
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * MOST_HEAD_BYTES,
    ],
)
def test_after_what_has_no_sure_end_nothing_is_taken_for_a_request(raw: bytes) -> None:
    found = framed(raw + NEXT) if len(raw) < MOST_HEAD_BYTES else framed(raw)
    if found is None:  # one byte more in chunks than a small body may have: it is read on, up to a limit
        found = framed(raw + b"1\r\nx\r\n" * MOST_HEAD_BYTES)
    assert found is not None and found.is_last


@pytest.mark.parametrize(
    ("line", "is_purchase"),
    [
        (b"POST /channel/buy HTTP/1.1\r\n", True),
        (b"POST /api/v1/channel/buy HTTP/1.1\r\n", True),
        (b"POST /v1/channel/buy?x=/y HTTP/1.1\r\n", True),
        (b"\r\nPOST /channel/buy HTTP/1.1\r\n", True),
        (b"POST /channel/%62uy HTTP/1.1\r\n", True),
        (b"POST %2fv1%2Fchannel/bu%79/ HTTP/1.1\r\n", True),
        (b"POST /channel/buy#/x HTTP/1.1\r\n", True),
        (b"POST http://lsp.example/channel/buy HTTP/1.1\r\n", True),
        (b"GET /channel/buy HTTP/1.1\r\n", False),
        (b"POST /channel/buyer HTTP/1.1\r\n", False),
        (b"POST /channel/manual_finalise?next=/channel/buy HTTP/1.1\r\n", False),
    ],
)
def test_only_purchases_stand_in_the_line_for_the_node(line: bytes, is_purchase: bool) -> None:
    assert waits_for_node(line) == is_purchase
