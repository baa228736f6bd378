"""The Grafana dashboard of the documentation: which metrics and labels it names."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[1] / "docs/grafana.json"
_METRIC = re.compile(r"\brhapsody_\w+")
_LABELS = re.compile(r"by \(([\w, ]+)\)|[{,](\w+)(?:=~|!=|=)|\{\{(\w+)\}\}")


def _texts(of: Any) -> Iterator[str]:
    if isinstance(of, dict | list):
        for each in of.values() if isinstance(of, dict) else of:
            yield from _texts(each)
    elif isinstance(of, str):
        yield of


def metrics() -> set[str]:
    """Return the names of all metrics in it."""
    return {name for text in _texts(json.loads(FILE.read_text())) for name in _METRIC.findall(text)}


def queries() -> list[tuple[set[str], set[str]]]:
    """Return for each query its metrics, and the labels that it or its legend names."""
    targets = [target for panel in json.loads(FILE.read_text())["panels"] for target in panel["targets"]]
    found = []
    for target in targets:
        names = _LABELS.findall(target["expr"] + target["legendFormat"])
        labels = {label.strip() for each in names for part in each for label in part.split(",") if label}
        found.append((set(_METRIC.findall(target["expr"])), labels))
    return found


def exposed(text: str) -> set[str]:
    """Return the names of the metrics that an answer of `/metrics` describes."""
    return set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE))


def labels_of(text: str, metric: str) -> set[str]:
    """Return the labels that a metric has in such an answer."""
    found = re.findall(rf"^{metric}\{{(.*)\}} ", text, re.MULTILINE)
    return {name for line in found for name in re.findall(r'(\w+)="', line)}
