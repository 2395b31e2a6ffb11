"""The dashboard for Grafana asks for what `/metrics` has, by the labels that it has there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from orders.models import Heartbeat, NodeSnapshot
from tests.factories import OrderFactory
from tests.house.source import ROOT
from watch import metrics
from watch.metrics import collector

DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana" / "lsp.json").read_text(encoding="utf-8"))
NAME = re.compile(r"\blsp_[a-z0-9_]+")
SELECTED = re.compile(r"\b(lsp_[a-z0-9_]+)\{([^}]*)\}")
#: Labels that Prometheus itself adds.
OF_PROMETHEUS = {"instance", "job"}


def panels(of: dict[str, Any] | None = None) -> Iterator[dict[str, Any]]:
    for panel in (of or DASHBOARD)["panels"]:
        yield panel
        yield from panels(panel) if panel.get("panels") else ()


def expressions() -> list[str]:
    asked = [target["expr"] for panel in panels() for target in panel.get("targets", ())]
    return [*asked, *(variable["query"] for variable in DASHBOARD["templating"]["list"] if "lsp_" in variable["query"])]


@pytest.fixture
def told(snapshot: NodeSnapshot) -> dict[str, set[str]]:
    """Every name that a scrape has, with its labels."""
    NodeSnapshot.objects.update(look_seconds=0.1)
    OrderFactory(expired=True, created_at=timezone.now() - timedelta(hours=1))
    Heartbeat.objects.create(name="streams", at=timezone.now())
    collector.forget()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    collector.forget()
    return found


def test_every_panel_asks_for_what_is_told(told: dict[str, set[str]]) -> None:
    named = {name for expression in expressions() for name in NAME.findall(expression)}
    assert named - told.keys() == set() and len(named) > 25


def test_every_label_that_is_asked_for_is_one_of_its_metric(told: dict[str, set[str]]) -> None:
    for expression in expressions():
        for name, selected in SELECTED.findall(expression):
            labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selected))
            assert labels - told[name] - OF_PROMETHEUS == set(), expression
        labels = {word.strip() for by in re.findall(r"\bby \(([^)]*)\)", expression) for word in by.split(",")}
        known = set().union(*(told[name] for name in NAME.findall(expression)))
        assert labels - known - OF_PROMETHEUS == set(), expression


def test_what_is_told_is_shown(told: dict[str, set[str]]) -> None:
    """A number that no panel has is one that nobody looks at."""
    named = {name for expression in expressions() for name in NAME.findall(expression)}
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in named}
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in told} - shown == set()


def test_every_legend_names_labels_that_its_metric_has(told: dict[str, set[str]]) -> None:
    for panel in panels():
        for target in panel.get("targets", ()):
            labels = set(re.findall(r"\{\{\s*(\w+)\s*\}\}", target.get("legendFormat", "")))
            known = set().union(*(told[name] for name in NAME.findall(target["expr"])))
            assert labels - known - OF_PROMETHEUS == set(), target


def test_panels_have_their_own_place_and_number() -> None:
    found = list(panels())
    assert len({panel["id"] for panel in found}) == len(found) > 20
    places = set()
    for panel in found:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert places.isdisjoint(cells), panel["title"]
        places |= cells
    titles = " ".join(panel["title"] for panel in found).lower()
    assert all(word in titles for word in ("needs you", "funnel", "longest", "openings", "coins", "heartbeats"))


def test_the_page_for_operators_has_every_metric_and_no_other(told: dict[str, set[str]]) -> None:
    page = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(lsp_[a-z_]+)`", page))
    assert named == {re.sub(r"_(bucket|sum|count)$", "", name) for name in told}
