"""The import contracts hold, and are broken by what they are there to forbid."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.house.source import PACKAGES, ROOT

LINT = Path(sys.executable).with_name("lint-imports")
#: What is planted where, and the contract that must see it.
PLANTED = [
    ("orders/api/views.py", "from orders.transitions import move", "Only these move an order"),
    ("orders/recovering.py", "from orders.transitions import move", "Only these move an order"),
    ("orders/admin/deeds.py", "from orders.journal import write", "Only these move an order"),
    ("orders/wallet/coins.py", "from orders.books.posting import post", "Only these write the books"),
    ("orders/flags.py", "from orders.transitions import move", "Inside orders"),
    ("orders/stray.py", "", "Inside orders"),
    ("lightning/stray.py", "", "Inside lightning"),
    ("watch/stray.py", "", "Inside watch"),
    ("chain/stray.py", "", "Inside chain"),
    ("chain/node.py", "from lightning import types", "Packages: never upward"),
    ("chain/packages.py", "import django", "Rules and values know no framework"),
    ("orders/tasks.py", "from watch import alerting", "Packages: never upward"),
    ("watch/alerting.py", "from orders.operations import claiming", "The watch looks at orders; it moves none"),
    ("orders/figures/sales.py", "from orders.operations import claiming", "The figures count orders; they move none"),
    ("orders/advance.py", "from orders import figures", "Inside orders"),
    ("watch/tasks.py", "import grpc", "gRPC stops at lightning"),
    ("lsp_site/running/simulated.py", "from simulator import world", "The simulator is known to its commands alone"),
    (
        "simulator/world.py",
        "from lightning import mapping",
        "The simulator speaks LND's protocol without our client's reading of it",
    ),
]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The packages and their contracts, to plant a mistake in."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def linted(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([LINT, "--no-logo", "--no-cache"], cwd=folder, capture_output=True, text=True)


def plant(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")


def broken(said: str) -> list[str]:
    return [line.removesuffix(" BROKEN") for line in said.splitlines() if line.endswith(" BROKEN")]


def test_control_a_copy_without_a_mistake_keeps_every_contract(copy: Path) -> None:
    done = linted(copy)
    assert done.returncode == 0 and broken(done.stdout) == [], done.stdout


@pytest.mark.parametrize(("name", "line", "contract"), PLANTED, ids=[f"{name}: {line}" for name, line, _ in PLANTED])
def test_a_planted_mistake_breaks_its_contract(copy: Path, name: str, line: str, contract: str) -> None:
    plant(copy / name, line)
    done = linted(copy)
    assert done.returncode != 0
    assert contract in broken(done.stdout), done.stdout


def test_no_package_stands_outside_the_contracts() -> None:
    """A package that they do not name may import anything."""
    there = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    named = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    assert there == set(PACKAGES) == set(named["root_packages"])
