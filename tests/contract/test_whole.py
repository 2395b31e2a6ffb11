"""That nothing is left out: every method, every error, every sentence we understand, and both nodes alike.

Looked at after all the others have run; where only some of them did, there is nothing to say.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.contract.account import Account, Book, Heard, all_rows, methods, promised

_HERE = Path(__file__).parent
_OURS = {"NodeUnavailable", "NotFound", "OutcomeUnknown", "Rejected", "PeerOffline", "InsufficientFunds"}

#: Errors that no test can bring about on purpose, on either node.
UNHEARD: dict[Heard, str] = {
    Heard("Negotiation.funding_request", "InsufficientFunds", ""): "lnd looks at no coins before the PSBT comes",
}

_OTHER_NODE = "our test nodes have no locked or uncreated wallet (--noseedbackup)"
_MOMENT = "a moment while lnd starts, which no test can hold open"
_NEVER_ASKED = "we never ask for it"
_BACKEND = "the words of another chain backend (bitcoind, neutrino) or of an older lnd"
#: Rows of lightning/refusals.py that no contract test meets, and why. `tests/simulator/test_sentences.py` plays them.
UNMET: dict[str, str] = {}


def _all_ran(request: pytest.FixtureRequest, node: str) -> bool:
    """Every test of this folder was to run on this node."""
    written = {
        f"{path.stem}.{each.name}"
        for path in _HERE.glob("test_*.py")
        for each in ast.parse(path.read_text()).body
        if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")
    }
    here = [item for item in request.session.items if isinstance(item, pytest.Function) and item.path.parent == _HERE]
    return written <= {f"{item.path.stem}.{item.originalname}" for item in here if _node_of(item) in ("", node)}


def _node_of(item: pytest.Function) -> str:
    """Empty for what asks for no node."""
    parameters = getattr(item, "callspec", None)
    return str(parameters.params.get("network", "")) if parameters else ""


@pytest.fixture
def account(network, book: Book, request: pytest.FixtureRequest) -> Account:
    """What the tests before have heard of this node."""
    if not _all_ran(request, book.node):
        pytest.skip("only some of the contract's tests were run")
    return book.open


def test_every_method_is_tested(account: Account):
    assert methods() - account.called == set()


def test_every_error_that_a_method_promises_is_tested(account: Account):
    heard = set().union(*account.heard.values())
    any_reason = {each._replace(reason="") for each in heard}
    missing = promised(_OURS) - heard - any_reason - set(UNHEARD)
    assert missing == set()


def test_every_sentence_that_we_understand_was_heard_or_cannot_be(account: Account):
    assert all_rows() - account.rows == set(UNMET)


def test_both_nodes_fail_in_the_same_ways(account: Account, book: Book):
    simulated = book.accounts["simulator"]
    if book.node == "simulator" or not simulated.called:
        return  # compared once both have run
    for test in simulated.heard.keys() | account.heard.keys():
        assert account.heard[test] == simulated.heard[test], test
    import json
    import pathlib

    pathlib.Path("/tmp/sim_sentences.json").write_text(
        json.dumps(
            {
                k: [sorted(simulated.sentences[k]), sorted(account.sentences[k])]
                for k in sorted(simulated.sentences.keys() | account.sentences.keys())
                if simulated.sentences[k] != account.sentences[k]
            },
            indent=1,
        )
    )
    pathlib.Path("/tmp/sim_rows.json").write_text(
        json.dumps([sorted(all_rows() - account.rows), sorted(account.rows ^ simulated.rows)], indent=1)
    )
