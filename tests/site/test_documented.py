"""No command stands in a page that nothing runs: each block and each inline command has its test, or a reason."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, get_commands, load_command_class

from tests.house.source import PACKAGES, ROOT, with_tests
from tests.site.documented import LANGUAGES, PAGES, RUNNABLE, Block, blocks, commands, inline_commands, plain

README, OPERATING, WALLETS = "README.md", "docs/operating.md", "docs/wallets.md"
#: Where the blocks of a heading are run, as they stand: the test takes them from the page, so a new line is run too.
RUN = {
    (
        README,
        "See a channel sold in a minute",
    ): "tests/site/test_readme.py::test_a_visitor_sees_a_channel_sold_each_way",
    (README, "Try it on real nodes"): "tests/e2e/test_readme.py::test_the_readme_is_followed_on_real_nodes",
    (README, "The API"): "tests/site/test_readme.py::test_every_request_is_answered_as_the_readme_shows",
    (OPERATING, "The macaroon"): "tests/site/test_docs.py::test_the_command_for_the_macaroon_asks_for_what_we_call",
    (
        OPERATING,
        "The database",
    ): "tests/site/test_operating.py::test_a_database_is_made_backed_up_and_put_back_as_the_page_says",
    (OPERATING, "Start"): "tests/site/test_operating.py::test_the_server_is_installed_as_the_page_says",
    (
        OPERATING,
        "Backup",
    ): "tests/site/test_operating.py::test_a_database_is_made_backed_up_and_put_back_as_the_page_says",
    (
        OPERATING,
        "Restore",
    ): "tests/site/test_operating.py::test_a_database_is_made_backed_up_and_put_back_as_the_page_says",
    (OPERATING, "Whom you do not serve"): "tests/integration/test_bans.py::test_the_page_lists_as_it_says",
    (
        OPERATING,
        "The books",
    ): "tests/integration/test_books_told.py::test_the_pages_commands_are_run_as_they_stand",
    (
        OPERATING,
        "Leases and closing",
    ): "tests/integration/test_expired_leases.py::test_the_commands_of_the_page_are_run_as_they_stand",
    (OPERATING, "Coins"): "tests/simulator/test_shaping.py::test_the_commands_of_the_page_are_run_as_they_stand",
    (OPERATING, "Baking the macaroon"): "tests/e2e/test_operating.py::test_the_macaroon_is_baked_as_the_page_says",
    (OPERATING, "Pause and resume"): "tests/site/test_operating.py::test_sales_and_openings_are_paused_and_go_on",
    (OPERATING, "The doctor"): "tests/site/test_operating.py::test_the_doctor_looks_at_what_the_page_lists",
}
RUN[WALLETS, "By curl"] = "tests/site/test_wallets.py::test_the_commands_of_the_page_buy_a_channel"
for _heading in ("In Python", "In JavaScript"):
    RUN[WALLETS, _heading] = "tests/site/test_wallets.py::test_the_program_of_the_page_buys_a_channel"
#: Where each target of make that the pages name is run.
MADE = {
    "run": "tests/site/test_readme.py::test_a_visitor_sees_a_channel_sold_each_way",
    "buy": "tests/site/test_readme.py::test_a_visitor_sees_a_channel_sold_each_way",
    "jit": "tests/site/test_readme.py::test_a_visitor_sees_a_first_payment_received",
    "pay": "tests/site/test_readme.py::test_an_order_that_was_bought_by_hand_can_be_paid_and_claimed",
    "admin": "tests/site/test_readme.py::test_make_admin_makes_an_account_that_can_log_in",
    "regtest": "tests/e2e/test_readme.py::test_the_readme_is_followed_by_what_make_regtest_starts",
    "bench": "tests/bench/test_bench.py::",
    "attack": "tests/attack/test_attack.py::test_under_attack",
    "soak": "tests/soak/test_soak.py::",
    "check": "not run by a test: `make test` runs it first",
    "test": "not run by a test: it is what runs them",
    "test-long": "not run by a test: it is what runs them",
}
#: Where a command of ours is run by its target of make.
BY_MAKE = {"createsuperuser": MADE["admin"], "generate": MADE["check"]}
#: Commands in sentences that are neither ours nor make's.
OTHER = {
    "apt install make python3-venv": "not run by a test: needs root, and changes the machine",
    "createuser --pwprompt lsp": "not run by a test: asks at the terminal; the block above it is run",
    "pip install --require-hashes -r requirements.txt": "not run by a test: `make run` installs by the same",
    "docker compose -f deploy/compose.yaml up -d --build": RUN[OPERATING, "Start"],
    "python -m tests.upgrade.making": "tests/upgrade/test_upgrade.py::test_the_maker_of_dumps_finds_all_that_it_needs",
    "python -m tests.pages.pictures": "not run by a test: it takes the pictures of pages that tests/pages walks",
    "python -m pytest tests/unit": "not run by a test: it is what runs them",
    "python -m pytest FILE::NAME": "not run by a test: it is what runs them",
}
LNCLI = "tests/regtest/test_lncli.py::test_every_command_for_lnd_is_one_of_lncli"

all_pages = pytest.mark.parametrize("page", [str(path.relative_to(ROOT)) for path in PAGES])


def is_a_test(name: str) -> bool:
    file, _, function = name.partition("::")
    return (ROOT / file).is_file() and (not function or f"def {function}(" in (ROOT / file).read_text(encoding="utf-8"))


def has_its_proof(name: str | None) -> bool:
    return name is not None and (name.startswith("not run by a test: ") or is_a_test(name))


@all_pages
def test_every_block_says_what_it_is(page: str) -> None:
    assert {block.language for block in blocks(page)} <= LANGUAGES


@all_pages
def test_every_block_of_commands_is_run(page: str) -> None:
    told = [block for block in blocks(page) if block.language in RUNNABLE]
    ours = {block.heading for block in told if not is_of_make(block)}
    assert [heading for heading in sorted(ours) if not has_its_proof(RUN.get((page, heading)))] == []
    for heading in ours:
        file = RUN[page, heading].partition("::")[0]
        assert f'"{heading}"' in (ROOT / file).read_text(encoding="utf-8"), f"{file} does not read {heading}"


def is_of_make(block: Block) -> bool:
    return block.language == "sh" and all(command.startswith("make ") for command in commands(block.text))


@all_pages
def test_every_target_of_make_is_run(page: str) -> None:
    told = [command for block in blocks(page, language="sh") for command in commands(block.text)]
    targets = {words[1] for each in [*told, *inline_commands(page)] if (words := each.split())[0] == "make"}
    assert [target for target in sorted(targets) if not has_its_proof(MADE.get(target))] == []


@all_pages
def test_every_command_in_a_sentence_is_run(page: str) -> None:
    own = ("make ", "manage.py ", "lncli ")
    others = [each for each in inline_commands(page) if not each.startswith(own)]
    asked = [each for each in others if each.startswith("python -m ") and each.endswith(" --help")]
    for each in asked:
        subprocess.run([sys.executable, *each.split()[1:]], cwd=ROOT, check=True, capture_output=True)
    assert [each for each in others if each not in asked and not has_its_proof(OTHER.get(each))] == []


@all_pages
def test_every_command_for_lnd_is_held_against_lncli(page: str) -> None:
    told = [each for each in inline_commands(page) if each.startswith("lncli ")]
    assert is_a_test(LNCLI) or told == []


def our_commands(page: str) -> Iterator[list[str]]:
    """The words of each `manage.py …` of a page, examples in the place of what is the reader's."""
    told = [plain(part) for block in blocks(page, language="sh") for part in commands(block.text)]
    for command in [*told, *inline_commands(page)]:
        if found := re.search(r"manage\.py ([a-z_]+.*)", command, re.DOTALL):
            written = re.sub(r"[\[\]]", "", found.group(1).replace("\\\n", " "))
            yield ["1" if word == "N" else word for word in shlex.split(written)]


@all_pages
def test_every_command_of_ours_is_understood_and_run_by_a_test(page: str) -> None:
    for name, *arguments in our_commands(page):
        parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
        if arguments:  # else it may be its bare name that a sentence tells
            parser.parse_args(arguments)  # raises CommandError where it is not understood
        assert is_run(name), f"no test runs manage.py {name}"


def is_run(name: str) -> bool:
    """A test calls it, or starts a process of it, or a target of make does that is run."""
    called = re.compile(
        rf"""\b(call_command|manage|said|run)\(\s*"{name}"|manage\.py"\)?,\s*"{name}"|manage\.py {name}\b"""
    )
    in_tests = (source.text for source in with_tests() if source.name.startswith("tests/"))
    return any(map(called.search, in_tests)) or has_its_proof(BY_MAKE.get(name))


@all_pages
def test_every_option_that_a_page_names_is_an_option(page: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    named = set(re.findall(r"`(--[a-z-]+)[^`]*`", text))
    assert named - options() == set()


def options() -> set[str]:
    """Those of our own commands."""
    found: set[str] = set()
    for name, app in get_commands().items():
        if app in PACKAGES:
            parser: argparse.ArgumentParser = load_command_class(app, name).create_parser("manage.py", name)
            found |= set(parser._option_string_actions)
    return found


def test_every_table_here_is_of_what_the_pages_have() -> None:
    """What no page names any more is taken out here too."""
    pages = [str(path.relative_to(ROOT)) for path in PAGES]
    assert [key for key in RUN if not RUNNABLE & {block.language for block in blocks(*key)}] == []
    assert set(OTHER) <= {command for page in pages for command in inline_commands(page)}


def test_a_command_that_nothing_runs_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: with a page of such commands each of the tests above fails."""
    page = ROOT / "docs" / "no-such-page.md"
    text = "## New\n\n```sh\nrm -rf /\n```\n\n`make tea`, `git gc`, `manage.py order ID --twice`, `--twice`\n"
    read = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda self, **kw: text if self == page else read(self, **kw))
    tests = (
        test_every_block_of_commands_is_run,
        test_every_target_of_make_is_run,
        test_every_command_in_a_sentence_is_run,
        test_every_command_of_ours_is_understood_and_run_by_a_test,
        test_every_option_that_a_page_names_is_an_option,
    )
    for test in tests:
        with pytest.raises((AssertionError, CommandError)):
            test("docs/no-such-page.md")
