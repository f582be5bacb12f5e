"""The dashboard and the alert rules in docs/examples use metrics and labels that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from heygen_portal.runtime import metrics
from sessions.health import metrics_page

EXAMPLES = Path(settings.BASE_DIR) / "docs" / "examples"
OF_PROCESSES = {"process_start_time_seconds", "process_cpu_seconds_total", "process_resident_memory_bytes", "up"}
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
# Which the scrape adds.
OF_EVERY_METRIC = {"process", "job", "instance", "le"}


def series() -> dict[str, set[str]]:
    """Return the labels of each series by its name."""
    found = {name: {label} - {""} for name, (_, label) in metrics_page.SHARED.items()}
    for metric in metrics.registry.collect():
        for suffix in SUFFIXES.get(metric.type, ()):
            names: Any = metrics.registry._names_to_collectors
            found[f"{metric.name}{suffix}"] = set(names[metric.name]._labelnames) if metric.name in names else set()
    return found


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((EXAMPLES / "prometheus-alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    dashboard: dict[str, Any] = json.loads((EXAMPLES / "grafana-dashboard.json").read_text())
    return list(dashboard["panels"])


def expressions() -> Iterator[str]:
    for rule in rules():
        yield rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield target["expr"]


@pytest.mark.parametrize("expression", [*expressions()])
def test_an_expression_uses_what_exists(expression: str) -> None:
    known = series()
    used = set(re.findall(r"\b(?:portal|process)_\w+", re.sub(r"\{[^}]*\}|\([\w, ]*\)(?= \()", "", expression)))
    assert used <= known.keys() | OF_PROCESSES
    labels = {label for name in used for label in known.get(name, set())} | OF_EVERY_METRIC
    matched = re.findall(r"(\w+)(?:=~|!~|!=|=)\"", expression)
    grouped = [
        label for group in re.findall(r"\b(?:by|without) \(([^)]*)\)", expression) for label in group.split(", ")
    ]
    assert {*matched, *grouped} <= labels
    assert expression.count("(") == expression.count(")")


def test_each_alert_says_what_is_wrong_and_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names) > 10
    for rule in rules():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["annotations"]["description"].endswith(".")


def test_what_must_be_seen_is_on_the_dashboard() -> None:
    shown = " ".join(target["expr"] for panel in panels() for target in panel["targets"])
    measured = {metric.name for metric in metrics.registry.collect() if metric.name.startswith("portal_")}
    missing = {name for name in measured | set(metrics_page.SHARED) if not re.search(rf"\b{name}", shown)}
    assert missing == {"portal_database_up", "portal_redis_up"}  # alerts
    boxes = [tuple(panel["gridPos"].values()) for panel in panels()]
    assert len(set(boxes)) == len(boxes)
