"""The part of our node that has to do with others' payments that go through it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress

from lightning import mapping
from lightning.calls import LIST_SECONDS
from lightning.errors import NodeUnavailable, NotFound, OutcomeUnknown, Rejected
from lightning.interception import Interception
from lightning.proto import lnrpc_pb2 as ln
from lightning.proto import routerrpc_pb2 as router
from lightning.reaching import Reaching
from lightning.types import Forward


class Passing(Reaching):
    """The calls of `LndNode` that concern what it passes on."""

    def intercept(self) -> Interception:
        """From now on each part of a payment through our node waits for an answer, as long as this is open."""
        return Interception(self._credentials)

    def add_alias(self, channel: int, alias: int) -> None:
        """What is to be paid over `alias` goes over this channel (`Channel.known_as`).

        LND remembers that, also over restarts; where the channel is not usable yet, it counts once it is.
        Repeat: safe. Raises: Rejected("alias_taken"): by another channel; Rejected("invalid"): a number that a block
        may give; NotFound: no such channel, or none that was opened with an alias.
        """
        request = router.AddAliasesRequest(alias_maps=[ln.AliasMap(base_scid=channel, aliases=[alias])])
        try:
            self._change(self._calls.link().router.XAddLocalChanAliases, request)
        except (OutcomeUnknown, Rejected) as error:
            # LND writes it down before it tells the channel, and complains of what it has already.
            if error.reason not in ("", "alias_exists") or not self._is_called(channel, alias):
                raise

    def remove_alias(self, channel: int, alias: int) -> None:
        """This channel (`Channel.known_as`), which may be none any more, is not called so: another may be.

        Money: what names it from now on comes to nothing, so whatever went on over it has come to its end.
        Repeat: safe; nothing happens where it was not called so. Raises: NodeUnavailable, OutcomeUnknown.
        """
        if alias not in self.aliases().get(channel, ()):
            return  # LND would take it from whichever channel is called so
        request = router.DeleteAliasesRequest(alias_maps=[ln.AliasMap(base_scid=channel, aliases=[alias])])
        try:
            self._change(self._calls.link().router.XDeleteLocalChanAliases, request)
        except (OutcomeUnknown, NotFound):
            # LND forgets it before it tells the channel, and complains of one that is no more.
            if alias in self.aliases().get(channel, ()):
                raise

    def _is_called(self, channel: int, alias: int) -> bool:
        with suppress(NodeUnavailable):
            return alias in self.aliases().get(channel, ())
        return False

    def aliases(self) -> Mapping[int, frozenset[int]]:
        """By what LND calls each channel that has any, its aliases; those too of channels that are no more."""
        answer = self._read(self._lightning.ListAliases, ln.ListAliasesRequest(), seconds=LIST_SECONDS)
        return {each.base_scid: frozenset(each.aliases) for each in answer.alias_maps}

    def forwards(self, *, from_second: int, skip: int, most: int, out_by: Collection[int] = ()) -> tuple[Forward, ...]:
        """What was passed on from that second on, the oldest first: without the first `skip`, `most` at most.

        With `out_by` only what went out by these channels (`Channel.known_as`). Forwards that LND has not written down
        yet are written first, so that none is missing that was settled before.
        """
        request = ln.ForwardingHistoryRequest(
            start_time=from_second, index_offset=skip, num_max_events=most, outgoing_chan_ids=out_by
        )
        answer = self._read(self._lightning.ForwardingHistory, request, seconds=LIST_SECONDS)
        return tuple(map(mapping.forward, answer.forwarding_events))

    def configuration(self) -> Mapping[str, str]:
        """How the node was started: its options by their long names ("bitcoin.timelockdelta"), those with defaults too.

        Passwords are not in it.
        """
        return dict(self._read(self._lightning.GetDebugInfo, ln.GetDebugInfoRequest()).config)
