"""The file `.env`: a line that says nothing to us stops the start, and is never shown."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lsp_site import env_file
from lsp_site.names import is_one_slip, misspelt
from tests.site.test_run import ROOT

KEY = "c0ffee" * 10 + "1234"
MARK = "\ufeff"


def filled(folder: Path, text: str | bytes, **environment: str) -> tuple[dict[str, str], list[str]]:
    """The environment and the faults, without the file's name."""
    path = folder / "lsp.env"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    environment = {"LSP_ENV_FILE": str(path), **environment}
    faults = env_file.fill(environment, folder)
    assert all(fault.startswith(str(path)) for fault in faults)
    return environment, [fault.removeprefix(str(path)) for fault in faults]


def faults(folder: Path, text: str | bytes, **environment: str) -> list[str]:
    """None shows anything of the key."""
    _, found = filled(folder, text, **environment)
    assert "c0ffee" not in " ".join(found)
    return found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"PREIMAGE_KEY = {KEY}", ", line 1: it must be NAME=value"),
        (f"# a comment\n\nPREIMAGE_KEY ={KEY}\n", ", line 3: it must be NAME=value"),
        (f"PREIMAGE_KEY: {KEY}", ", line 1: it must be NAME=value"),
        (f"set PREIMAGE_KEY={KEY}", ", line 1: it must be NAME=value"),
        (f"{KEY}", ", line 1: it must be NAME=value"),
        (f"PREIMAGE-KEY={KEY}", ", line 1: it must be NAME=value"),
        (f"{MARK}PREIMAGE_KEY={KEY}", " begins with a byte-order mark"),
        (f"PREIMAGE_KYE={KEY}", ", line 1: there is no such setting: PREIMAGE_KEY is meant"),
        (f"preimage_key={KEY}", ", line 1: there is no such setting: PREIMAGE_KEY is meant"),
        (f"LND_MACROON={KEY}", ", line 1: there is no such setting: LND_MACAROON is meant"),
        (f"c0ffee_is_no_name={KEY}", ", line 1: there is no such setting, and the names"),
        (f"PREIMAGE_KEY={KEY}\nDEBUG=off\nPREIMAGE_KEY={KEY}", ", line 3: it sets the same as line 1"),
        (f"PREIMAGE_KEY='{KEY}", ", line 1: its quotes must be around the whole value"),
        (f'PREIMAGE_KEY="{KEY}" # ours', ", line 1: its quotes must be around the whole value"),
        (f"PREIMAGE_KEY={KEY} # ours", ", line 1: a comment must have a line of its own"),
        (f"PREIMAGE_KEY=\u200b{KEY}", ", line 1: it has an invisible character"),
        (f"PREIMAGE_KEY={KEY}\0", ", line 1: it has an invisible character"),
        ("LSP_ENV_FILE=other.env", ", line 1: LSP_ENV_FILE is looked for before"),
        ("DJANGO_SETTINGS_MODULE=mine", ", line 1: DJANGO_SETTINGS_MODULE is looked for before"),
        (f"PREIMAGE_KEY={KEY}".encode("utf-16"), " must be text in UTF-8"),
    ],
)
def test_found_d6_a_line_that_would_be_dropped_is_named_by_its_number_and_not_shown(
    tmp_path: Path, text: str | bytes, said: str
) -> None:
    [fault] = faults(tmp_path, text)
    assert fault.startswith(said)


def test_found_d6_every_fault_of_the_file_is_named_at_once(tmp_path: Path) -> None:
    found = faults(tmp_path, f"{MARK}LND_GRPC = x\nBUY_RTAE=9/s\nPREIMAGE_KEY={KEY}\nPREIMAGE_KEY={KEY}\n")
    assert [fault.partition(":")[0] for fault in found] == [
        " begins with a byte-order mark, which hides its first line",
        ", line 1",
        ", line 2",
        ", line 4",
    ]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("LISTEN=127.0.0.1:9000", "127.0.0.1:9000"),
        ("export LISTEN=127.0.0.1:9000", "127.0.0.1:9000"),
        ("  LISTEN=127.0.0.1:9000  \r", "127.0.0.1:9000"),
        ("LISTEN='127.0.0.1:9000'", "127.0.0.1:9000"),
        ('LISTEN="127.0.0.1:9000"', "127.0.0.1:9000"),
        (r'LISTEN="a \"b\" \\ \n #c"', 'a "b" \\ \\n #c'),
        ("LISTEN='a # b'", "a # b"),
        ("LISTEN=a#b", "a#b"),
        ("LISTEN=a=b==", "a=b=="),
        ("LISTEN=", ""),
        ("LISTEN=''", ""),
    ],
)
def test_a_line_is_read_as_it_is_meant(tmp_path: Path, written: str, value: str) -> None:
    environment, found = filled(tmp_path, f"# settings\n\n{written}\n")
    assert (environment["LISTEN"], found) == (value, [])


def test_what_is_set_in_the_environment_wins_also_when_it_is_empty(tmp_path: Path) -> None:
    environment, _ = filled(tmp_path, "LISTEN=a:1\nDEBUG=on\nBUY_RATE=9/s", LISTEN="b:2", DEBUG="")
    assert (environment["LISTEN"], environment["DEBUG"], environment["BUY_RATE"]) == ("b:2", "", "9/s")


def test_names_of_other_programs_that_stand_in_such_files_are_passed_on(tmp_path: Path) -> None:
    others = "DATABASE_PASSWORD=a\nCOMPOSE_PROJECT_NAME=b\nPGSSLMODE=require\nhttps_proxy=c\nGRPC_VERBOSITY=d\nTZ=UTC\n"
    environment, found = filled(tmp_path, others)
    assert (environment["PGSSLMODE"], found) == ("require", [])


def test_what_is_so_already_may_stand_in_the_file(tmp_path: Path) -> None:
    _, found = filled(tmp_path, "DJANGO_SETTINGS_MODULE=mine", DJANGO_SETTINGS_MODULE="mine")
    assert found == []


def test_the_example_for_containers_has_no_fault(tmp_path: Path) -> None:
    _, found = filled(tmp_path, (ROOT / "deploy" / "example.env").read_bytes())
    assert found == []


def test_found_d6_a_file_that_is_named_and_not_there_stops_the_start(tmp_path: Path) -> None:
    missing = tmp_path / "none.env"
    [fault] = env_file.fill({"LSP_ENV_FILE": str(missing)}, tmp_path)
    assert fault == f"LSP_ENV_FILE names {missing}, which is not there."
    [fault] = env_file.fill({"LSP_ENV_FILE": str(tmp_path)}, tmp_path)
    assert fault == f"{tmp_path} cannot be read: Is a directory."
    assert env_file.fill({}, tmp_path) == []
    assert env_file.fill({"LSP_ENV_FILE": ""}, tmp_path) == []


@pytest.mark.parametrize("written", ["PREIMAGE_KYE", "PREIMAGEKEY", "preimage_key", "PREIMAGE_KEYS", "PREIMAGE_KE"])
def test_found_d6_a_name_in_the_environment_that_is_one_slip_from_ours_is_refused(written: str) -> None:
    assert list(misspelt({written: KEY})) == [f"{written} is set, and is no setting: PREIMAGE_KEY is."]
    assert list(misspelt({written: KEY, "PREIMAGE_KEY": KEY})) == []
    assert list(misspelt({written: ""})) == []


def test_names_of_other_programs_in_the_environment_are_left_alone() -> None:
    others = ("PATH", "WORKER", "LISTEN_FDS", "SECRET_KEY_BASE", "DATABASE_PASSWORD", "DEBUGINFOD_URLS", "LND_DIR")
    assert list(misspelt(dict.fromkeys(others, "x"))) == []
    assert list(misspelt(os.environ)) == []


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        ("AB", "AB", True),
        ("AB", "BA", True),
        ("ABC", "AC", True),
        ("ABC", "AXC", True),
        ("ABCD", "BADC", False),
        ("ABC", "A", False),
        ("ABCD", "AXYD", False),
    ],
)
def test_one_slip_is_one_letter_or_two_exchanged(one: str, other: str, near: bool) -> None:
    assert is_one_slip(one, other) is near and is_one_slip(other, one) is near


@pytest.mark.parametrize("text", [f"PREIMAGE_KEY = {KEY}\n", f"{MARK}PREIMAGE_KEY={KEY}\n", f"PREIMAGE_KYE={KEY}\n"])
def test_found_d6_the_start_is_refused_no_key_is_shown_and_no_other_is_made(tmp_path: Path, text: str) -> None:
    path, home = tmp_path / "lsp.env", tmp_path / "home"
    path.write_text(text, encoding="utf-8")
    environment = {**os.environ, "LSP_ENV_FILE": str(path), "LSP_HOME": str(home)}
    environment["DJANGO_SETTINGS_MODULE"] = "lsp_site.settings"
    command = [sys.executable, str(ROOT / "manage.py"), "check"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "The configuration cannot be used:" in said
    assert "c0ffee" not in said and "Traceback" not in said
    assert not home.exists()
