"""Whether a node can be used to open channels while their first payment is on its way, and what it lacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from lightning import rights
from lightning.node import LndNode
from lightning.rights import Feature
from lightning.types import NodeInfo, takes_zero_conf
from lightning.versions import JUST_IN_TIME_LND_VERSION, dotted, is_at_least


class Lack(NamedTuple):
    """Something that the node lacks, and what mends that: in words for its operator."""

    what: str
    mend: str


_BAKE: Final = "Bake a macaroon with `manage.py bake_macaroon`, and set LND_MACAROON to it."
_RESTART: Final = "and start LND anew."


def unable(node: LndNode, *, cltv_blocks: int, takes_old_lnd: bool) -> tuple[Lack, ...]:
    """Why the node cannot be used for that; nothing where it can. `cltv_blocks`: so many those leave us who pay.

    Raises: NodeUnavailable.
    """
    info = node.info()
    lacks = [*_of_version(info, takes_old_lnd=takes_old_lnd), *_of_features(info)]
    if method := rights.lacking(Feature.JIT, node):
        return (*lacks, Lack(f"the macaroon does not allow {method.rpartition('/')[2]}", _BAKE))
    return (*lacks, *_of_configuration(node.configuration(), cltv_blocks))


def _of_version(info: NodeInfo, *, takes_old_lnd: bool) -> list[Lack]:
    if takes_old_lnd or is_at_least(info.version, JUST_IN_TIME_LND_VERSION):
        return []
    wanted = dotted(JUST_IN_TIME_LND_VERSION)
    words = f"LND {info.version.partition(' ')[0] or '(unknown)'} is older than {wanted}"
    return [Lack(words, "Upgrade LND, or set LSPS2_ON_OLD_LND=on; docs/design/jit.md says what that risks.")]


def _of_features(info: NodeInfo) -> list[Lack]:
    if takes_zero_conf(info.features):
        return []
    words = "LND has no channels that are usable before their funding is mined"
    return [Lack(words, f"Set protocol.option-scid-alias=true and protocol.zero-conf=true in lnd.conf, {_RESTART}")]


def _of_configuration(said: Mapping[str, str], cltv_blocks: int) -> list[Lack]:
    lacks = []
    if said.get("requireinterceptor") != "true":
        words = "LND lets go what it holds for us whenever we are away (requireinterceptor)"
        mend = f"Set requireinterceptor=true in lnd.conf, {_RESTART} Without us it forwards nothing any more then."
        lacks.append(Lack(words, mend))
    if said.get("rejecthtlc") == "true":
        lacks.append(Lack("LND forwards nothing (rejecthtlc)", f"Take rejecthtlc out of lnd.conf, {_RESTART}"))
    delta = said.get("bitcoin.timelockdelta", "")
    if not delta.isdecimal() or int(delta) >= cltv_blocks:
        words = f"LND asks for {delta or 'unknown'} blocks to forward, who pays us leaves {cltv_blocks}"
        lacks.append(Lack(words, "Raise LSPS2_CLTV_BLOCKS above bitcoin.timelockdelta of lnd.conf."))
    return lacks
