"""What the import contracts cannot see."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

import pytest
from django.conf import settings

from orders.locks import STREAMS, Lock
from tests.house.size import too_long
from tests.house.source import ROOT, Source, first_party, imported, with_tests

#: The one place that moves a state; deposits only note what the chain says.
STATE_WRITERS = {"orders/transitions.py", "orders/payments/onchain/recording.py"}
#: Who reads the environment, and why.
ENVIRONMENT_READERS = {
    "lsp_site/running/account.py",  # before there are settings: it says where they are
    "lsp_site/running/beside.py",  # which server is meant, for who has no settings of it
    "lsp_site/running/playground.py",  # hands on what it was started with
    "lsp_site/settings.py",  # the one reader of the configuration
    "lightning/transactions.py",  # bitcoinlib can only be told by the environment where to put its files
}
EVENT_LOOPS = ("streams/", "lightning/streams", "simulator/")
#: What only v1 calls so: the domain has its own word for each.
V1_NAMES = re.compile(
    r"(?<![\w-])(local_balance|remote_balance|local_amount|remote_amount|channel_expiry|m(?:in|ax)_chan_expiry|order_expiry"
    r"|btc_address|ln_invoice|purchase_invoice|node_uri|total_amount|product_id|lnurl_channel|refund_onchain_address"
    r"|private_channel|channel_open_tx|channel_close_tx|lightning_channel_id|Idempotency-Key)(?![\w-])"
)
#: Who speaks v1, and why.
V1_SPEAKERS = (
    "orders/api/",  # the door
    "simulator/management/commands/buy.py",  # a client of v1
    "simulator/tour.py",  # what it does
    "simulator/surprises.py",  # another, who pays otherwise
    "lsp_site/running/beside.py",  # which server is meant, for who has no settings of it
    "lsp_site/running/playground.py",  # tells how to be one
)
#: LND calls the two sides of a channel as v1 does.
LND_NAMES = {"lightning/mapping.py", "simulator/messages.py", "simulator/rest.py"}
#: bLIP-51 and its wallets say these too.
LSPS_NAMES = {"refund_onchain_address", "node_uri", "Idempotency-Key"}
HTTP_WORDS = re.compile(r"http_status|status_code|HTTPStatus|Retry-After|\bHTTP\b")
#: Rooms below every door.
BELOW_DOORS = ("orders/", "lsps/", "streams/", "watch/", "lightning/")
HTTP_SPEAKERS = ("orders/waking/posting.py", "orders/api/", "orders/admin/", "lsps/rest/")


def assigned_attributes(source: Source, name: str) -> Iterator[int]:
    """The lines that assign to an attribute of this name, also inside a tuple."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and node.attr == name and isinstance(node.ctx, ast.Store):
            yield node.lineno


def updates_of(source: Source, name: str) -> Iterator[int]:
    """The lines that call `.update(name=…)`, which goes past every rule of the model."""
    for node in ast.walk(source.tree):
        is_update = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "update"
        if isinstance(node, ast.Call) and is_update and any(keyword.arg == name for keyword in node.keywords):
            yield node.lineno


def reads_of_environment(source: Source) -> Iterator[int]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv", "os.environb"):
            yield node.lineno
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            yield from (node.lineno for alias in node.names if alias.name in ("environ", "getenv", "environb"))


def uses_of(source: Source, name: str) -> Iterator[int]:
    """The lines of code (not of prose) that name it."""
    for node in ast.walk(source.tree):
        if (isinstance(node, ast.Attribute) and node.attr == name) or (isinstance(node, ast.Name) and node.id == name):
            yield node.lineno


def names_settings_module(source: Source, line: int) -> bool:
    """`os.environ.setdefault("DJANGO_SETTINGS_MODULE", …)` names the settings; it reads nothing."""
    return 'os.environ.setdefault("DJANGO_SETTINGS_MODULE"' in source.text.splitlines()[line - 1]


def offences(find: Callable[[Source], Iterator[int]], sources: tuple[Source, ...], allowed: set[str]) -> list[str]:
    return [f"{source.name}:{line}" for source in sources if source.name not in allowed for line in find(source)]


def test_only_transitions_writes_a_state() -> None:
    assert offences(lambda source: assigned_attributes(source, "state"), first_party(), STATE_WRITERS) == []


def test_no_query_updates_a_state_past_the_transitions() -> None:
    assert offences(lambda source: updates_of(source, "state"), first_party(), {"orders/transitions.py"}) == []


def test_the_environment_is_read_by_the_settings_only() -> None:
    found = [
        f"{source.name}:{line}"
        for source in first_party()
        if source.name not in ENVIRONMENT_READERS
        for line in reads_of_environment(source)
        if not names_settings_module(source, line)
    ]
    assert found == []


def test_a_request_is_never_one_transaction() -> None:
    assert settings.DATABASES["default"]["ATOMIC_REQUESTS"] is False
    assert [source.name for source in first_party() if "ATOMIC_REQUESTS = True" in source.text] == []


def test_no_database_pool_is_shared_over_a_fork() -> None:
    assert "pool" not in settings.DATABASES["default"]["OPTIONS"]


def test_every_advisory_lock_is_in_the_one_table() -> None:
    """Who waits for another's lock waits for no reason, and with rows of its own locked."""
    assert [source.name for source in first_party() if re.search(r"_advisory_(xact_)?lock", source.text)] == [
        "orders/locks.py",
        "streams/standby.py",  # on a connection that Django knows nothing of
    ]
    numbers = [*Lock, (STREAMS[0] << 32) + STREAMS[1]]
    assert len(set(numbers)) == len(Lock) + 1 == len(Lock.__members__) + 1


def test_every_memo_label_and_lock_id_is_written_in_one_place() -> None:
    words = re.compile(r"""Lightning channel, order|["'](?:funding|conflict):""")
    assert [source.name for source in first_party() if words.search(source.text)] == ["orders/marks.py"]


def v1_names(source: Source) -> Iterator[str]:
    """Each line that has a name of v1's, with the name."""
    for number, line in enumerate(source.text.splitlines(), 1):
        yield from (f"{source.name}:{number} {name}" for name in V1_NAMES.findall(line))


def test_what_only_v1_calls_so_is_said_at_its_door_alone() -> None:
    below = [source for source in first_party() if not source.name.startswith((*V1_SPEAKERS, "lsps/"))]
    assert [said for source in below if source.name not in LND_NAMES for said in v1_names(source)] == []
    of_lnd = {said.rpartition(" ")[2] for source in below if source.name in LND_NAMES for said in v1_names(source)}
    assert of_lnd == {"local_balance", "remote_balance"}
    lsps = [source for source in first_party() if source.name.startswith("lsps/")]
    assert {said.rpartition(" ")[2] for source in lsps for said in v1_names(source)} <= LSPS_NAMES


def test_below_the_doors_nobody_knows_how_a_door_answers() -> None:
    below = [s for s in first_party() if s.name.startswith(BELOW_DOORS) and not s.name.startswith(HTTP_SPEAKERS)]
    assert [source.name for source in below if HTTP_WORDS.search(source.text)] == []


def unsigned(source: Source) -> Iterator[int]:
    """The lines that write the journal, or have it written, and do not say who acts."""
    writers = {"move", "note", "raise_flag", "pay", "mark_given_up", "give_back", "end_unpaid"}
    for node in ast.walk(source.tree):
        is_writer = isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in writers
        if isinstance(node, ast.Call) and is_writer and all(keyword.arg != "actor" for keyword in node.keywords):
            yield node.lineno


def test_no_operation_writes_the_journal_without_saying_who_acts() -> None:
    """What is left out would be taken for the server itself."""
    operations = tuple(source for source in first_party() if source.name.startswith("orders/operations/"))
    assert any("actor=actor" in source.text for source in operations)
    assert offences(unsigned, operations, set()) == []


def test_nothing_rests_on_django_signals() -> None:
    signals = {"django.dispatch", "django.db.models.signals", "django.core.signals"}
    assert [source.name for source in first_party() if imported(source) & signals] == []


def test_event_loops_stay_where_streams_are_read() -> None:
    outside = [s.name for s in first_party() if "asyncio" in imported(s) and not s.name.startswith(EVENT_LOOPS)]
    assert outside == []


def test_the_opening_call_that_ignores_the_shim_is_never_used() -> None:
    call = "OpenChannelSync"
    assert offences(lambda source: uses_of(source, call), first_party(), set()) == []
    assert call not in (ROOT / "lightning" / "proto" / "lnrpc.proto").read_text(encoding="utf-8")


def test_no_function_and_no_file_is_too_long() -> None:
    assert too_long(with_tests()) == []


def test_no_file_has_a_name_without_a_home() -> None:
    homeless = {"utils.py", "util.py", "core.py", "common.py", "helpers.py", "services.py", "misc.py"}
    assert [s.name for s in with_tests() if s.name.rpartition("/")[2] in homeless] == []


@pytest.mark.parametrize(
    "code",
    ["order.state = 1", "before, order.state = order.state, to", "self.order.state: int = 1", "order.state += 1"],
)
def test_control_every_way_of_assigning_a_state_is_seen(code: str) -> None:
    assert list(assigned_attributes(Source("x.py", code, ast.parse(code)), "state")) == [1]


@pytest.mark.parametrize(
    "code", ['field="local_balance"', "# `total_amount` is", "row.channel_expiry", "x = product_id"]
)
def test_control_a_name_of_v1s_is_seen(code: str) -> None:
    assert len(list(v1_names(Source("x.py", code, ast.parse(code))))) == 1


@pytest.mark.parametrize("code", ["row.local_balance_sat", "channel_expiry_blocks = 1", "NODE_URIS, node_uris"])
def test_control_a_name_of_ours_is_none_of_v1s(code: str) -> None:
    assert list(v1_names(Source("x.py", code, ast.parse(code)))) == []


@pytest.mark.parametrize("code", ["os.environ['A']", "os.getenv('A')", "from os import environ", "f(os.environ)"])
def test_control_reading_the_environment_is_seen(code: str) -> None:
    assert list(reads_of_environment(Source("x.py", code, ast.parse(code)))) == [1]


def test_control_a_function_of_61_lines_is_too_long() -> None:
    code = "def long():\n" + "    x = 1\n" * 60
    assert len(too_long((Source("x.py", code, ast.parse(code)),))) == 1
    documented = 'def long():\n    """A\n\n    B."""\n' + "    x = 1\n" * 59
    assert too_long((Source("x.py", documented, ast.parse(documented)),)) == []


#: What takes a cause or a kind, and at which place where it has no name there.
TAKE_A_CAUSE = {"note": 1, "write": 2, "tell": 2, "flag": 1, "raise_flag": 1}


def spoken_causes(source: Source) -> Iterator[int]:
    """The lines that pass a string, where an enum says why."""
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func).rpartition(".")[2]
        given = [keyword.value for keyword in node.keywords if keyword.arg in {"cause", "kind"}]
        place = TAKE_A_CAUSE.get(name)
        if place is not None and len(node.args) > place:
            given.append(node.args[place])
        yield from (value.lineno for value in given if _is_text(value))


def _is_text(node: ast.expr) -> bool:
    branches = (node.body, node.orelse) if isinstance(node, ast.IfExp) else (node,)
    return any(
        isinstance(b, ast.JoinedStr) or (isinstance(b, ast.Constant) and isinstance(b.value, str)) for b in branches
    )


def readings_of_reasons(source: Source) -> Iterator[int]:
    """The lines that look into the words of a reason."""
    looks = re.compile(
        r"\b(?:\w*reason|words)(?:\.(?:startswith|endswith|find|index)\(|__i?(?:contains|startswith|regex)=)"
    )
    for number, line in enumerate(source.text.splitlines(), start=1):
        if looks.search(line):
            yield number


def orders_only() -> tuple[Source, ...]:
    return tuple(source for source in first_party() if source.name.startswith(("orders/", "watch/", "streams/")))


def test_why_something_happened_is_said_by_an_enum() -> None:
    assert offences(spoken_causes, orders_only(), set()) == []


def test_no_decision_rests_on_the_words_of_a_reason() -> None:
    assert offences(readings_of_reasons, orders_only(), set()) == []


@pytest.mark.parametrize(
    "code",
    [
        'note(order, "deposit_seen")',
        'move(order, to, cause="claimed")',
        'note(order, f"deposit_{row.state}")',
        'flags.flag(order.pk, "unmined", words)',
        'note(order, Cause.FUNDING_MINED if height else "funding_unmined")',
    ],
)
def test_control_a_cause_that_is_a_string_is_seen(code: str) -> None:
    assert list(spoken_causes(Source("x.py", code, ast.parse(code)))) == [1]


@pytest.mark.parametrize(
    "code",
    ["paused.reason.startswith(BEHIND)", "filter(reason__contains=name)", 'order.give_up_reason.startswith("Gave")'],
)
def test_control_a_look_into_a_reason_is_seen(code: str) -> None:
    assert list(readings_of_reasons(Source("x.py", code, ast.parse(code)))) == [1]
