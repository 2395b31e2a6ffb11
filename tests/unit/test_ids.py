"""An order's id is cut wherever it stands; a hash never is."""

from __future__ import annotations

import hashlib
from uuid import UUID, uuid4

import pytest

from orders.ids import short, shortened

ID = UUID("3e0441f6-b418-4a7f-9b1d-0c2a5e88f001")


@pytest.mark.parametrize(
    "written",
    [
        "{id}", "{hex}", "{upper}", "{HEX}", "{mixed}", "order={id} version=3", "funding:{id}", "UUID('{id}')",
        "id{id}", "deadbeef{id}cafe", "/channel/order?order_id={hex}&x=1", "order_id%3D{hex}%26x", "order_id%3d{id}",
        '{{"order_id": "{id}"}}',
                "'{id}'::uuid", "{id}{id}", "{id},{hex}", "Key (order_id)=({id}) already exists.", "a\n{id}\n",
    ],
)  # fmt: skip
def test_an_orders_id_is_cut_to_its_beginning_however_it_is_written(written: str) -> None:
    forms = {"id": str(ID), "hex": ID.hex, "upper": str(ID).upper(), "HEX": ID.hex.upper()}
    forms["mixed"] = f"{str(ID)[:9]}{ID.hex[8:20]}-{ID.hex[20:]}"
    text = shortened(written.format(**forms))
    assert "b418" not in text.lower() and "5e88f001" not in text.lower()
    assert str(ID)[:8] in text.lower()


def test_hashes_and_keys_stay_whole() -> None:
    for number in range(3000):
        digest = hashlib.sha256(str(number).encode()).hexdigest()
        for text in (digest, f"02{digest}", f"{digest}:1", f"{digest[:40]}", f"x={digest[:31]},"):
            assert shortened(text) == text
        assert shortened(short(uuid4())) != ""


def test_what_is_cut_is_what_an_order_is_known_by() -> None:
    assert shortened(str(ID)) == short(ID) == "3e0441f6"
