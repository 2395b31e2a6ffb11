"""The README, followed word for word on a server that was started as it says."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from lsp_site.configuration import read
from simulator.control import Control
from tests.regtest.waiting import until
from tests.site.conftest import Visited, made, needs_curl
from tests.site.credentials import node_files
from tests.site.documented import blocks, commands, inline_commands
from tests.site.test_run import ROOT

README = "README.md"
#: What differs from server to server and from order to order: of these only the kind is compared.
VARYING = {
    *("alias", "uris", "uri", "public_key", "active_channels_count", "capacity", "product_id"),
    *("order_id", "ln_invoice", "price", "total_amount", "btc_address", "lnurl_channel", "order_expiry", "order_token"),
    *("price_parts", "chain", "seen_at", "valid_until"),
    *("amount_received", "channel_expiry_ts", "addr", "ip", "port", "node_uri"),
    *("transaction_id", "transaction_vout", "lightning_channel_id", "k1", "callback", "age_seconds"),
}
#: "Here are some of them", says the README of this one's fields.
SHOWN_IN_PART = "/channel/order"
ORDER, NODE = "70b58c2e-3e04-41f6-b418-799743f09ce7", "020cb176…d963"
TOKEN = "ccdd86c408331f26…"
#: The one that is claimed by LNURL.
OTHER = "4e9d27a1-8c35-4b0f-9f62-6d1a50c3e7b8"


def is_alike(shown: Any, answered: Any, name: str = "") -> bool:
    """The answer has what is shown: the same fields, of the same kind, and the same words where nothing varies."""
    if isinstance(shown, dict) and isinstance(answered, dict):
        within = dict.fromkeys(shown, name) if name in VARYING else {key: key for key in shown}
        return shown.keys() == answered.keys() and all(is_alike(shown[k], answered[k], within[k]) for k in shown)
    if isinstance(shown, list) and isinstance(answered, list):
        return len(shown) == len(answered) and all(map(is_alike, shown, answered, [name] * len(shown)))
    return type(shown) is type(answered) and (name in VARYING or shown == answered)


def requests() -> Iterator[tuple[str, Any]]:
    """Each request of the API's section with the answer that is shown for it."""
    told = blocks(README, "The API")
    for request, answer in pairwise(told):
        if request.language == "sh":
            assert answer.language == "json", f"a request without its answer: {request.text}"
            yield request.text, json.loads(answer.text)


@pytest.fixture
def control(visited: Visited) -> Iterator[Control]:
    """The simulated customers."""
    node = visited.home / "simulated" / "node"
    control = Control((node / "listen").read_text(), node)
    yield control
    control.close()


def test_a_visitor_sees_a_channel_sold_each_way(visited: Visited) -> None:
    told = [command for block in blocks(README, "See a channel sold in a minute") for command in commands(block.text)]
    assert told[0] == "make run", "which the fixture has done"
    ways = ["make buy", "make buy RAIL=onchain", "make buy CLAIM=lnurl", "make buy PEER=offline"]
    assert told[1:5] == ways
    for command in ways:
        said = visited.shell(command.replace("make", " ".join(made()), 1))
        assert "the order is OPEN (500)" in said, command
        assert "channel usable" in said and "funding published" in said
        assert {"RAIL=onchain": "the wallet sends", "CLAIM=lnurl": "reads the LNURL"}.get(command[9:], "") in said


#: What each way to pay otherwise must have shown.
ENDS = {
    "late": ("the order is EXPIRED", "late payment taken", "the order is OPEN (500)"),
    "short": ("says refund_needed", "sat go back", "the buyer has it", "the order is REFUNDED (150)"),
    "over": ("the order is OPEN (500)", "amount: 25,000 sat", "sat go back", "the buyer has it"),
    "twice": ("paid twice", "the order is OPEN (500)", "sat go back", "the buyer has it"),
}


def test_a_visitor_sees_what_becomes_of_money_that_comes_otherwise_than_it_was_asked_for(visited: Visited) -> None:
    told = [command for block in blocks(README, "See a channel sold in a minute") for command in commands(block.text)]
    otherwise = [command for command in told if "PAY=" in command]
    assert otherwise == [
        *(f"make buy RAIL=onchain PAY={pay}" for pay in ENDS),
        "make buy PAY=over",
        "make buy PAY=twice",
    ]
    for command in otherwise:
        began = time.monotonic()
        said = visited.shell(command.replace("make", " ".join(made()), 1))
        assert time.monotonic() - began < 60, f"{command} is shown in a minute"
        for end in ENDS[command.rpartition("PAY=")[2]]:
            assert end in said, f"{command}: {end}\n{said}"


def test_a_visitor_sees_a_first_payment_received(visited: Visited) -> None:
    told = [command for block in blocks(README, "See a channel sold in a minute") for command in commands(block.text)]
    assert [command for command in told if command.startswith("make jit")] == ["make jit", "make jit TAKES=fails"]
    taken, back = (visited.shell(" ".join([*made("jit"), *more])) for more in ([], ["TAKES=fails"]))
    steps = [
        "it has no channel",
        "lsps2.get_info",
        "lsps2.buy",
        "a channel that there is not",
        "are our fee",
        "has arrived",
    ]
    assert [step for step in steps if step not in taken] == []
    assert taken.index("payment settled") < taken.index("funding published")
    assert "never published" in back and "failed: INCORRECT_OR_UNKNOWN" in back and "funding published" not in back


@needs_curl
def test_every_request_is_answered_as_the_readme_shows(visited: Visited, control: Control) -> None:
    """The requests are a purchase from the offer to the open channel, and a claim of another order by LNURL."""
    wallet = control.customer("alice")
    real = {"http://127.0.0.1:8000": f"http://{visited.listen}"}
    real |= {f"{NODE}@127.0.0.1:29131": f"{wallet.pubkey}@{wallet.host}", NODE: wallet.pubkey}
    [buying] = [request for request, _ in requests() if "/channel/buy" in request]
    real[OTHER] = ask(visited, buying.replace("7f0c", "another"), real)["order_id"]
    asked = 0
    for request, shown in requests():
        answered = ask(visited, request, real)
        if request == buying:
            real[ORDER], real[TOKEN] = answered["order_id"], answered["order_token"]
            for order in (real[ORDER], real[OTHER]):
                pay(visited, control, order)
        if "/channel/manual_finalise" in request:
            until(lambda: seen(visited, real[ORDER])["state_name"] == "OPEN", "the channel is open", timeout=90)
        if SHOWN_IN_PART in request:
            answered = {name: answered[name] for name in shown}
        assert is_alike(shown, answered), f"{request}\nshown: {shown}\nanswered: {answered}"
        asked += 1
    assert asked == 8
    until(lambda: seen(visited, real[OTHER])["state_name"] == "OPEN", "the one of the LNURL is open too", timeout=90)


def ask(visited: Visited, request: str, real: dict[str, str]) -> Any:
    """The answer to a request that is written with examples in place of what is real."""
    for written, meant in real.items():
        request = request.replace(written, meant)
    return json.loads(visited.shell(request))


def pay(visited: Visited, control: Control, order: str) -> None:
    control.pay(seen(visited, order)["ln_invoice"])
    until(lambda: seen(visited, order)["state_name"] == "PAID", "the payment is seen")


def seen(visited: Visited, order: str) -> Any:
    return json.loads(visited.get(f"/channel/order?order_id={order}&full_data=1"))


def test_an_order_that_was_bought_by_hand_can_be_paid_and_claimed(visited: Visited) -> None:
    body = {"local_balance": 500_000, "remote_balance": 0, "channel_expiry": 4}
    quote = asked(visited, "/channel/buy", body)
    said = visited.shell(" ".join([*made("pay"), f"INVOICE={quote['ln_invoice']}"]))
    until(lambda: seen(visited, quote["order_id"])["state_name"] == "PAID", "the payment is seen")
    uri = said.rpartition("for the claim: ")[2].strip()
    asked(visited, "/channel/manual_finalise", {"order_id": quote["order_id"], "node_uri": uri})
    until(lambda: seen(visited, quote["order_id"])["state_name"] == "OPEN", "the channel is open", timeout=90)


def test_an_invoice_that_is_none_of_the_servers_is_not_said_to_be_paid(visited: Visited) -> None:
    said = visited.shell(" ".join([*made("pay"), "INVOICE=lnbcrt1xyz 2>&1 || test $? -ne 0"]))
    assert "could not pay" in said and "has paid" not in said


def asked(visited: Visited, path: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        f"http://{visited.listen}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_every_endpoint_has_its_example(visited: Visited) -> None:
    section = (ROOT / README).read_text(encoding="utf-8").partition("## The API")[2].partition("\n## ")[0]
    headed = re.findall(r"^\*\*`(?:GET|POST) (/[\w/]+)`\*\*", section, re.MULTILINE)
    described = re.findall(r"^  (/[\w/]+):$", visited.get("/openapi.yaml").decode(), re.MULTILINE)
    ours = [path for path in described if not path.startswith("/api/")]  # LSPS1 has a page of its own
    assert sorted(headed) == sorted(ours) and len(headed) == 7
    assert all(any(path in request for request, _ in requests()) for path in headed)


@needs_curl
def test_a_refusal_is_as_the_readme_shows(visited: Visited) -> None:
    [*_, shown] = blocks(README, "The API", "json")
    body = '{"local_balance": 1, "remote_balance": 0, "channel_expiry": 4}'
    request = f"curl -s http://{visited.listen}/channel/buy -H 'Content-Type: application/json' -d '{body}'"
    assert is_alike(json.loads(shown.text), json.loads(visited.shell(request)))


def test_the_commands_of_the_readme_run_beside_the_server(visited: Visited) -> None:
    body = json.dumps({"local_balance": 500_000, "remote_balance": 0, "channel_expiry": 4}).encode()
    buying = urllib.request.Request(f"http://{visited.listen}/channel/buy", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(buying, timeout=30) as quote:
        order = json.load(quote)["order_id"]
    table = [each for each in inline_commands(README) if each.startswith("manage.py")]
    assert len(table) == 19
    for command in table:
        command = re.sub(r"\bID\b", order, command).replace("TEXT", "trying").replace("ADDRESS", "nowhere")
        if command in {"manage.py doctor", "manage.py drain"}:  # both look, and a simulated node has its faults
            command += " || test $? -eq 1"
        if command.startswith(("manage.py refund", "manage.py reset_second")):  # no address to pay, nobody of that name
            command += " 2>&1 || test $? -eq 1"
        assert visited.beside(f".venv/bin/python {command}"), command


def test_make_admin_makes_an_account_that_can_log_in(visited: Visited) -> None:
    """As at a terminal: it asks for a name, an address and a password twice."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        made("admin"), env=visited.environment, stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT, text=True
    )
    os.close(theirs)
    said = ""
    for question, answer in (
        ("Username", "ann"),
        ("Email", ""),
        ("Password", "Quietly7Walks"),
        ("again", "Quietly7Walks"),
    ):
        while question not in said:
            said += os.read(ours, 1000).decode()
        os.write(ours, f"{answer}\n".encode())
        said = ""
    assert process.wait(60) == 0
    os.close(ours)
    check = (
        "from django.contrib.auth import authenticate; print(authenticate(username='ann', password='Quietly7Walks'))"
    )
    assert visited.beside(f'.venv/bin/python manage.py shell -v0 -c "{check}"').strip() == "ann"


def test_the_settings_of_the_readme_are_settings_that_are_understood(tmp_path: Path) -> None:
    [block] = blocks(README, "Run it with your node", "ini")
    written = dict(line.split("=", 1) for line in block.text.splitlines())
    written |= node_files(tmp_path)
    assert read(written, tmp_path).missing_node_variables == ()
