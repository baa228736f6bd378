"""The science of the melting point example, on data whose answers are known."""

import io
import math
import re
import sys
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("matplotlib")
sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

from rich.console import Console  # noqa: E402 - after the skips

from melting import (  # noqa: E402 - as above
    analysis,
    fit,
    lammps_input,
    literature,
    motion,
    options,
    pictures,
    potential,
    prompts,
    report,
    structure,
)
from melting.live_view import Progress, render  # noqa: E402 - as above
from melting.trajectory import Trajectory, read  # noqa: E402 - as above

TRUE_TM, TRUE_D = 0.62, 0.02
A = 1.6


def fcc(across: int, along: int) -> tuple[Any, Any]:
    corners = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    grid = np.stack(np.meshgrid(*map(np.arange, (across, across, along)), indexing="ij"), -1)
    atoms = (grid.reshape(-1, 1, 3) + corners).reshape(-1, 3) * A
    return atoms, A * np.array([across, across, along], dtype=float)


def half_molten(crystal_share: float, seed: int = 0) -> tuple[Any, Any]:
    """A crystal whose upper part is scrambled."""
    random = np.random.default_rng(seed)
    atoms, box = fcc(6, 16)
    atoms = atoms + random.normal(0, 0.05, atoms.shape)
    loose = atoms[:, 2] > crystal_share * box[2]
    atoms[loose] += random.normal(0, 0.45, (loose.sum(), 3))
    return atoms, box


def planted(noise: float, seed: int) -> tuple[Any, Any, Any]:
    """Runs that follow the law of Wilson and Frenkel, with noise."""
    random = np.random.default_rng(seed)
    t = np.repeat([0.55, 0.60, 0.61, 0.63, 0.65, 0.69], 3)
    diffusion = TRUE_D * np.exp(7 * (t - TRUE_TM))
    growth = -110 * diffusion * (t - TRUE_TM) + random.normal(0, noise, t.size)
    return t, growth, diffusion


def row(temperature: float, growth: float, replica: int = 1) -> analysis.Row:
    return analysis.Row(
        temperature, replica, growth, (growth, growth), (growth / 10, growth / 10), 0.5, 0.5, 0.02, 0.0001, 0.07,
        (1.0, 2.0, 3.0), (4.0, 2.0, 1.0), (2.8, 1.2, 1.0),
    )  # fmt: skip


class TestPotential:
    @pytest.mark.parametrize("edge", [potential.INNER, potential.CUTOFF])
    def test_energy_and_force_are_smooth_at_both_edges(self, edge: float) -> None:
        below, above = edge - 1e-7, edge + 1e-7
        assert potential.energy(below) == pytest.approx(potential.energy(above), abs=3e-4)
        assert potential.force(below) == pytest.approx(potential.force(above), abs=3e-5)

    @pytest.mark.parametrize("r", [0.9, 1.12, 1.7, 2.2, 2.4])
    def test_force_is_minus_the_slope_of_the_energy(self, r: float) -> None:
        slope = (potential.energy(r + 1e-5) - potential.energy(r - 1e-5)) / 2e-5
        assert potential.force(r) == pytest.approx(-slope, rel=1e-5, abs=1e-7)


class TestLammpsInput:
    def test_input_is_complete(self, tmp_path: Path) -> None:
        path = lammps_input.write_input(tmp_path / "run", 0.6, 7, lammps_input.Box(5, 12, 2000, 100))
        text = path.read_text()
        assert "region box block 0 5 0 5 0 12" in text
        assert "langevin 2.5 0.60000 0.5 7" in text
        assert "$temperature" not in text
        assert (path.parent / lammps_input.TABLE).read_text().splitlines()[-1].startswith("2000 2.5 ")

    def test_command_keeps_the_launcher_of_parsl(self) -> None:
        line = lammps_input.shell_command(Path("/run"), Path("/env"))
        assert "LD_LIBRARY_PATH=/env/lib" in line
        assert "$PARSL_MPI_PREFIX /env/bin/lmp -in in.melting" in line

    @pytest.mark.parametrize("sizes", [(2, 16, 6000, 300), (6, 15, 6000, 300), (6, 16, 100, 50)])
    def test_impossible_boxes_are_refused(self, sizes: tuple[int, int, int, int]) -> None:
        with pytest.raises(ValueError, match=r"cannot hold|too few"):
            lammps_input.Box(*sizes)


class TestTrajectory:
    def test_frames_are_read(self, tmp_path: Path) -> None:
        frame = (
            "ITEM: TIMESTEP\n{}\nITEM: NUMBER OF ATOMS\n2\nITEM: BOX BOUNDS pp pp pp\n"
            "0 4\n-1 4\n0 6\nITEM: ATOMS id xu yu zu c_energy\n1 0 1 2 -5\n2 3 4 {} -7\n"
        )
        path = tmp_path / "dump"
        path.write_text(frame.format(0, 5) + frame.format(100, 6))
        run = read(path, 0.005)
        assert run.times.tolist() == [0.0, 0.5]
        assert run.boxes[0].tolist() == [4, 5, 6]
        assert run.positions[1, 1].tolist() == [3, 4, 6]
        assert run.energies.tolist() == [-6, -6]

    def test_an_unfinished_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "dump").write_text("")
        with pytest.raises(ValueError, match="0 frames"):
            read(tmp_path / "dump", 0.005)


class TestStructure:
    def test_neighbours_agree_with_every_pair(self) -> None:
        random = np.random.default_rng(3)
        box = np.array([6.0, 7.0, 9.0])
        atoms = random.uniform(-20, 20, (150, 3))
        pairs, vectors = structure.neighbours(atoms, box)
        first, second = np.triu_indices(len(atoms), 1)
        distance = np.linalg.norm(structure.shortest(atoms[second] - atoms[first], box), axis=1)
        near = distance < structure.NEIGHBOUR
        expected = set(zip(first[near].tolist(), second[near].tolist(), strict=True))
        assert {tuple(sorted(pair)) for pair in pairs.tolist()} == expected
        assert len(pairs) == len(expected)
        assert np.linalg.norm(vectors, axis=1).max() < structure.NEIGHBOUR

    def test_a_box_too_small_for_cells_is_refused(self) -> None:
        with pytest.raises(ValueError, match="too small"):
            structure.neighbours(np.zeros((2, 3)), np.array([4.0, 9.0, 9.0]))

    def test_harmonics_obey_the_addition_theorem(self) -> None:
        values = structure.harmonics(np.random.default_rng(1).normal(size=(50, 3)))
        total = (np.abs(values) ** 2) @ [1, 2, 2, 2, 2, 2, 2]
        np.testing.assert_allclose(total, 13 / (4 * math.pi))

    @pytest.mark.parametrize("averaged", [False, True])
    def test_q6_of_perfect_fcc(self, averaged: bool) -> None:
        atoms, box = fcc(4, 5)
        np.testing.assert_allclose(structure.q6(atoms, box, averaged=averaged), 0.57452, atol=1e-5)

    def test_q6_tells_crystal_from_scrambled(self) -> None:
        atoms, box = half_molten(0.5)
        crystal = structure.q6(atoms, box) > analysis.CRYSTAL_Q6
        z = atoms[:, 2] / box[2]
        assert crystal[(z > 0.1) & (z < 0.4)].mean() > 0.99
        assert crystal[(z > 0.6) & (z < 0.9)].mean() < 0.05

    def test_radial_distribution_peaks_at_the_first_shell(self) -> None:
        atoms, box = fcc(5, 5)
        r, g = structure.radial_distribution(atoms, box, np.arange(10))
        first_shell = A / math.sqrt(2)
        assert r[g.argmax()] == pytest.approx(first_shell, abs=0.03)
        density, width = 4 / A**3, r[1] - r[0]
        inside = r < (first_shell + A) / 2
        counted = (4 * math.pi * density * g * r**2 * width)[inside].sum()
        assert counted == pytest.approx(12, rel=0.02)


class TestMotion:
    def test_a_random_walk_gives_back_its_diffusion(self) -> None:
        random = np.random.default_rng(5)
        steps = random.normal(0, math.sqrt(2 * TRUE_D * 0.5), (41, 2000, 3))
        times = 0.5 * np.arange(41)
        assert motion.diffusion(times, steps.cumsum(axis=0)) == pytest.approx(TRUE_D, rel=0.03)

    def test_no_atoms_give_no_diffusion(self) -> None:
        assert math.isnan(motion.diffusion(np.arange(9.0), np.zeros((9, 0, 2))))

    def test_lindemann_of_independent_rattling(self) -> None:
        random = np.random.default_rng(6)
        atoms, box = fcc(4, 4)
        pairs, _ = structure.neighbours(atoms, box)
        frames = atoms + random.normal(0, 0.05, (60, *atoms.shape))
        expected = 0.05 * math.sqrt(2) / (A / math.sqrt(2))
        found = motion.lindemann(frames, np.tile(box, (60, 1)), pairs)
        assert found == pytest.approx(expected, rel=0.05)


class TestAnalysis:
    def test_a_growing_crystal(self) -> None:
        shares = np.linspace(0.4, 0.6, 6)
        boxes_and_atoms = [half_molten(share, seed=1) for share in shares]
        run = Trajectory(
            times=np.arange(6.0) * 2,
            positions=np.array([atoms for atoms, _ in boxes_and_atoms]),
            boxes=np.array([box for _, box in boxes_and_atoms]),
            energies=-6 - shares,
        )
        found = analysis.analyse(run, 0.6, 1, cells=6)
        assert found.growth == pytest.approx(0.02 * A * 16 / 2, rel=0.15)
        assert found.cooling_halves == pytest.approx((0.02, 0.02))
        assert np.mean(found.growth_halves) == pytest.approx(found.growth, rel=0.2)
        assert found.crystal_last > found.crystal_first
        assert 0 < found.lindemann < 0.15

    def test_frames_after_a_phase_is_used_up_are_left_out(self) -> None:
        fraction = np.array([0.5, 0.4, 0.3, 0.2, 0.16, 0.1, 0.0, 0.0])
        assert analysis.while_both_last(fraction) == slice(0, 5)
        assert analysis.halves(slice(0, 5)) == (slice(0, 3), slice(2, 5))
        assert analysis.while_both_last(np.zeros(8)) == slice(0, analysis.FRAMES_NEEDED)


class TestFit:
    def test_planted_value_is_found_exactly_without_noise(self) -> None:
        found = fit.melting_temperature(*planted(0.0, 0), draws=200)
        assert found.temperature == pytest.approx(TRUE_TM, abs=1e-9)
        assert found.error < 1e-9
        assert found.speed(0.60) == pytest.approx(-110 * TRUE_D * math.exp(-0.14) * -0.02)

    def test_error_bar_covers_the_planted_value(self) -> None:
        found = [fit.melting_temperature(*planted(0.02, s), draws=300) for s in range(40)]
        covered = sum(abs(f.temperature - TRUE_TM) < 2 * f.error for f in found)
        assert covered >= 34
        spread = np.std([f.temperature for f in found])
        assert np.mean([f.error for f in found]) == pytest.approx(spread, rel=0.4)

    def test_runs_far_from_the_bracket_do_not_count(self) -> None:
        t, g, d = planted(0.0, 0)
        found = fit.melting_temperature([*t, 0.9], [*g, -5.0], [*d, math.nan], draws=50)
        assert found.temperature == pytest.approx(TRUE_TM, abs=1e-9)
        assert found.points == len(t)

    def test_growth_that_rises_is_refused(self) -> None:
        with pytest.raises(ValueError, match="add temperatures"):
            fit.melting_temperature([0.6, 0.65], [-1.0, 1.0], [0.02, 0.02])

    @pytest.mark.parametrize(
        ("growth", "expected"),
        [
            ([2, 1, -1, -2], (0.60, 0.65)),
            ([2, -1, 1, -2], (0.60, 0.65)),
            ([4, 3, 2, 1], (0.70, 0.75)),
            ([-1, -2, -3, -4], (0.50, 0.55)),
        ],
    )
    def test_bracket(self, growth: list[float], expected: tuple[float, float]) -> None:
        assert fit.bracket([0.55, 0.60, 0.65, 0.70], growth) == expected

    def test_rows_are_fitted_by_halves_and_by_either_measure(self) -> None:
        rows = [row(t, -2 * (t - TRUE_TM)) for t in (0.55, 0.6, 0.65, 0.7)]
        for found in (fit.from_rows(rows), fit.from_energies(rows)):
            assert found.temperature == pytest.approx(TRUE_TM, abs=1e-9)
            assert found.points == 8

    def test_ranks_share_the_draws(self) -> None:
        """Two ranks, one after the other: each must see the other's numbers."""
        data = planted(0.02, 1)
        first, second = _Recorder(0), _Recorder(1)
        for rank in (first, second):
            with pytest.raises(_StopHereError):
                fit.melting_temperature(*data, comm=rank, draws=101)
        assert (first.seen[0], second.seen[0]) == (51, 50)
        assert first.seen[1] != second.seen[1]

    def test_one_rank_of_mpi_equals_no_mpi(self) -> None:
        mpi = pytest.importorskip("mpi4py.MPI", exc_type=ImportError)
        data = planted(0.02, 2)
        assert fit.melting_temperature(*data, comm=mpi.COMM_SELF) == fit.melting_temperature(*data)


class _StopHereError(Exception):
    pass


class _Recorder:
    """A communicator of two that notes what its rank contributes."""

    size = 2

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.seen: list[float] = []

    def allreduce(self, sendobj: Any) -> Any:
        self.seen = sendobj.tolist()
        raise _StopHereError

    def allgather(self, sendobj: Any) -> list[Any]:
        return [sendobj]


class TestPrompts:
    def test_choices_lie_between_and_are_new(self) -> None:
        allowed = prompts.choices(0.6, 0.65, [0.6, 0.65, 0.625])
        assert allowed == ["0.608", "0.617", "0.633", "0.642"]

    def test_a_bracket_narrower_than_the_noise_is_widened(self) -> None:
        assert prompts.choices(0.617, 0.619, [0.618]) == ["0.611", "0.615", "0.621", "0.625"]

    def test_when_all_were_tried_all_are_offered_again(self) -> None:
        tried = [0.608, 0.617, 0.625, 0.633, 0.642]
        assert len(prompts.choices(0.6, 0.65, tried)) == 5

    @pytest.mark.parametrize(
        ("text", "fits"),
        [
            ("The crystal grows at 0.550 and 0.600, melts at 0.650. The melting temperature "
             "is 0.620 here.", True),
            ("The crystal grows at 0.550 and 0.600, melts at 0.650.", False),
        ],
    )  # fmt: skip
    def test_summary_is_held_to_two_sentences(self, text: str, fits: bool) -> None:
        pattern = prompts.TWO_SENTENCES["structured_outputs"]["regex"]
        assert bool(re.fullmatch(pattern, text)) == fits

    def test_summary_does_not_show_the_published_value(self) -> None:
        content = prompts.summary([row(0.6, 0.06), row(0.65, -0.1)], TestOutput.result)[-1]
        assert "grows at temperature 0.600. The crystal melts at temperature 0.650." in (content["content"])
        assert "0.618" in content["content"]

    @pytest.mark.parametrize(("answer", "expected"), [(" 0.608\n", 0.608), ("0.9", 0.617), ("", 0.617)])
    def test_only_offered_answers_are_believed(self, answer: str, expected: float) -> None:
        assert prompts.believed(answer, ["0.608", "0.617", "0.633"]) == expected

    def test_the_model_is_shown_the_table(self) -> None:
        rows = [row(0.6, 0.06), row(0.6, 0.04, 2), row(0.65, -0.1)]
        question = prompts.next_temperature(rows, ["0.617"])[-1]["content"]
        assert "T = 0.600: the crystal grows at speed 0.050" in question
        assert "T = 0.650: the crystal melts at speed 0.100" in question
        assert prompts.structured(["0.617"]) == {"structured_outputs": {"choice": ["0.617"]}}


class TestOutput:
    result = fit.Melting(0.618, 0.003, 0.612, 0.624, -110.0, (-8.3, 7.0), 16, 4000, 2)

    def test_pictures_are_drawn(self, tmp_path: Path) -> None:
        rows = [row(0.6, 0.05), row(0.65, -0.1)]
        pictures.melting_curve(tmp_path / "a.png", rows, self.result, literature.SAME_POTENTIAL)
        timeline = [
            ("simulate", "mpi", "n", [0, 1], 1.0, 7.0),
            ("advise", "vllm", "n", [], 7.0, 7.5),
            ("lost", "dragon", "n", [0], 8.0, None),
        ]
        keys = ("name", "runtime", "node", "cores", "start", "end")
        records = report.records([dict(zip(keys, entry, strict=True)) for entry in timeline])
        assert [record[3] for record in records] == [0, 1, None]
        pictures.timeline(tmp_path / "b.png", records)
        pictures.timeline(tmp_path / "c.png", [])
        sizes = [path.stat().st_size for path in tmp_path.glob("*.png")]
        assert len(sizes) == 3
        assert min(sizes) > 1000

    def test_the_end_names_value_error_and_source(self) -> None:
        console = Console(width=200, record=True, file=io.StringIO())
        console.print(report.ending(self.result, None, "Two sentences."))
        text = console.export_text()
        assert "0.618 ± 0.003" in text
        assert "0.617" in text
        assert "J. Chem. Phys. 118, 7651 (2003)" in text
        assert "agrees" in text

    def test_numbers_are_saved(self, tmp_path: Path) -> None:
        report.save(tmp_path / "r.json", [row(0.6, 0.05)], self.result, "words")
        assert '"temperature": 0.618' in (tmp_path / "r.json").read_text()

    def test_live_view_says_uncounted(self) -> None:
        service = {"name": "assistant", "state": "ready", "replicas": 1, "ready": 1, "cores": 0}
        block = {"id": "0", "state": "ready", "nodes": ["n"], "cores": 2, "tasks": {"done": 3},
                 "runtimes": {"mpi": {"state": "ready", "running": 1, "done": 2}},
                 "services": [service]}  # fmt: skip
        console = Console(width=120, record=True, file=io.StringIO())
        console.print(render({"blocks": [block]}, Progress("first temperatures", 8, 3)))
        text = console.export_text()
        assert "uncounted" in text
        assert "3 of 8 runs analysed" in text


class TestOptions:
    def test_defaults_and_quick(self) -> None:
        full = options.read_options(["--model", "none"])
        quick = options.read_options(["--model", "none", "--quick", "--temperatures", "0.7,0.6"])
        assert full.box.atoms == 2304
        assert quick.box.atoms < full.box.atoms
        assert quick.temperatures == (0.6, 0.7)
        assert full.model is None

    @pytest.mark.parametrize("words", [["--cells", "2"], ["--temperatures", "x"], ["--ranks", "0"],
                                       ["--model", "/no/such/folder"]])  # fmt: skip
    def test_nonsense_is_refused(self, words: list[str]) -> None:
        with pytest.raises(SystemExit):
            options.read_options(["--model", "none", *words])
