"""The commands for lnd that the pages tell, held against the source of the lncli that belongs to our lnd."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.regtest.build import HERE
from tests.site.documented import PAGES, blocks, commands, inline_commands
from tests.site.test_run import ROOT

FLAG = re.compile(r'(\w+)\s*=\s*cli\.\w+Flag\{\s*Name:\s*"(\w+)')


@pytest.fixture(scope="module")
def source() -> str:
    """All of lncli's commands."""
    if shutil.which("go") is None:
        pytest.skip("lncli's source not read: Go is not installed")
    lnd = "github.com/lightningnetwork/lnd"
    subprocess.run(["go", "mod", "download", lnd], cwd=HERE, check=True, capture_output=True)
    asked = ["go", "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", lnd]
    folder = subprocess.run(asked, cwd=HERE, check=True, capture_output=True, text=True).stdout.strip()
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(Path(folder, "cmd", "commands").glob("*.go")))


def flags(source: str, command: str) -> set[str]:
    """The flags of one command, those that it shares with others too. Raises: AssertionError when there is none."""
    found = re.search(rf'\n[\t ]*Name: +"{command}",\n(.*?)\n\t*Action: ', source, re.DOTALL)
    assert found, f"lncli has no command {command}"
    [*_, listed] = re.split(r"Flags: ", found.group(1))
    shared = {name for variable, name in FLAG.findall(source) if re.search(rf"\b{variable}\b", listed)}
    return shared | set(re.findall(r'Name: +"(\w+)', listed))


def told() -> list[str]:
    pages = [str(path.relative_to(ROOT)) for path in PAGES]
    in_blocks = [each for page in pages for block in blocks(page, language="sh") for each in commands(block.text)]
    in_sentences = [each for page in pages for each in inline_commands(page)]
    return [each for each in (*in_blocks, *in_sentences) if each.startswith("lncli ")]


def faults(source: str, command: str) -> set[str]:
    """The flags of this command that lncli does not have."""
    words = shlex.split(re.sub(r"\$\(.*\)", "PERMISSIONS", command, flags=re.DOTALL).replace("\\\n", " "))[1:]
    if words[0] == "wallet":
        words = words[1:]
    given = {word.lstrip("-").partition("=")[0] for word in words if word.startswith("-")}
    return given - flags(source, words[0])


def test_every_command_for_lnd_is_one_of_lncli(source: str) -> None:
    assert len(told()) >= 6
    assert {command: wrong for command in told() if (wrong := faults(source, command))} == {}


def test_a_flag_that_lncli_does_not_have_is_seen(source: str) -> None:
    assert faults(source, 'lncli sendcoins --label "a refund" --later') == {"later"}
    with pytest.raises(AssertionError, match="no command tea"):
        faults(source, "lncli tea")
