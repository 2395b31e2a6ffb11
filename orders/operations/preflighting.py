"""Before the buyer pays: whether the node that he names would take the channel. Every door gets it by `creating`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from lightning.node import LndNode
from lightning.types import NodeAddress
from orders import options
from orders.errors import WouldNotOpen
from orders.models import NodeSnapshot, Preflight, Service
from orders.preflight import looking, rules
from orders.preflight.rules import Asked, Finding

Findings = tuple[Finding, ...]


def checked(
    service: Service,
    wanted: options.Wanted,
    address: NodeAddress | None,
    *,
    announced: bool | None,
    zero_conf: bool,
    seen: NodeSnapshot,
    node: LndNode | None,
    client: str = "",
) -> Findings:
    """What would keep the channel from opening; nothing is looked at where the service does not, or no node is known.

    `node`: None asks nobody but our records.
    Raises: WouldNotOpen where the service refuses what would surely fail.
    """
    if address is None or service.preflight == Preflight.OFF:
        return ()
    asked = replace(_asked(service, wanted, address, announced), zero_conf=zero_conf)
    facts = looking.recorded(asked) if node is None else looking.looked_at(asked, node, client)
    findings = rules.judge(asked, replace(facts, sat_per_kw=seen.estimate_sat_per_kw))
    if service.preflight == Preflight.REFUSE:
        _require_none_sure(findings)
    return findings


def _asked(service: Service, wanted: options.Wanted, address: NodeAddress, announced: bool | None) -> Asked:
    return Asked(
        pubkey=address.pubkey,
        host=address.host,
        lsp_balance_sat=wanted.lsp_balance_sat,
        client_balance_sat=wanted.client_balance_sat,
        announced=options.announced(by_claim=None, by_purchase=announced, by_service=service.announced_by_default),
        announced_is_asked=announced is not None,
    )


def _require_none_sure(findings: Sequence[Finding]) -> None:
    for finding in findings:
        if finding.is_sure:
            raise WouldNotOpen(finding.message, field=finding.field, code=finding.code, works=finding.works)


def written(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """As the order keeps them, for `wire.warnings`."""
    return [asdict(finding) for finding in findings]
