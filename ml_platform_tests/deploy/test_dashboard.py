"""The dashboard asks for series that there are, with labels that they have."""

import json
import re
from collections.abc import Iterator

import pytest

from ml_platform.documents import traffic
from ml_platform.documents.live import series
from ml_platform.evaluation.intervals import Interval
from ml_platform.live.performance import Window
from ml_platform.live.traffic import TrafficWindow
from ml_platform.serving import checks
from ml_platform.serving.client import Client
from ml_platform_tests.conftest import ROOT
from ml_platform_tests.serving.conftest import Inputs, inputs, packaged, service, service_settings

__all__ = ["inputs", "packaged", "service", "service_settings"]

DASHBOARD = ROOT / "deploy" / "grafana" / "models.json"
#: What a collector adds to each series (see rollout/targets.py), and what a histogram's quantile is of.
ADDED = {"model", "version", "replica", "le"}

WINDOW = Window(
    window="2024-04-01",
    version=1,
    predictions=10,
    labelled=5,
    metrics={"auc": Interval(value=0.7, lower=0.6, upper=0.8, level=0.95, clusters=9, higher_is_better=True)},
)

ASKED = TrafficWindow(
    window="2024-04-01", version=1, rows=1000, first="2024-04-01", last="2024-04-30", inputs={"price": 0.1}, outputs=0.2
)


def asked() -> Iterator[tuple[str, set[str]]]:
    """Each series that a panel or a variable asks for, with the labels that it is chosen by."""
    board = json.loads(DASHBOARD.read_text())
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    for expression in expressions:
        for name, chosen in re.findall(r"\b(ml_\w+)\{([^}]*)\}", expression):
            yield name, set(re.findall(r"(\w+)=", chosen))
        grouped = {label.strip() for labels in re.findall(r"by \(([^)]*)\)", expression) for label in labels.split(",")}
        for name in re.findall(r"\bml_\w+", expression):
            yield name, grouped


@pytest.mark.slow
def test_every_series_is_one_of_a_service_or_of_live_performance(service: checks.Running, inputs: Inputs) -> None:
    with Client(service.url, service.key) as client:
        client.predict(inputs.rows(1))
        text = client.metrics() + series("tiny", [WINDOW]) + traffic.series("tiny", [ASKED])
    there: dict[str, set[str]] = {}
    for line in text.splitlines():
        if found := re.match(r"(ml_\w+)\{(.*)\} ", line):
            there.setdefault(found[1], set()).update(re.findall(r"(\w+)=\"", found[2]))
    wanted = list(asked())
    assert len(wanted) > 20
    assert [(name, labels) for name, labels in wanted if name not in there] == []
    assert [(name, labels) for name, labels in wanted if not labels <= there[name] | ADDED] == []


def test_it_is_found_and_asks_for_a_model() -> None:
    board = json.loads(DASHBOARD.read_text())
    assert [one["name"] for one in board["templating"]["list"]] == ["source", "model"]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids)) and all(
        'model=~"$model"' in one["expr"] for p in board["panels"] for one in p["targets"]
    )
    text = (ROOT / "docs" / "operate.md").read_text()
    assert "deploy/grafana/models.json" in text and "deploy/prometheus/prometheus.yml" in text
