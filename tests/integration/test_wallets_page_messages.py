"""docs/wallets.md is true of what goes by messages (LSPS2, LSPS5): each request on it is sent, each answer compared."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any, Final

import pytest

from lsps.bolt8 import answering
from lsps.refusing import TITLES
from orders import opening_fee
from orders.jit import gathering
from orders.models import JitPurchase, NodeSnapshot
from orders.opening_fee import Fee
from orders.waking import signing
from tests.integration.lsps2 import PEER, menu, open_shop
from tests.integration.test_wallets_page import PAGE

#: What differs each time.
_VARYING: Final = frozenset({"promise", "valid_until", "jit_channel_scid"})
_SECTION: Final = PAGE.partition("## A first payment, before there is a channel")[2].partition("\n## ")[0]


def exchanges() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each request with what is shown next."""
    told = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
    return [(asked, answer) for asked, answer in pairwise(told) if "id" in asked and "method" in asked]


def alike(shown: Any, said: Any, name: str = "") -> bool:
    """The same names in the same order, and the same values but for those that differ each time."""
    if isinstance(shown, dict) and isinstance(said, dict):
        return list(shown) == list(said) and all(alike(shown[each], said[each], each) for each in shown)
    if isinstance(shown, list) and isinstance(said, list):
        return len(shown) == len(said) and all(map(alike, shown, said, [name] * len(shown)))
    return type(shown) is type(said) and (name in _VARYING or bool(shown == said))


@pytest.fixture(autouse=True)
def shop(settings: Any, snapshot: NodeSnapshot) -> None:
    settings.LSPS5_ENABLED = True
    NodeSnapshot.objects.update(estimate_sat_per_kw=2_500)
    open_shop(settings, snapshot)


def test_all_of_them_are_found() -> None:
    methods = [asked["method"] for asked, _ in exchanges()]
    assert methods == ["lsps5.set_webhook", "lsps2.get_info", "lsps2.buy", "lsps2.get_info"]


@pytest.mark.parametrize(("asked", "shown"), exchanges(), ids=lambda value: value.get("method", ""))
def test_what_the_page_sends_by_message_is_answered_as_it_shows(asked: dict[str, Any], shown: dict[str, Any]) -> None:
    if asked["method"] == "lsps2.buy":
        [entry] = menu()
        assert alike(asked["params"]["opening_fee_params"], entry)
        asked = {**asked, "params": {**asked["params"], "opening_fee_params": entry}}
    said = answering.begun(PEER, json.dumps(asked).encode())
    assert isinstance(said, bytes)
    assert alike(shown, json.loads(said)), said


def test_the_short_channel_id_that_it_shows_is_one_that_could_be_sold() -> None:
    [shown] = re.findall(r'"jit_channel_scid": "(.*)"', PAGE)
    block, index, output = map(int, shown.split("x"))
    number = block * 2**40 + index * 2**16 + output
    assert JitPurchase(scid=shown).number == number
    assert block in range(16_050_000, 16_250_000) and index < 2**24 and output < 2**16


def test_the_fees_that_it_reckons_are_those_that_are_taken() -> None:
    [entry] = menu()
    fee = Fee(int(entry["min_fee_msat"]), entry["proportional"])
    told = re.findall(r"([\d,]+) sat cost ([\d,]+) sat", _SECTION)
    shown = [tuple(int(number.replace(",", "")) for number in pair) for pair in told]
    assert shown == [(sat, fee.of(sat * 1000) // 1000) for sat in (200_000, 2_000_000)]


def test_its_numbers_are_those_of_the_code(settings: Any) -> None:
    assert f"must be {gathering._LEAST_BLOCKS} at least" in _SECTION
    assert f"for {settings.LSPS2_HOLD_SECONDS} seconds (unless" in _SECTION
    assert "record of the type 65537" in _SECTION and opening_fee.LEAST_PART_MSAT == 1_000
    assert '"lsp_cltv_expiry_delta": 144' in _SECTION and settings.LSPS2_CLTV_BLOCKS == 144


def test_every_code_of_lsps2_is_in_its_table() -> None:
    rows = [int(code) for code in re.findall(r"^\| (-?\d+) \|", _SECTION, re.MULTILINE)]
    assert set(rows) <= set(TITLES) and {200, 201, 202, 203} <= set(rows)


def test_what_is_sent_to_a_webhook_is_signed_as_it_shows() -> None:
    sent = signing.body("lsps5.payment_incoming", None).decode()
    assert f"```json\n{sent}\n```" in PAGE
    [shown] = re.findall(r"`(LSPS5: [^`]*)`", PAGE)
    assert signing.signed("TIME", b"BODY").decode() == shown
