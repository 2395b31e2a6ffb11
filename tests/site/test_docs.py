"""What the pages for people name is there: files, targets, settings, commands, addresses, tests, reasons."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.core.management import get_commands
from django.urls import resolve

from lightning.rights import to_bake
from lsp_site.declared import VARIABLES
from orders.causes import FlagKind
from orders.flags import ENDS
from orders.models import HoldInvoice
from orders.openings import reasons
from orders.operations import shutdown
from orders.payments import lightning
from orders.states import InvoiceState
from tests.factories import OrderFactory
from tests.house.source import ROOT, first_party
from tests.site.documented import PAGES, blocks

#: Words in capitals with an underscore that are no settings: states, reasons, where settings are read from, cargo's.
DJANGOS = {f"DJANGO_SUPERUSER_{field}" for field in ("USERNAME", "PASSWORD", "EMAIL")}
OTHERS = {"EXPECT_PAYMENT", "URI_SET", "GIVE_UP", "UNDER_WAY", "LSP_ENV_FILE", "CARGO_TARGET_DIR", shutdown.PAUSED}
OTHERS |= {"WITHIN_RESERVE"}  # what a buyer is told of his node, and no attempt fails with
NO_SETTINGS = reasons.FINAL | reasons.PASSING | DJANGOS | OTHERS

page = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def code(text: str) -> Iterator[str]:
    """What stands between backticks, in lines and in blocks."""
    yield from re.findall(r"```[a-z]*\n(.*?)```", text, re.DOTALL)
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def leads_nowhere(source: Path, target: str) -> bool:
    name, _, anchor = target.partition("#")
    path = (source.parent / name).resolve() if name else source
    return not path.exists() or bool(anchor and anchor not in anchors(path))


@page
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    assert [t for t in targets if not urlsplit(t).scheme and leads_nowhere(page, t)] == []


@page
def test_every_file_that_is_named_exists(page: Path) -> None:
    names = {word for part in code(page.read_text(encoding="utf-8")) for word in part.split()}
    files = {name.partition("::")[0] for name in names if re.fullmatch(r"[\w.]+/[\w./-]+\.\w+(::\w+)?", name)}
    assert [name for name in sorted(files) if not name.startswith(".") and not (ROOT / name).exists()] == []


@page
def test_every_test_that_is_cited_exists(page: Path) -> None:
    cited = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", page.read_text(encoding="utf-8"))
    assert [(file, name) for file, name in cited if f"def {name}(" not in (ROOT / file).read_text()] == []


@page
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = "\n".join(code(page.read_text(encoding="utf-8")))
    assert set(re.findall(r"(?<!install )\bmake ([a-z-]+)", text)) - targets == set()


@page
def test_every_setting_exists(page: Path) -> None:
    named = {
        word for part in code(page.read_text(encoding="utf-8")) for word in re.findall(r"\b[A-Z]+_[A-Z_]+\b", part)
    }
    assert named - VARIABLES.keys() - NO_SETTINGS == set()


@page
def test_every_command_exists(page: Path) -> None:
    text = "\n".join(code(page.read_text(encoding="utf-8")))
    assert set(re.findall(r"manage\.py ([a-z_]+)", text)) - get_commands().keys() == set()


@page
def test_every_address_that_is_asked_exists(page: Path) -> None:
    for command in re.findall(r"curl [^\n]*", page.read_text(encoding="utf-8")):
        for url in re.findall(r"https?://[^\s'\"?]+", command):
            resolve(urlsplit(url).path)


def test_every_test_of_the_conformance_page_exists() -> None:
    text = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
    cited = re.findall(r"`(?:(tests/[\w/]+\.py)::)?(test_\w+)`", text)
    lnurl = "tests/integration/test_api_lnurl.py"
    missing = [(file, name) for file, name in cited if f"def {name}(" not in (ROOT / (file or lnurl)).read_text()]
    assert missing == [] and len(cited) > 40


def test_the_command_for_the_macaroon_asks_for_what_we_call() -> None:
    [block] = blocks("docs/operating.md", "The macaroon", "sh")
    [program] = re.findall(r'python -c "(.*to_bake.*)"', block.text)
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert printed.stdout.split() == [f"uri:{method}" for method in to_bake()]


def said(node: ast.expr) -> str | None:
    """A sentence of the code as a pattern: what is filled in may be anything."""
    match node:
        case ast.Constant(value=str(text)):
            return re.escape(text)
        case ast.JoinedStr(values=parts):
            return "".join(re.escape(str(p.value)) if isinstance(p, ast.Constant) else r"[^|]+" for p in parts)
    return None


def flags_of(function: ast.AST) -> Iterator[tuple[FlagKind, str]]:
    """(kind, sentence) of each flag that the function raises; the sentence may have been given a name before."""
    named: dict[str, str] = {}
    for node in sorted(ast.walk(function), key=lambda node: getattr(node, "lineno", 0)):
        if isinstance(node, ast.Assign) and (sentence := said(node.value)):
            named[ast.unparse(node.targets[0])] = sentence
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in {"flag", "raise_flag"}:
            kind, words = (*node.args, *node.args)[1:3]
            sentence = said(words) or named.get(ast.unparse(words))
            if sentence and isinstance(kind, ast.Attribute):
                yield FlagKind[kind.attr], sentence


def reasons_for_staff() -> dict[FlagKind, str]:
    functions = (f for source in first_party() for f in ast.walk(source.tree) if isinstance(f, ast.FunctionDef))
    found = dict(flag for function in functions for flag in flags_of(function))
    found |= {kind: re.escape(words) for kind, words in reasons.CALLS_STAFF.values()}
    order = OrderFactory.build(lsp_node=None, service=None)
    order.hold_invoice = HoldInvoice(state=InvoiceState.HELD, payment_hash="of another key", payment_request="lnbcrt1")
    return found | {FlagKind.CANNOT_SETTLE: re.escape(lightning.obstacle(order))}


def test_every_reason_to_call_staff_has_its_advice_and_says_what_ends_it() -> None:
    text = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    found = reasons_for_staff()
    assert set(found) == set(FlagKind) - {FlagKind.OTHER}
    rows = {
        kind: re.findall(rf"^\| {pattern} \| ([^|]+) \| [^|]+ \|$", text, re.MULTILINE)
        for kind, pattern in found.items()
    }
    assert [kind for kind, ends in rows.items() if len(ends) != 1] == []
    by_a_person = {kind for kind, ends in rows.items() if ends == ["by a person"]}
    assert by_a_person == {kind for kind in found if not ENDS[kind]}
