"""What LND is told about a part, field by field: the first of its actions would settle it."""

from __future__ import annotations

import pytest

from lightning.mapping import intercepted, interception_answer
from lightning.parts import EXTRA_FEE_RECORD, FAIL, RESUME, Answer, Circuit, Intercepted, resume_with
from lightning.proto import lnrpc_pb2 as ln
from lightning.proto import routerrpc_pb2 as router

CIRCUIT = Circuit(16_000_000 << 40, 7)


def test_a_part_that_goes_on_as_it_was_is_resumed_and_nothing_else_is_said() -> None:
    message = interception_answer(CIRCUIT, RESUME)
    assert (message.incoming_circuit_key.chan_id, message.incoming_circuit_key.htlc_id) == (CIRCUIT.channel, 7)
    assert (message.action, message.out_amount_msat, dict(message.out_wire_custom_records)) == (router.RESUME, 0, {})


def test_a_part_that_goes_back_fails_for_now() -> None:
    message = interception_answer(CIRCUIT, FAIL)
    assert (message.action, message.failure_code) == (router.FAIL, ln.Failure.TEMPORARY_CHANNEL_FAILURE)


def test_a_part_that_goes_on_with_less_says_so_in_eight_bytes() -> None:
    message = interception_answer(CIRCUIT, resume_with(199_000_000, fee_msat=1_000_000))
    assert (message.action, message.out_amount_msat) == (router.RESUME_MODIFIED, 199_000_000)
    assert dict(message.out_wire_custom_records) == {EXTRA_FEE_RECORD: bytes.fromhex("00000000000f4240")}
    assert dict(interception_answer(CIRCUIT, resume_with(5)).out_wire_custom_records) == {}


@pytest.mark.parametrize("answer", [RESUME, FAIL, resume_with(1), resume_with(1, fee_msat=1)])
def test_no_answer_settles(answer: Answer) -> None:
    assert interception_answer(CIRCUIT, answer).action != router.SETTLE


def test_a_part_is_read_whole() -> None:
    message = router.ForwardHtlcInterceptRequest(
        incoming_circuit_key=router.CircuitKey(chan_id=5, htlc_id=6),
        payment_hash=b"\xab" * 32,
        incoming_amount_msat=1_001,
        incoming_expiry=900,
        outgoing_amount_msat=1_000,
        outgoing_expiry=800,
        outgoing_requested_chan_id=2**64 - 1,
        auto_fail_height=881,
    )
    part = Intercepted(Circuit(5, 6), "ab" * 32, 1_001, 900, 1_000, 800, 2**64 - 1, 881)
    assert intercepted(message) == part and not part.is_on_chain
    message.auto_fail_height = 900
    assert intercepted(message).is_on_chain
