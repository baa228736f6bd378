"""All that the language model is told, and how little of its answer is believed.

The numbers decide: they say what each candidate would gain. All but the last measurement of a round are the best by
that number. The model picks the last among a few whose gain is at least half of the best one's. So its worst choice
costs half a measurement's gain, and never the result.
"""

from collections.abc import Sequence
from typing import Any

from boyle.screening import Candidate
from boyle.surrogate import Estimate

Message = dict[str, str]

AT_LEAST = 0.5
MOST = 3


def bounded(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return those that the model may choose from, the best first."""
    return [one for one in candidates if one.gain >= AT_LEAST * candidates[0].gain][:MOST]


def _named(allowed: Sequence[Candidate]) -> dict[str, Candidate]:
    """Return a letter for each, the coldest first: a model this small likes the first one whatever it is."""
    return dict(zip("ABC", sorted(allowed, key=lambda one: one.state.temperature), strict=False))


def question(estimate: Estimate, allowed: Sequence[Candidate]) -> list[Message]:
    """Return what the model is asked."""
    named = _named(allowed)
    lines = [
        f"{letter}: temperature {one.state.temperature:.2f}, density {one.state.density:.2f}, "
        f"lowers the variance by {one.gain:.0%}"
        for letter, one in named.items()
    ]
    text = (
        f"The Boyle temperature is {estimate.temperature:.3f} with an error of {estimate.error:.3f}. "
        "The next simulation may be:\n" + "\n".join(lines) + f"\nWhich one should run: {', '.join(named)}? "
        "Answer the letter."
    )
    return [
        {"role": "system", "content": "You help to choose simulations that lower the error most."},
        {"role": "user", "content": text},
    ]


def structured(allowed: Sequence[Candidate]) -> dict[str, Any]:
    """Return the request's key that lets the model answer with one of the letters only."""
    return {"structured_outputs": {"choice": list(_named(allowed))}}


def believed(answer: str, allowed: Sequence[Candidate]) -> Candidate:
    """Return the candidate that the model chose; the best one if it chose none of them."""
    return _named(allowed).get(answer.strip().strip('"'), allowed[0])
