"""LndNode: one short method for each RPC we use, our types in and out.

Every method may raise NodeUnavailable; one that changes something also OutcomeUnknown. What else it may
raise stands in its docstring.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress

from lightning import mapping
from lightning.calls import LIST_SECONDS, READ_SECONDS
from lightning.errors import LightningError, NodeUnavailable, NotFound, OutcomeUnknown, Rejected
from lightning.negotiation import Negotiation
from lightning.passing import Passing
from lightning.proto import chainrpc_pb2 as chain
from lightning.proto import invoicesrpc_pb2 as inv
from lightning.proto import lnrpc_pb2 as ln
from lightning.proto import stateservice_pb2 as states
from lightning.proto import walletrpc_pb2 as wal
from lightning.refusals import legible
from lightning.transactions import template_psbt
from lightning.types import (
    ChainTransaction,
    Channel,
    ClosedChannel,
    FeeRates,
    FundedPsbt,
    Invoice,
    Lease,
    NodeInfo,
    OpenedInvoice,
    Outpoint,
    PendingChannel,
    RoutingFee,
    SignedPsbt,
    Utxo,
)

__all__ = ["LndNode", "Negotiation"]

_INVOICE_PAGE = 1000
#: An opening is over long before, however slow the peer; a forgotten stream must not live for ever.
_NEGOTIATION_SECONDS = 30 * 60.0
#: A peer that does not answer keeps nobody for longer.
_CLOSING_SECONDS = 20.0
#: FundPsbt's own limit is a share of what is paid, far too low for small refunds at high fees (and lnd 0.21
#: looks at it for another form of the request only). Ours is an amount, tested before anything is signed.
_MAX_FEE_RATIO = 1.0
#: LND's own name for the account of its own keys: FundPsbt's where none is named.
_ACCOUNT = "default"


class LndNode(Passing):
    """Our node. Building it connects to nothing."""

    # The node

    def info(self) -> NodeInfo:
        """What the node says of itself."""
        return mapping.node_info(self._read(self._lightning.GetInfo, ln.GetInfoRequest()))

    def require_active(self) -> None:
        """The node answers calls, whether its chain is synced or not: as quick with thousands of channels as with none.

        Raises: NodeUnavailable.
        """
        state = self._read(self._calls.link().state.GetState, states.GetStateRequest()).state
        if state not in (states.RPC_ACTIVE, states.SERVER_ACTIVE):
            raise NodeUnavailable(f"The node is {states.WalletState.Name(state).lower()}.")

    def fee_rates(self, *, conf_target: int, seconds: float = READ_SECONDS) -> FeeRates:
        """The estimate for `conf_target` blocks, and the least that is relayed."""
        request = wal.EstimateFeeRequest(conf_target=conf_target)
        answer = self._read(self._wallet.EstimateFee, request, seconds=seconds)
        return FeeRates(answer.sat_per_kw, answer.min_relay_fee_sat_per_kw)

    def allows(self, method: str) -> bool:
        """Our macaroon may call `method` ("/package.Service/Name"). Nothing is called.

        The question is a call of its own: a macaroon that may not ask is told False of everything.
        Raises: NotFound (the node has no such method).
        """
        macaroon = self._calls.macaroon()
        if not macaroon:
            return True  # nobody asks us for one
        request = ln.CheckMacPermRequest(
            macaroon=macaroon, fullMethod=method, check_default_perms_from_full_method=True
        )
        try:
            return self._read(self._lightning.CheckMacaroonPermissions, request).valid
        except NodeUnavailable as error:
            if error.reason != "PERMISSION_DENIED":
                raise
            return False

    def block_hash(self, height: int) -> str:
        """The block of the best chain at this height."""
        request = chain.GetBlockHashRequest(block_height=height)
        return self._read(self._calls.link().chain.GetBlockHash, request).block_hash[::-1].hex()

    # Hold invoices

    def add_hold_invoice(
        self, *, payment_hash: str, amount_sat: int, memo: str, expiry_seconds: int, cltv_blocks: int
    ) -> OpenedInvoice:
        """An invoice whose payment we hold until we settle or cancel it.

        Repeat: Rejected("already_exists"); `invoice` then has the first one.
        """
        return self.begin_hold_invoice(
            payment_hash=payment_hash,
            amount_sat=amount_sat,
            memo=memo,
            expiry_seconds=expiry_seconds,
            cltv_blocks=cltv_blocks,
        )()

    def begin_hold_invoice(
        self, *, payment_hash: str, amount_sat: int, memo: str, expiry_seconds: int, cltv_blocks: int
    ) -> Callable[[], OpenedInvoice]:
        """The node makes such an invoice while this thread does other things; what it gets waits for it, and raises."""
        request = inv.AddHoldInvoiceRequest(
            hash=bytes.fromhex(payment_hash),
            value=amount_sat,
            memo=memo,
            expiry=expiry_seconds,
            cltv_expiry=cltv_blocks,
        )
        begun = self._calls.begun(self._calls.link().begun.invoices.AddHoldInvoice, request)
        return lambda: _opened(begun())

    def invoice(self, payment_hash: str) -> Invoice:
        """The invoice as it is now. Raises: NotFound."""
        request = inv.LookupInvoiceMsg(payment_hash=bytes.fromhex(payment_hash))
        return mapping.invoice(self._read(self._invoices.LookupInvoiceV2, request))

    def pending_invoices(self, *, after_add_index: int) -> tuple[Invoice, ...]:
        """All that are open or accepted and were added after `after_add_index`."""
        found: list[Invoice] = []
        while True:
            request = ln.ListInvoiceRequest(
                pending_only=True, index_offset=after_add_index, num_max_invoices=_INVOICE_PAGE
            )
            answer = self._read(self._lightning.ListInvoices, request, seconds=LIST_SECONDS)
            found += map(mapping.invoice, answer.invoices)
            if len(answer.invoices) < _INVOICE_PAGE:
                return tuple(found)
            after_add_index = answer.last_index_offset

    def newest_add_index(self) -> int:
        """The index of the invoice that was added last, whoever added it; 0: there is none."""
        request = ln.ListInvoiceRequest(reversed=True, num_max_invoices=1)
        return max((each.add_index for each in self._read(self._lightning.ListInvoices, request).invoices), default=0)

    def settle_invoice(self, preimage: bytes) -> None:
        """The held payment is ours.

        Repeat: safe. Raises: Rejected("cancelled" | "still_open"), NotFound.
        """
        self._change(self._invoices.SettleInvoice, inv.SettleInvoiceMsg(preimage=preimage))

    def cancel_invoice(self, payment_hash: str) -> None:
        """The held payment is back with the buyer, and nothing more can be paid.

        Repeat: safe. Raises: Rejected("settled"), NotFound.
        """
        request = inv.CancelInvoiceMsg(payment_hash=bytes.fromhex(payment_hash))
        self._change(self._invoices.CancelInvoice, request)

    # Channels

    def channels(self, *, seconds: float = LIST_SECONDS) -> tuple[Channel, ...]:
        """The open channels, all of them: for who asks seldom, and waits no longer than `seconds`."""
        answer = self._read(self._lightning.ListChannels, ln.ListChannelsRequest(), seconds=seconds)
        return tuple(map(mapping.channel, answer.channels))

    def channels_with(self, pubkey: str, *, seconds: float = LIST_SECONDS) -> tuple[Channel, ...]:
        """The open channels with this peer alone; who asks waits no longer than `seconds`."""
        request = ln.ListChannelsRequest(peer=bytes.fromhex(pubkey))
        answer = self._read(self._lightning.ListChannels, request, seconds=seconds)
        return tuple(map(mapping.channel, answer.channels))

    def begin_channels_with(self, pubkey: str) -> Callable[[], tuple[Channel, ...]]:
        """As `channels_with`, and this thread does other things meanwhile; what it gets waits for it, and raises."""
        request = ln.ListChannelsRequest(peer=bytes.fromhex(pubkey))
        reading = self._calls.reading(self._calls.link().begun.lightning.ListChannels, request, seconds=LIST_SECONDS)
        return lambda: tuple(map(mapping.channel, reading().channels))

    def pending_channels(self, *, seconds: float = LIST_SECONDS) -> tuple[PendingChannel, ...]:
        """The channels that are being opened or closed."""
        answer = self._read(self._lightning.PendingChannels, ln.PendingChannelsRequest(), seconds=seconds)
        return tuple(mapping.pending_channels(answer))

    def closed_channels(self) -> tuple[ClosedChannel, ...]:
        """The channels that are over, those given up before they opened among them: all there ever were."""
        answer = self._read(self._lightning.ClosedChannels, ln.ClosedChannelsRequest(), seconds=LIST_SECONDS)
        return tuple(map(mapping.closed_channel, answer.channels))

    def open_channel(
        self,
        *,
        pubkey: str,
        pending_chan_id: bytes,
        capacity_sat: int,
        push_sat: int,
        private: bool,
        memo: str,
        zero_conf: bool = False,
        free: bool = False,
    ) -> Negotiation:
        """The node negotiates with the peer; it signs and publishes nothing by itself.

        The commitment type is left to the two nodes, who agree on anchors where both can; a zero-conf channel is asked
        for with anchors, and is usable as soon as the peer has signed. Over a `free` one our node forwards without a
        fee from the first moment on: LND would refuse what was sent with none in mind.
        Repeat: not safe; the same `pending_chan_id` is refused while the first attempt lives.
        """
        shim = ln.PsbtShim(pending_chan_id=pending_chan_id, no_publish=True)
        request = ln.OpenChannelRequest(
            node_pubkey=bytes.fromhex(pubkey),
            local_funding_amount=capacity_sat,
            push_sat=push_sat,
            private=private,
            memo=memo,
            funding_shim=ln.FundingShim(psbt_shim=shim),
        )
        if zero_conf:  # of a public one the alias is not asked for: LND refuses that
            request.commitment_type = ln.ANCHORS
            request.zero_conf, request.scid_alias = True, private
        if free:
            request.use_base_fee = request.use_fee_rate = True  # of nothing each
        call = self._lightning.OpenChannel  # never OpenChannelSync: that one ignores the shim, and would pay at once
        return Negotiation(self._calls.changing_stream(call, request, seconds=_NEGOTIATION_SECONDS))

    def verify_psbt(self, *, pending_chan_id: bytes, psbt: bytes) -> None:
        """The two nodes exchange their signatures for the channel that `psbt` funds.

        Repeat: not safe.
        Raises: OutcomeUnknown for any failure (the reason kept): it can fail after it acted.
        """
        verify = ln.FundingPsbtVerify(funded_psbt=psbt, pending_chan_id=pending_chan_id, skip_finalize=True)
        try:
            self._change(self._lightning.FundingStateStep, ln.FundingTransitionMsg(psbt_verify=verify))
        except LightningError as error:
            raise OutcomeUnknown(str(error), reason=error.reason) from error

    def cancel_shim(self, pending_chan_id: bytes) -> None:
        """The negotiation is over if it was still before `verify_psbt`; an unknown one is fine.

        After `verify_psbt` the node answers the same and does nothing.
        """
        cancel = ln.FundingShimCancel(pending_chan_id=pending_chan_id)
        with suppress(NotFound):  # as wished
            self._change(self._lightning.FundingStateStep, ln.FundingTransitionMsg(shim_cancel=cancel))

    def abandon_channel(self, outpoint: Outpoint) -> None:
        """Our node has forgotten the channel. An unknown one is fine.

        Money: whatever the funding transaction pays into it is lost if it ever confirms.
        """
        request = ln.AbandonChannelRequest(
            channel_point=mapping.channel_point_message(outpoint), i_know_what_i_am_doing=True
        )
        with suppress(NotFound):  # as wished
            self._change(self._lightning.AbandonChannel, request)

    def close_channel(self, outpoint: Outpoint, *, force: bool, conf_target: int) -> str:
        """What closes the channel is with the network; its txid.

        Together with the peer where not `force`, which takes as long as the peer does: where no word comes in time, the
        node goes on by itself. A forced close pays the fee that the two had agreed on before.
        Money: what is ours is in the wallet once that is deep; of a forced close after days, and with fees more.
        Repeat: never twice: both spend the same funding. Raises: PeerOffline, Rejected("payments_under_way" |
        "already_closing" | "not_open"), NotFound.
        """
        request = ln.CloseChannelRequest(
            channel_point=mapping.channel_point_message(outpoint), force=force, target_conf=0 if force else conf_target
        )
        update = self._calls.first_of(self._lightning.CloseChannel, request, seconds=_CLOSING_SECONDS)
        if update.WhichOneof("update") == "chan_close":
            return update.chan_close.closing_txid[::-1].hex()
        return update.close_pending.txid[::-1].hex()

    def routing_fees(self) -> tuple[RoutingFee, ...]:
        """What our node asks for forwarding over each of its channels, those that are not announced too."""
        answer = self._read(self._lightning.FeeReport, ln.FeeReportRequest(), seconds=LIST_SECONDS)
        return tuple(map(mapping.routing_fee, answer.channel_fees))

    def cltv_blocks(self, outpoint: Outpoint, *, pubkey: str) -> int:
        """How many blocks our node, which has this key, asks for forwarding over the channel. Raises: NotFound."""
        request = ln.ChanInfoRequest(chan_point=str(outpoint))
        return mapping.own_policy(self._read(self._lightning.GetChanInfo, request), pubkey).time_lock_delta

    def set_routing_fee(self, fee: RoutingFee, *, cltv_blocks: int) -> None:
        """So much is asked for forwarding over the channel from now on; its other limits stay.

        Repeat: safe. Raises: Rejected("refused").
        """
        request = ln.PolicyUpdateRequest(
            chan_point=mapping.channel_point_message(fee.outpoint),
            base_fee_msat=fee.base_msat,
            fee_rate_ppm=fee.ppm,
            time_lock_delta=cltv_blocks,
        )
        answer = self._change(self._lightning.UpdateChannelPolicy, request)
        for failed in answer.failed_updates:
            raise Rejected(legible(failed.update_error, 200), reason="refused")

    # The wallet

    def new_address(self) -> str:
        """A fresh P2WPKH address."""
        return self._change(self._lightning.NewAddress, ln.NewAddressRequest(type=ln.WITNESS_PUBKEY_HASH)).address

    def required_reserve_sat(self, *, additional_public_channels: int) -> int:
        """What has to stay in the wallet to bump anchor channels, with so many more of them."""
        request = wal.RequiredReserveRequest(additional_public_channels=additional_public_channels)
        return self._read(self._wallet.RequiredReserve, request).required_reserve

    def coins(self, *, min_confirmations: int) -> tuple[Utxo, ...]:
        """What the wallet can spend: its own, confirmed so deep, and not leased.

        Of the account that `fund_psbt` takes coins of, and no other: LND would also list what was imported for it to
        watch, and has no key of.
        """
        request = wal.ListUnspentRequest(min_confs=min_confirmations, account=_ACCOUNT)
        answer = self._read(self._wallet.ListUnspent, request, seconds=LIST_SECONDS)
        return tuple(map(mapping.utxo, answer.utxos))

    def foreign_coins(self, coins: Collection[Utxo]) -> tuple[Utxo, ...]:
        """What the wallet lists besides its own `coins`: it was imported, and nothing of ours spends it."""
        own = {coin.outpoint for coin in coins}
        answer = self._read(self._wallet.ListUnspent, wal.ListUnspentRequest(), seconds=LIST_SECONDS)
        return tuple(coin for coin in map(mapping.utxo, answer.utxos) if coin.outpoint not in own)

    def transaction(self, txid: str) -> ChainTransaction:
        """A transaction of the wallet. Raises: NotFound."""
        return mapping.chain_transaction(self._read(self._wallet.GetTransaction, wal.GetTransactionRequest(txid=txid)))

    def transactions(self, *, from_height: int) -> tuple[ChainTransaction, ...]:
        """The wallet's transactions mined at `from_height` or later, and the unconfirmed."""
        request = ln.GetTransactionsRequest(start_height=from_height, end_height=-1)
        answer = self._read(self._lightning.GetTransactions, request, seconds=LIST_SECONDS)
        return tuple(map(mapping.chain_transaction, answer.transactions))

    def fund_psbt(
        self,
        *,
        address: str,
        amount_sat: int,
        sat_per_kw: int,
        min_confirmations: int,
        lock_id: bytes,
        lease_seconds: int,
        inputs: Collection[Outpoint] = (),
    ) -> FundedPsbt:
        """An unsigned transaction that pays `address`, its inputs leased under `lock_id`.

        Of the node's own choice where no `inputs` are named: nested coins too. Named ones are all spent, and no other.
        Money: only confirmed coins are taken; the anchor reserve is not looked at.
        Repeat: not safe, a second call leases other inputs.
        Raises: InsufficientFunds, Rejected("leased_by_another") where a named one cannot be had: leased, spent, not
        so deep.
        """
        request = wal.FundPsbtRequest(
            sat_per_kw=sat_per_kw,
            min_confs=min_confirmations,
            spend_unconfirmed=False,
            max_fee_ratio=_MAX_FEE_RATIO,
            custom_lock_id=lock_id,
            lock_expiration_seconds=lease_seconds,
        )
        if inputs:  # not by `raw`: that gives them the sequence 0, which embit takes for none, and reads another txid
            request.psbt = template_psbt(inputs, address=address, amount_sat=amount_sat)
        else:
            request.raw.outputs[address] = amount_sat
        answer = self._change(self._wallet.FundPsbt, request)
        return FundedPsbt(
            answer.funded_psbt, answer.change_output_index, tuple(map(mapping.lease, answer.locked_utxos))
        )

    def finalize_psbt(self, psbt: bytes) -> SignedPsbt:
        """Our inputs are signed. Nothing is published, nothing else changes.

        Repeat: safe.
        """
        answer = self._change(self._wallet.FinalizePsbt, wal.FinalizePsbtRequest(funded_psbt=psbt))
        return SignedPsbt(answer.signed_psbt, answer.raw_final_tx)

    def publish(self, raw: bytes, *, label: str) -> None:
        """The transaction is with the network, and the wallet knows it by `label`.

        Repeat: safe, also when it is confirmed. But once its outputs are spent too the answer is
        "double_spend", as for a real one: look with `transaction` first.
        Raises: Rejected("double_spend" | "fee_too_low" | "refused").
        """
        answer = self._change(self._wallet.PublishTransaction, wal.Transaction(tx_hex=raw, label=label))
        if answer.publish_error:
            raise OutcomeUnknown(f"walletrpc.Transaction: {legible(answer.publish_error, 500)}")

    def leases(self) -> tuple[Lease, ...]:
        """All leases of the wallet, also those of inputs already spent by an unconfirmed transaction."""
        answer = self._read(self._wallet.ListLeases, wal.ListLeasesRequest(), seconds=LIST_SECONDS)
        return tuple(map(mapping.lease, answer.locked_utxos))

    def lease(self, outpoint: Outpoint, *, lock_id: bytes, seconds: int) -> None:
        """The coin is kept for `lock_id` for so long from now.

        Repeat: safe; the same id extends, also after it ran out.
        Raises: Rejected("leased_by_another"), NotFound (spent in a block, or never ours).
        """
        request = wal.LeaseOutputRequest(
            id=lock_id, outpoint=mapping.outpoint_message(outpoint), expiration_seconds=seconds
        )
        self._change(self._wallet.LeaseOutput, request)

    def release(self, outpoint: Outpoint, *, lock_id: bytes) -> None:
        """The coin is free again; not leased is fine. Raises: Rejected("leased_by_another")."""
        request = wal.ReleaseOutputRequest(id=lock_id, outpoint=mapping.outpoint_message(outpoint))
        with suppress(NotFound):  # spent meanwhile: no lease is left
            self._change(self._wallet.ReleaseOutput, request)

    def bump_fee(self, outpoint: Outpoint, *, conf_target: int, budget_sat: int) -> None:
        """The node spends our unconfirmed `outpoint` by a child whose fee helps both into a block.

        Money: the fee begins at the node's estimate and rises with each block, to `budget_sat` after
        `conf_target` blocks; with 1 it is all of the budget at once.
        Repeat: safe, it gives the same child another target.
        Raises: Rejected("confirmed"), NotFound (not ours, or gone).
        """
        request = wal.BumpFeeRequest(
            outpoint=mapping.outpoint_message(outpoint),
            # No starting rate of ours: where the budget does not reach it, LND silently does nothing.
            deadline_delta=conf_target,
            immediate=True,
            budget=budget_sat,
        )
        self._change(self._wallet.BumpFee, request)


def _opened(answer: inv.AddHoldInvoiceResp) -> OpenedInvoice:
    return OpenedInvoice(answer.payment_request, answer.add_index)
