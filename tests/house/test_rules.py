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
    "lsp_site/settings.py",  # the one reader of the configuration
    "lightning/transactions.py",  # bitcoinlib can only be told by the environment where to put its files
}
EVENT_LOOPS = ("streams/", "lightning/streams", "simulator/")


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


def unsigned(source: Source) -> Iterator[int]:
    """The lines that write the journal, or have it written, and do not say who acts."""
    writers = {"move", "note", "needs_staff", "pay", "mark_given_up", "give_back", "end_unpaid"}
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


@pytest.mark.parametrize("code", ["os.environ['A']", "os.getenv('A')", "from os import environ", "f(os.environ)"])
def test_control_reading_the_environment_is_seen(code: str) -> None:
    assert list(reads_of_environment(Source("x.py", code, ast.parse(code)))) == [1]


def test_control_a_function_of_61_lines_is_too_long() -> None:
    code = "def long():\n" + "    x = 1\n" * 60
    assert len(too_long((Source("x.py", code, ast.parse(code)),))) == 1
    documented = 'def long():\n    """A\n\n    B."""\n' + "    x = 1\n" * 59
    assert too_long((Source("x.py", documented, ast.parse(documented)),)) == []
