"""What the simulated node does with others' payments, beyond what a real one was asked to: customers good and bad."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from lightning.credentials import Credentials
from lightning.node import LndNode
from lightning.parts import FAIL, NO_CHANNEL, RESUME, Answer, Intercepted, resume_with
from lightning.types import NodeAddress
from simulator.channels import COMMIT_FEE_SAT
from simulator.control import Control, Refused
from tests.contract.conftest import Opening
from tests.contract.interceptor import Interceptor, intercepting
from tests.regtest.payment import FAILED, IN_FLIGHT, SUCCEEDED
from tests.regtest.waiting import until
from tests.simulator.network import SimulatedNetwork, SimulatedNode, SimulatedPeer

AMOUNT_MSAT = 50_000_000
FEE_MSAT = 5_000_000
SCID = 16_060_000 << 40


@dataclass
class Scene:
    """A node that asks; two channels of a payer; a wallet that has none, and takes less where it is told so."""

    lsp: SimulatedNode
    wallet: SimulatedPeer
    points: list[str]
    asked: Interceptor

    @property
    def control(self) -> Control:
        return self.lsp.control

    @property
    def node(self) -> LndNode:
        return node_of(self.lsp)

    def pay(self, scid: int = SCID, *, amount_msat: int = AMOUNT_MSAT, **options: Any) -> int:
        asked = self.control.ask_for_payment(self.wallet.name, amount_msat, scid=scid, cltv_blocks=144)
        return int(self.control.pay(asked, payer="payer", **options).id)

    def state(self, payment: int) -> str:
        return str(self.control.payment(payment).state)

    def open(self) -> int:
        """A channel to the wallet that nobody has published; what LND calls it."""
        opening = Opening(self.node, self.wallet, zero_conf=True, free=True, push_sat=0)  # type: ignore[arg-type]
        opening.pending()
        [channel] = self.node.channels_with(self.wallet.pubkey)
        return channel.known_as

    def just_in_time(self, **options: Any) -> tuple[int, list[Intercepted]]:
        """A payment is held, and the channel is there by the name that it was promised under."""
        payment = self.pay(**options)
        parts = [self.asked.part(number) for number in range(options.get("parts", 1) - options.get("missing_parts", 0))]
        self.node.add_alias(self.open(), SCID)
        return payment, parts

    def let_go(self, parts: list[Intercepted]) -> None:
        """The fee is taken of the first."""
        self.answer(parts[0], resume_with(parts[0].incoming_msat - FEE_MSAT, fee_msat=FEE_MSAT))
        for part in parts[1:]:
            self.answer(part, RESUME)

    def answer(self, part: Intercepted, answer: Answer) -> None:
        assert self.asked.answer(part, answer)
        until(lambda: self._has_moved(part), "the node has heard it", timeout=5)

    def _has_moved(self, part: Intercepted) -> bool:
        told = (each for each in self.control.parts().parts if (each.channel, each.htlc) == key(part))
        return any(each.out or each.back for each in told)

    def wallets_sat(self) -> int:
        return sum(each.remote_balance_sat for each in self.node.channels_with(self.wallet.pubkey))


def key(part: Intercepted) -> tuple[int, int]:
    return part.circuit.channel, part.circuit.htlc


def node_of(lsp: SimulatedNode) -> LndNode:
    return LndNode(Credentials(lsp.grpc_address, str(lsp.tls_certificate), str(lsp.admin_macaroon), "regtest"))


@pytest.fixture
def scene(simulated_network: SimulatedNetwork) -> Iterator[Scene]:
    with simulated_network.adding_nodes() as add:
        lsp = add("--requireinterceptor", funded_sat=10**7, coins=3)
        points = [lsp.control.open_channel("payer", 10**6) for _ in range(2)]
        lsp.control.mine(6)
        wallet = lsp.add_peer(takes_less=True, accepts_zero_conf=True)
        node_of(lsp).connect(NodeAddress.parse(wallet.p2p_address), timeout_seconds=5)
        with intercepting(node_of(lsp)) as asked:
            yield Scene(lsp, wallet, points, asked)


def test_a_first_payment_arrives_over_a_channel_that_was_not_there_less_its_fee(scene: Scene) -> None:
    payment, parts = scene.just_in_time()
    scene.let_go(parts)
    until(lambda: scene.state(payment) == SUCCEEDED, "it arrives")
    assert scene.wallets_sat() == (AMOUNT_MSAT - FEE_MSAT) // 1000
    assert scene.node.info().active_channels == 3
    assert not scene.control.mempool()  # nobody has published it
    [passed] = scene.node.forwards(from_second=0, skip=0, most=9)
    assert passed.in_msat - passed.out_msat == FEE_MSAT


def test_parts_that_come_by_two_channels_arrive_together(scene: Scene) -> None:
    payment, parts = scene.just_in_time(parts=2, over=scene.points)
    assert len({part.circuit.channel for part in parts}) == 2
    scene.let_go(parts[:1])
    assert scene.state(payment) == IN_FLIGHT
    scene.answer(parts[1], RESUME)
    until(lambda: scene.state(payment) == SUCCEEDED, "it arrives")
    assert scene.wallets_sat() == (AMOUNT_MSAT - FEE_MSAT) // 1000


def test_where_a_part_never_comes_the_others_are_given_back(scene: Scene) -> None:
    payment, parts = scene.just_in_time(parts=3, missing_parts=1)
    for part in parts:
        scene.answer(part, FAIL)
    assert scene.state(payment) == FAILED
    assert scene.control.payment(payment).failure == "TEMPORARY_CHANNEL_FAILURE"


def test_a_wallet_that_is_not_told_of_the_fee_takes_nothing_less(scene: Scene) -> None:
    payment, [part] = scene.just_in_time()
    scene.answer(part, resume_with(part.incoming_msat - FEE_MSAT))
    assert scene.state(payment) == FAILED
    assert scene.control.payment(payment).failure == "FINAL_INCORRECT_HTLC_AMOUNT"


@pytest.mark.parametrize("takes", ["fails", "holds", "settles_a_part"])
def test_a_wallet_may_take_a_payment_otherwise_than_it_should(scene: Scene, takes: str) -> None:
    scene.control.change_customer(scene.wallet.name, takes=takes)
    payment, parts = scene.just_in_time(parts=2)
    scene.let_go(parts)
    carried = [each for channel in scene.node.channels_with(scene.wallet.pubkey) for each in channel.htlcs]
    expected = {"fails": (FAILED, 0, 0), "holds": (IN_FLIGHT, 2, 0), "settles_a_part": (SUCCEEDED, 1, 1)}
    state, under_way, taken = expected[takes]
    assert (scene.state(payment), len(carried), int(scene.wallets_sat() > 0)) == (state, under_way, taken)


def test_what_a_wallet_holds_until_it_runs_out_costs_the_channel(scene: Scene) -> None:
    scene.control.change_customer(scene.wallet.name, takes="holds")
    payment, [part] = scene.just_in_time()
    scene.let_go([part])
    scene.control.mine(part.outgoing_expiry - scene.node.info().block_height)
    assert scene.state(payment) == FAILED
    [pending] = scene.node.pending_channels()
    assert pending.peer_pubkey == scene.wallet.pubkey


def test_a_wallet_that_went_away_has_what_came_meanwhile_once_it_is_back(scene: Scene) -> None:
    scene.control.change_customer(scene.wallet.name, takes="holds")
    payment, parts = scene.just_in_time()
    scene.let_go(parts)
    scene.wallet.kill()
    scene.control.change_customer(scene.wallet.name, takes="settles")
    assert scene.state(payment) == IN_FLIGHT
    scene.wallet.start()
    until(lambda: scene.state(payment) == SUCCEEDED, "it is settled")


def test_to_fail_what_was_let_go_pays_it_out_for_nothing(scene: Scene) -> None:
    """Which is why a part is answered the same whenever it is asked about."""
    scene.control.change_customer(scene.wallet.name, takes="holds")
    payment, parts = scene.just_in_time()
    scene.let_go(parts)
    scene.lsp.kill()
    scene.lsp.start()
    with intercepting(scene.node) as again:
        again.answer(again.part(), FAIL)
        until(lambda: scene.state(payment) == FAILED, "the payer has it back")
        node_of(scene.lsp).connect(NodeAddress.parse(scene.wallet.p2p_address), timeout_seconds=5)
        scene.control.change_customer(scene.wallet.name, takes="settles")
        assert scene.control.parts().lost_msat == AMOUNT_MSAT - FEE_MSAT


def test_an_answer_that_is_the_same_again_changes_nothing(scene: Scene) -> None:
    scene.control.change_customer(scene.wallet.name, takes="holds")
    payment, parts = scene.just_in_time()
    scene.let_go(parts)
    scene.lsp.kill()
    scene.lsp.start()
    with intercepting(scene.node) as again:
        part = again.part()
        again.answer(part, resume_with(part.incoming_msat - FEE_MSAT, fee_msat=FEE_MSAT))
        other = scene.pay(SCID + 1)
        again.answer(again.part(1), FAIL)
        until(lambda: scene.state(other) == FAILED, "the node has heard what was said before")
        node_of(scene.lsp).connect(NodeAddress.parse(scene.wallet.p2p_address), timeout_seconds=5)
        scene.control.change_customer(scene.wallet.name, takes="settles")
    until(lambda: scene.state(payment) == SUCCEEDED, "it is settled")
    assert scene.control.parts().lost_msat == 0
    assert scene.wallets_sat() == (AMOUNT_MSAT - FEE_MSAT) // 1000
    [channel] = scene.node.channels_with(scene.wallet.pubkey)
    assert channel.local_balance_sat + channel.remote_balance_sat == channel.capacity_sat - COMMIT_FEE_SAT


def test_who_pays_by_the_wallets_key_asks_for_no_channel(scene: Scene) -> None:
    scene.open()
    payment = scene.pay(NO_CHANNEL)
    part = scene.asked.part()
    assert part.scid == NO_CHANNEL
    scene.answer(part, RESUME)
    assert scene.state(payment) == SUCCEEDED


def test_a_part_that_leaves_us_too_few_blocks_is_not_passed_on(scene: Scene) -> None:
    known_as = scene.open()
    asked = scene.control.ask_for_payment(scene.wallet.name, AMOUNT_MSAT, scid=known_as, cltv_blocks=79)
    payment = scene.control.pay(asked, payer="payer").id
    scene.answer(scene.asked.part(), RESUME)
    assert scene.state(payment) == FAILED
    assert scene.control.payment(payment).failure == "INCORRECT_CLTV_EXPIRY"


def test_a_channel_that_is_not_free_forwards_nothing_for_nothing(scene: Scene) -> None:
    Opening(scene.node, scene.wallet, zero_conf=True, push_sat=0).pending()  # type: ignore[arg-type]
    [channel] = scene.node.channels_with(scene.wallet.pubkey)
    payment = scene.pay(channel.known_as)
    scene.answer(scene.asked.part(), RESUME)
    assert scene.state(payment) == FAILED
    assert scene.control.payment(payment).failure == "TEMPORARY_NODE_FAILURE"


def test_what_no_customer_does_is_refused(scene: Scene) -> None:
    with pytest.raises(Refused, match="takes is one of"):
        scene.control.change_customer(scene.wallet.name, takes="eats")


def test_a_call_of_the_interceptor_meets_faults_too(scene: Scene) -> None:
    scene.asked.stream.close()
    scene.control.add_fault("HtlcInterceptor", 0, text="not now")
    with intercepting(scene.node) as second:
        assert second.reason() == ""
    with intercepting(scene.node) as third:
        scene.pay()
        assert third.part().scid == SCID
