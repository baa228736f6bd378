"""All that the language model is told, and how little of its answer is believed.

The numbers decide: they set the bracket, and they alone give the melting temperature. The model
picks one of a few temperatures inside the bracket, so that its worst choice costs a run and never
the result; in the end it may put the table in words.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from melting.analysis import Row
from melting.fit import Melting

Message = dict[str, str]

NARROWEST = 0.02
"""Narrowest bracket to choose from."""

_TEXT = r"([^.!?\n]|[0-9]\.[0-9])"
TWO_SENTENCES: dict[str, Any] = {
    "max_tokens": 120,
    "structured_outputs": {"regex": rf"The crystal {_TEXT}{{30,160}}\. The melting temperature {_TEXT}{{10,100}}\."},
}
"""The request's keys that hold the summary to two sentences."""


def choices(low: float, high: float, tried: Iterable[float], count: int = 5) -> list[str]:
    """Return temperatures strictly between two others, evenly spaced, as text.

    A bracket narrower than the noise of two runs can tell is widened about its middle.
    Temperatures already tried are left out, unless nothing else is left.
    """
    middle, half = (low + high) / 2, max(high - low, NARROWEST) / 2
    inside = np.linspace(middle - half, middle + half, count + 2)[1:-1]
    texts = list(dict.fromkeys(f"{value:.3f}" for value in inside))
    known = {f"{value:.3f}" for value in tried}
    return [text for text in texts if text not in known] or texts


def believed(answer: str, allowed: Sequence[str]) -> float:
    """Return the temperature that the model chose; the middle one if it chose none of them."""
    text = answer.strip().strip('"')
    return float(text if text in allowed else allowed[len(allowed) // 2])


def structured(allowed: Sequence[str]) -> dict[str, Any]:
    """Return the request's key that lets the model answer with one of these texts only."""
    return {"structured_outputs": {"choice": list(allowed)}}


def _by_temperature(rows: Sequence[Row]) -> list[tuple[float, float]]:
    """Return each temperature with the mean front speed of its runs."""
    result = []
    for temperature in sorted({row.temperature for row in rows}):
        same = [row.growth for row in rows if row.temperature == temperature]
        result.append((temperature, sum(same) / len(same)))
    return result


def next_temperature(rows: Sequence[Row], allowed: Sequence[str]) -> list[Message]:
    """Return the question where to simulate next."""
    table = "\n".join(
        f"T = {t:.3f}: the crystal {'grows' if g > 0 else 'melts'} at speed {abs(g):.3f}"
        for t, g in _by_temperature(rows)
    )
    question = (
        f"{table}\nThe melting temperature is where the speed is zero. "
        f"Which temperature should be simulated next: {', '.join(allowed)}? Answer the number."
    )
    return [
        {"role": "system", "content": "You help to find a melting temperature."},
        {"role": "user", "content": question},
    ]


def summary(rows: Sequence[Row], result: Melting) -> list[Message]:
    """Return the request for two sentences about the whole campaign.

    The published value is left out: a model this small takes it for the result.
    """
    table = _by_temperature(rows)
    grows = ", ".join(f"{t:.3f}" for t, growth in table if growth > 0)
    melts = ", ".join(f"{t:.3f}" for t, growth in table if growth <= 0)
    facts = (
        f"The crystal grows at temperature {grows}. The crystal melts at temperature {melts}. "
        f"The melting temperature is {result.temperature:.3f} with an error bar of "
        f"{result.error:.3f}, from {len(rows)} simulations."
    )
    return [
        {"role": "system", "content": "You write short and exact reports. Use only given facts."},
        {"role": "user", "content": f"{facts}\nWrite these results as two sentences."},
    ]
