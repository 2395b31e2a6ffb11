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

_IN_FLIGHT = (
    "of a channel with a payment on its way over it, of which these tests make none: read in lnd's rpcserver.go"
)
#: Errors that no test can bring about on purpose, on either node.
UNHEARD: dict[Heard, str] = {
    Heard("Negotiation.funding_request", "InsufficientFunds", ""): "lnd looks at no coins before the PSBT comes",
    Heard("LndNode.close_channel", "Rejected", "payments_under_way"): _IN_FLIGHT,
    Heard("LndNode.remove_alias", "OutcomeUnknown", ""): "it is looked for first: a node that is away says so there",
    Heard("LndNode.close_channel", "Rejected", "not_open"): "of a moment in which lnd forgets a channel that closed",
}

#: What these hear depends on the moment at which they ask.
_OF_A_MOMENT = {
    "test_while_it_starts_a_node_only_says_that_it_is_not_there_yet[]",
    "test_what_is_asked_for_forwarding_is_read_and_set_and_its_other_limits_stay[]",
}

_NO_LOCK = "our test nodes have no lock: their wallets are made without a password"
_MOMENT = "of a moment while lnd starts or a peer goes, which no test can hold open"
_NEVER_ASKED = "of channels, or of a way to fund them, that we never ask for"
_BACKEND = "of another chain backend, or of mempool rules that nothing we sign can break"
#: Rows of lightning/refusals.py that need not be met on a real node, and why not. Each is played by the simulator in
#: tests/simulator/test_refusals.py.
UNMET: dict[str, str] = {
    r"^wallet locked, unlock it": _NO_LOCK,
    r"zero[- ]?conf(?:irmation)?s?\b": "words of other nodes; LND says no more than that it rejects",
    r"^wallet not created": _NO_LOCK,
    r"is still in the process of starting": _MOMENT,
    r"^the RPC server is in the process of starting": _MOMENT,
    r"^waiting to start": _MOMENT,
    r"^unable to send funding request message: peer exiting": _MOMENT,
    r"^peer exiting$": _MOMENT,
    r"before the wallet is fully synced": "lnd says so of a chain whose tip is two hours old",
    r"cannot (?:get|retrieve) macaroon: ": "of a root key that was deleted; the simulator has none",
    r"unknown permissions required for method": "of a method that lnd does not have, which gRPC refuses before",
    r"^reservation timed out waiting for peer": "lnd never lets a PSBT's reservation run out",
    r"^duplicate pending channel ID": "lnd finds the id among its flows first",
    r"^funder balance too small": "below the least channel, which is refused first",
    r"^fee .* exceeds max fee": "lnd 0.21 looks at the fee for another form of FundPsbt only",
    r"requested channel type not supported": _NEVER_ASKED,
    r"^use anchors for zero-conf": _NEVER_ASKED,
    r"option-scid-alias chantype for public channel": _NEVER_ASKED,
    r"^zero-conf channel has min_depth non-zero": "lnd's own acceptors refuse such a channel instead",
    r"not enough witness outputs to create funding transaction": _NEVER_ASKED,
    r"funding amount is too large, the max channel size is": "of a node without wumbo; ours asks the peer",
    r"^transaction rejected by the mempool because of low fees": _BACKEND,
    r"^channel shutdown already initiated": _MOMENT,
    r"^unable to find arbitrator": _MOMENT,
    r"^error deleting scid alias, .*: alias not found$": "of one that went between our look and our word",
    r"^cannot coop close channel with active htlcs": _IN_FLIGHT,
    r"^(?:txn mempool conflict|missing inputs|bad txns inputs missingorspent)": _BACKEND,
    r"^(?:bad txns |bad witness |tx size|non final|non BIP68 final|bip125 replacement|replacement adds)": _BACKEND,
    r"^(?:mandatory script verify|non mandatory script verify|scriptpubkey|scriptsig|too many potential)": _BACKEND,
}


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
    assert all_rows() - account.rows - set(UNMET) == set()
    assert set(UNMET) <= all_rows()


def test_both_nodes_fail_in_the_same_ways(account: Account, book: Book):
    simulated = book.accounts["simulator"]
    if book.node == "simulator" or not simulated.called:
        return  # compared once both have run
    for test in (simulated.heard.keys() | account.heard.keys()) - _OF_A_MOMENT:
        assert account.heard[test] == simulated.heard[test], test
