"""The science of the active learning example, on data whose answers are known."""

import sys
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("matplotlib")
sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

from boyle import advice, exact, gas, pictures, screening  # noqa: E402 - after the skips
from boyle.agent import Outcome  # noqa: E402 - as above
from boyle.gas import Measurement, State  # noqa: E402 - as above
from boyle.screening import Candidate, Noise  # noqa: E402 - as above
from boyle.surrogate import CENTRE, SCALE, Estimate, Surrogate  # noqa: E402 - as above


def straight(offsets: Any, slope: float = 1.0) -> Surrogate:
    """Members whose values are lines over 1 / temperature, which differ in their offsets."""
    members = len(offsets)
    direct = np.tile(np.array([[-slope], [0.4]]), (members, 1, 1))
    offset = (np.asarray(offsets, dtype=float).reshape(-1, 1, 1) - CENTRE) / SCALE
    return Surrogate(np.zeros((members, 2, 1)), np.zeros((members, 1, 1)), np.zeros((members, 1, 1)), direct, offset)


def test_the_integral_knows_what_is_printed_of_the_potential_without_a_cut() -> None:
    assert exact.boyle_temperature(cut=50) == pytest.approx(exact.FULL_BOYLE, abs=0.005)
    assert exact.second_virial(1.0, cut=50) == pytest.approx(
        -5.316, abs=0.01
    )  # the same book's table: -2.538 * 2 pi / 3
    assert exact.second_virial(exact.boyle_temperature()) == pytest.approx(0, abs=1e-6)


def test_a_measurement_has_the_mean_and_its_error(tmp_path: Path) -> None:
    dice = np.random.default_rng(3)
    state = State(2.0, 0.5)
    gas.write_input(tmp_path, state, seed=5, steps=20_000)
    assert "create 2.00000 5 dist" in (tmp_path / gas.INPUT).read_text()
    rows = [f"{step} {0.25 + dice.normal(0, 0.1)}" for step in range(400)]
    (tmp_path / gas.VIRIAL).write_text("# LAMMPS\n" + "\n".join(rows))
    found = gas.read_measurement(tmp_path, state)
    assert found.error == pytest.approx(0.2 / 400**0.5, rel=0.5)
    assert abs(found.value - 0.5) < 4 * found.error
    (tmp_path / gas.VIRIAL).write_text("\n".join(rows[:5]))
    with pytest.raises(ValueError, match="run more steps"):
        gas.read_measurement(tmp_path, state)


def test_each_member_says_where_the_gas_is_ideal() -> None:
    surrogate = straight([0.5, 9.0])
    warm, never = surrogate.boyle()
    assert surrogate.values(warm, 0.0)[0] == pytest.approx(0, abs=1e-4)
    assert np.isnan(never)
    assert straight([0.4, 0.5, 0.6]).estimate().error > 0.01


def test_what_tells_of_the_answer_gains_and_noise_takes_it_away() -> None:
    surrogate = straight(np.linspace(0.4, 0.6, 9))
    at = np.array([2.5, 3.0]), np.array([0.1, 0.1])
    certain = screening.gains(surrogate, Noise(1e-9, 0), *at)
    noisy = screening.gains(surrogate, Noise(1.0, 0), *at)
    assert certain == pytest.approx([1, 1], abs=0.01)  # members that differ by a constant: one look tells all
    assert noisy.max() < 0.01


def test_noise_follows_the_density() -> None:
    measured = [Measurement(State(3.0, rho), 0.0, (1e-4 + 1e-5 / rho) ** 0.5) for rho in (0.04, 0.1, 0.5)]
    noise = screening.noise_of(measured)
    assert (noise.floor, noise.thin) == pytest.approx((1e-4, 1e-5))
    same = [Measurement(State(3.0, rho), 0.0, 0.01) for rho in (0.1, 0.5)]
    assert screening.noise_of(same).variance(np.array([0.04]))[0] == pytest.approx(1e-4)


def test_screening_returns_the_best_apart_from_each_other() -> None:
    found = screening.screen(straight(np.linspace(0.4, 0.6, 9)), Noise(1e-3, 1e-4), 400, seed=1)
    assert [one.gain for one in found] == sorted((one.gain for one in found), reverse=True)
    near = Candidate(State(3.0, 0.1), 0.5)
    assert screening.apart([near, Candidate(State(3.1, 0.11), 0.9), Candidate(State(3.1, 0.2), 0.1)])[1].gain == 0.1


def test_the_model_may_choose_what_gains_half_of_the_best_at_least() -> None:
    ranked = [Candidate(State(3.0 - place / 10, 0.1), gain) for place, gain in enumerate((0.4, 0.3, 0.19, 0.1))]
    allowed = advice.bounded(ranked)
    assert [one.gain for one in allowed] == [0.4, 0.3]
    assert advice.structured(allowed) == {"structured_outputs": {"choice": ["A", "B"]}}
    text = advice.question(Estimate(2.8, 0.05), allowed)[1]["content"]
    assert "A: temperature 2.90" in text
    assert advice.believed("A", allowed).gain == 0.3
    assert advice.believed("something else", allowed).gain == 0.4


def test_the_pictures_are_drawn(tmp_path: Path) -> None:
    measured = [Measurement(State(3.0, 0.1), 0.2, 0.01), Measurement(State(2.5, 0.3), 0.3, 0.01)]
    outcome = Outcome(measured, [0, 1], [Estimate(2.9, 0.1), Estimate(2.8, 0.03)], straight([0.4, 0.5, 0.6]))
    pictures.campaign(tmp_path / "one.png", outcome)
    pictures.timeline(tmp_path / "two.png", [("train", 1.0, 2.0), ("ask", 2.0, 2.5), ("other", 0.0, 1.0)])
    assert all((tmp_path / name).stat().st_size > 10_000 for name in ("one.png", "two.png"))
    with pytest.raises(ValueError, match="without a trained surrogate"):
        pictures.campaign(tmp_path / "one.png", Outcome())
