"""What the benchmarks' numbers are computed from."""

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks import __main__ as command
from benchmarks.claims import coupling, heterogeneity
from benchmarks.library import block, machine, opened, sides, stamps, traces
from benchmarks.studies import day, path, startup


@pytest.mark.parametrize("share", heterogeneity.LEVELS)
def test_a_load_has_the_core_seconds_asked_for_at_any_share(share: float) -> None:
    pieces = heterogeneity.draw(share, 60.0)
    assert pieces == heterogeneity.draw(share, 60.0)
    assert sum(piece.core_seconds for piece in pieces) == pytest.approx(60.0)
    functions = sum(piece.core_seconds for piece in pieces if piece.kind == "function")
    assert functions == pytest.approx((1 - share) * 60.0)


def record(start: float, end: float, *cores: int) -> dict[str, Any]:
    return {"start": start, "end": end, "cores": list(cores)}


def test_leased_is_the_mean_number_of_cores_between_two_times() -> None:
    records = [record(0, 10, 0, 1), record(4, 5, 2), record(20, 30, 0)]
    assert block.leased(records, 0, 10) == pytest.approx(2.1)
    assert block.leased(records, 10, 20) == 0
    assert block.leased(records, 9, 21) == pytest.approx(3 / 12)


def test_stolen_is_the_share_of_the_time_that_was_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    later = machine._BEFORE._replace(
        user=machine._BEFORE.user + 2, system=machine._BEFORE.system + 1, idle=machine._BEFORE.idle + 9,
        steal=machine._BEFORE.steal + 1,
    )  # fmt: skip
    monkeypatch.setattr(psutil, "cpu_times", lambda: later)
    assert machine.stolen() == pytest.approx(0.25)


def test_sizes_in_words() -> None:
    assert [coupling.size(count) for count in (8, 1_000, 30_000_000)] == ["8 B", "1 kB", "30 MB"]


SIDE = """
from benchmarks.library import sides

def measure(kind, folder, start):
    if kind == "broken":
        raise RuntimeError("no such thing")
    for number in range(start, start + 9):
        yield {"number": number}

if __name__ == "__main__":
    sides.arguments(sides.parser(None), measure)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "counting_side.py").write_text(SIDE)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path.cwd()}")
    return "counting_side"


@pytest.mark.timeout(120)  # six processes, one after the other
@pytest.mark.parametrize(("stay", "numbers"), [(True, [5, 6, 7]), (False, [5, 5, 5])])
def test_a_side_stays_up_between_its_turns_or_starts_anew(module: str, stay: bool, numbers: list[int]) -> None:
    runs = sides.alternate(module, {"a": [5], "b": [0]}, 3, stay=stay)
    assert [run["number"] for run in runs["a"]] == numbers
    assert sides.medians(runs)["b"] == {"number": 1 if stay else 0}


def test_a_side_that_fails_says_why(module: str) -> None:
    with pytest.raises(SystemExit, match=r"(?s)broken failed.*no such thing"):
        sides.apart(module, "broken", 1)


def test_stamps_of_another_process_are_there_also_when_it_is_killed(tmp_path: Path) -> None:
    program = (
        "import os, signal; from pathlib import Path; from benchmarks.library.stamps import stamped; "
        f"abs_ = stamped(abs, Path({str(tmp_path)!r}) / 'begun.1', 'begins'); "
        "print([abs_(-1), abs_(-2)], flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ast.literal_eval(done.stdout) == [1, 2]
    first, second = stamps.read(str(tmp_path), "begun")
    assert 0 < first < second


def test_a_task_counts_when_each_place_has_its_stamps_inside() -> None:
    submit, begun = [11, 22, 35], [13, 23, 24, 36, 90]
    windows = [(10, 20), (21, 30), (31, 40), (50, 60)]
    once, later_of_two = (1, 1), (2, 2)
    assert stamps.join(windows, [submit, begun], [once, once]) == [[10, 11, 13, 20], [31, 35, 36, 40]]
    assert stamps.join(windows, [submit, begun], [once, later_of_two]) == [[21, 22, 24, 30]]
    assert stamps.join(windows, [submit, begun, begun], [once, (1, 2), later_of_two]) == [[21, 22, 23, 24, 30]]


FUNCTIONS = {span.function for spans in traces.TRACES.values() for span in spans.values() if span.role}
WITHOUT_VLLM = sorted(
    name for name in FUNCTIONS if not name.startswith(("vllm.", "rhapsody_parsl.runtimes.vllm.engine:"))
)


@pytest.mark.parametrize("function", WITHOUT_VLLM)  # which takes long to import
def test_a_place_that_is_stamped_is_there(function: str) -> None:
    owner, name = stamps.found(function)
    assert callable(getattr(owner, name))


@pytest.mark.parametrize("role", ["pilot", "worker"])
def test_a_process_stamps_the_places_of_its_role(tmp_path: Path, role: str) -> None:
    environment = {**os.environ, **stamps.environment("request", str(tmp_path))}
    words = [sys.executable, "-m", traces.MODULES[role]]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment, timeout=30)
    assert done.returncode  # it was told of no block
    places = {place for place, span in traces.TRACES["request"].items() if span.role == role}
    assert {file.name.partition(".")[0] for file in tmp_path.iterdir()} == places


def test_the_processes_of_a_block_are_known_by_their_commands() -> None:
    for role, module in traces.MODULES.items():
        assert importlib.util.find_spec(module)
        assert stamps.role_of(["python", "-m", module, "more"]) == role
    assert not stamps.role_of(["python", "-m", "pytest", traces.MODULES["pilot"]])


def test_the_spans_of_a_trace_are_told_in_order_and_summed_by_whose_they_are() -> None:
    stamped = {place: 1.0 + number for number, place in enumerate(traces.TRACES["mpi"])}
    runs: sides.Runs = {"mpi-stamped": [{"total": 200.0, **stamped, "joined": 7}], "mpi-plain": [{"total": 190.0}]}
    result = path.summary("mpi", runs)
    assert result["totals"] == {"stamped": 200.0, "plain": 190.0}
    assert result["spans"][:2] == [
        (traces.KERNEL, "the call", "our submit", 1.0),
        (traces.DRIVER, "our submit", "packed", 2.0),
    ]
    assert sum(result["by_owner"].values()) == pytest.approx(sum(stamped.values()))
    assert result["by_owner"][traces.KERNEL] == 1.0 + len(stamped)


FILES = [file for folder in (*command.FOLDERS, "library") for file in Path("benchmarks", folder).rglob("*.py")]


@pytest.mark.parametrize("file", FILES, ids=str)
def test_a_benchmark_is_made_from_the_library_alone(file: Path) -> None:
    imports = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom)]
    from_ours = {node.module for node in imports if node.module and node.module.partition(".")[0] == "benchmarks"}
    assert all(module.startswith("benchmarks.library") for module in from_ours)


def test_one_command_lists_all_benchmarks_with_what_they_are_and_runs_one() -> None:
    listed = subprocess.run([sys.executable, "-m", "benchmarks"], capture_output=True, text=True, check=True).stdout
    for name, module in command.commands().items():
        assert importlib.util.find_spec(module)
        assert command.about(name).endswith(".")
        assert re.search(rf"^ +{name} .*{re.escape(command.about(name))}$", listed, re.MULTILINE)
    words = [sys.executable, "-m", "benchmarks", "dispatch", "--help"]
    helped = subprocess.run(words, capture_output=True, text=True, check=True, timeout=30).stdout
    assert command.about("dispatch") in helped
    unknown = subprocess.run([sys.executable, "-m", "benchmarks", "overheads"], capture_output=True, check=False)
    assert unknown.returncode == 2


@pytest.mark.parametrize("place", ["Makefile", "docs", "benchmarks", "rhapsody_parsl", "CONTRIBUTING.md"])
def test_each_benchmark_that_is_named_is_there(place: str) -> None:
    root = Path(place)
    files = [root] if root.is_file() else [file for file in root.rglob("*") if file.suffix in (".md", ".py")]
    named = {name for file in files for name in re.findall(r"-m benchmarks ([a-z]\w*)", file.read_text())}
    assert named <= command.commands().keys()
    old = [file for file in files if re.search(r"benchmarks\.(?!library|claims|studies)[a-z]", file.read_text())]
    assert not old


LAB = sorted(Path("docs/lab").glob("2*.md"))


def test_each_claim_has_a_row_in_the_table_of_performance() -> None:
    table = Path("docs/performance.md").read_text().partition("| --- ")[2]
    claims = {name for name, module in command.commands().items() if ".claims." in module}
    assert claims <= set(re.findall(r"^\|.*\| \[`(\w+)`\]\(lab/", table, re.MULTILINE)) <= command.commands().keys()


@pytest.mark.parametrize("page", LAB, ids=lambda page: page.stem)
def test_a_laboratory_page_says_question_machine_command_table_and_reading(page: Path) -> None:
    text = page.read_text()
    assert text.startswith(f"# {page.stem[:10]}: ")
    parts = ["**Question.**", "**Machine.**", "**Command.**"]
    places = [text.find(part) for part in parts]
    assert places == sorted(places)
    assert -1 not in places
    assert "| --- |" in text[places[-1] :]
    assert "**Reading.**" in text or "## What is not reached" in text
    assert f"({page.name})" in Path("docs/lab/index.md").read_text()


def rows(page: str) -> list[list[str]]:
    lines = [line for line in Path(page).read_text().splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def numbers(cell: str) -> list[float]:
    return [float(word.replace(",", "")) for word in re.findall(r"[\d,]+(?:\.\d+)?", cell)]


def test_what_performance_says_of_three_runs_is_what_the_runs_gave() -> None:
    runs = set()
    for _, _, *cells in (row for row in rows("docs/lab/2026-11-27-aims.md") if len(row) == 5):
        for parts in zip(*(cell.split("; ") for cell in cells), strict=False):
            found = [number for part in parts for number in numbers(part)]
            if found:
                runs.add((numbers(parts[-1])[0], min(found), max(found)))
    said = [row for row in rows("docs/performance.md") if row[2] and numbers(row[2])]
    assert len(said) > 12
    for what, measured, three, *_ in said:
        low, high = numbers(three)
        assert (numbers(measured)[0], low, high) in runs, what


CALLS = """1.0 execve("/env/bin/python", ["python", "-m", "x"], 0x7f /* 9 vars */) = 0
2.0 openat(AT_FDCWD</env>, "lib/a.py", O_RDONLY|O_CLOEXEC) = 3</env/lib/a.py>
2.1 newfstatat(3</env/lib/a.py>, "", {st_mode=S_IFREG|0644, st_size=9, ...}, AT_EMPTY_PATH) = 0
2.2 newfstatat(AT_FDCWD</env>, "/env/lib", {st_mode=S_IFDIR|0755, st_size=9, ...}, 0) = 0
2.3 openat(AT_FDCWD</env>, "/etc/b", O_RDONLY) = -1 ENOENT (No such file or directory)
2.4 openat(5</etc>, "c", O_RDONLY) = 6</etc/c>
2.5 openat(AT_FDCWD</env>, "/tmp/d", O_RDONLY) = 6</tmp/d>
2.6 clone(child_stack=0x7f, flags=CLONE_VM|CLONE_THREAD, parent_tid=[12]) = 12
2.7 vfork() = 13
9.0 openat(AT_FDCWD</env>, "/env/late", O_RDONLY) = 7</env/late>
"""


def test_what_a_trace_says_is_counted_by_process_until_a_time(tmp_path: Path) -> None:
    (tmp_path / "calls.11").write_text(CALLS)
    (tmp_path / "calls.12").write_text('3.0 stat("/lib/e", 0x7f) = -1 ENOENT (No such file or directory)\n')
    (tmp_path / "calls.13").write_text(
        '3.0 execve("/bin/no", ["no"], 0x7f /* 9 vars */) = -1 ENOENT (No such file or directory)\n'
        '3.1 execve("/bin/true", ["true"], 0x7f /* 9 vars */) = 0\n'
    )
    processes = opened.read(tmp_path)
    assert sorted(processes) == [11, 13]
    assert opened.below(processes, 11, programs=True) == [11, 13]
    assert opened.below(processes, 11, programs=False) == [11]
    assert processes[11].counts(5.0, {"/env"}) == opened.Counts(3, of_environment=2, looked_at=1, missing=2)
    assert processes[11].counts(9.5, {"/env"}).opened == 4
    assert processes[11].counts(5.0, {"/tmp"}).opened == 4  # noqa: S108 - compared
    assert processes[13].counts(5.0, {"/env"}) == opened.Counts(1)


def test_without_strace_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["startup"])
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SystemExit, match="apt-get install strace"):
        startup.main()


def test_a_day_of_requests_drops_none_and_holds_fewer_gpus_than_the_most() -> None:
    grown, fixed = day.Replay(1, 64, hours=0.5).run(), day.Replay(64, 64, hours=0.5).run()
    assert grown.asked == fixed.asked == grown.answered == fixed.answered > 10_000
    assert grown.gpu_hours < 0.9 * fixed.gpu_hours
    assert 1 < grown.peak <= 70
    assert max(fixed.waited) == 0 < max(grown.waited)
    at_once = day.Replay(1, 64, hours=0.5, in_flight=day.ANY).run()
    assert max(grown.waited) < day.START < max(at_once.waited) / 2, "a replica that comes later takes what waits"


def test_a_replica_that_would_leave_with_requests_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def hasty(replay: day.Replay, count: int) -> None:
        for replica in replay._staying()[:count]:
            replay._end(replica.name)
        replay._ready(None)

    monkeypatch.setattr(day.Replay, "_leave", hasty)
    with pytest.raises(ValueError, match="a replica left with a request"):
        day.Replay(1, 16, hours=2).run()
