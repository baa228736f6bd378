"""The Grafana dashboard of the documentation: which metrics and labels it names."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[1] / "docs/grafana.json"
_METRIC = re.compile(r"\brhapsody_\w+")
_SELECTED = re.compile(r"\b(rhapsody_\w+)\{([^}]*)\}")
_SELECTOR = re.compile(r"(\w+)(?:=~|!=|=)")
_SHOWN = re.compile(r"by \(([\w, ]+)\)|\{\{(\w+)\}\}")


def _texts(of: Any) -> Iterator[str]:
    if isinstance(of, dict | list):
        for each in of.values() if isinstance(of, dict) else of:
            yield from _texts(each)
    elif isinstance(of, str):
        yield of


def metrics() -> set[str]:
    """Return the names of all metrics in it."""
    return {name for text in _texts(json.loads(FILE.read_text())) for name in _METRIC.findall(text)}


def queries() -> list[tuple[str, set[str]]]:
    """Return for each metric of a query its name, and the labels that are asked of it there or in the legend."""
    targets = [target for panel in json.loads(FILE.read_text())["panels"] for target in panel["targets"]]
    found = []
    for target in targets:
        names = _SHOWN.findall(target["expr"] + target["legendFormat"])
        shown = {label.strip() for each in names for part in each for label in part.split(",") if label}
        selected = _SELECTED.findall(target["expr"])
        assert len(selected) == len(_METRIC.findall(target["expr"])) > 0, target["expr"]
        found += [(metric, shown | set(_SELECTOR.findall(selector))) for metric, selector in selected]
    return found


def exposed(text: str) -> set[str]:
    """Return the names of the metrics that an answer of `/metrics` describes."""
    return set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE))


def labels_of(text: str, metric: str) -> set[str]:
    """Return the labels that a metric has in such an answer."""
    found = re.findall(rf"^{metric}\{{(.*)\}} ", text, re.MULTILINE)
    return {name for line in found for name in re.findall(r'(\w+)="', line)}
