import gzip
import random
from pathlib import Path

import pytest

from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.scheduling.swf import read_swf

LINE = "1 0 -1 60 4 -1 -1 4 120 -1 1 7 1 1 1 -1 -1 -1"


def generate(path: Path, jobs: int, seed: int = 1) -> Path:
    """Write a trace as the archive has them: a header, jobs in the order of their coming, -1 for what is not known."""
    dice = random.Random(seed)  # noqa: S311 - it has to be the same again
    lines, at = ["; Version: 2.2", "; MaxProcs: 64", ""], 0.0
    for number in range(1, jobs + 1):
        at += dice.expovariate(1 / 20)
        width = dice.choice([1, 1, 1, 2, 4, 8, 16, 32])
        seconds = round(dice.expovariate(1 / 300)) + 1
        fields = [number, round(at), -1, seconds, width, -1, -1, width, seconds * 2, -1, 1, dice.randrange(5), 1, 1, 1]
        lines.append(" ".join(map(str, [*fields, -1, -1, -1])))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_job_is_a_task(tmp_path: Path) -> None:
    path = tmp_path / "a.swf"
    path.write_text(f"; a comment\n\n{LINE}\n2 5.5 -1 10 1 -1 -1 -1 -1 -1 1 8 1 1 1 -1 -1 -1\n")
    gang, single = read_swf(path)
    assert (gang.name, gang.submitted, gang.seconds, gang.keys) == ("user7", 0, 60, {"num_ranks": 4, "walltime": 120})
    assert (single.name, single.submitted, single.keys) == ("user8", 5.5, {"cores": 1})


def test_a_job_is_stopped_at_its_limit_and_one_that_never_ran_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.swf"
    path.write_text(LINE.replace(" 60 ", " 500 ") + "\n" + LINE.replace(" 60 ", " -1 ") + "\n")
    (task,) = read_swf(path)
    assert task.seconds == 120


@pytest.mark.parametrize("line", ["1 2 3", LINE + " 4", LINE.replace("60", "sixty"), LINE.replace("60", "nan")])
def test_a_line_that_is_no_job_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.swf"
    path.write_text(f"{LINE}\n{line}\n")
    with pytest.raises(InvalidTask, match=r"line 2.*18 numbers are needed"):
        read_swf(path)


def test_a_trace_as_the_archive_has_it_is_compressed(tmp_path: Path) -> None:
    path, broken = tmp_path / "a.swf.gz", tmp_path / "broken.swf.gz"
    path.write_bytes(gzip.compress(f"; a \f comment\n{LINE}\n".encode()))
    assert [task.name for task in read_swf(path)] == ["user7"]
    broken.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(InvalidTask, match="it cannot be read"):
        read_swf(broken)


def test_its_content_says_whether_a_file_is_compressed(tmp_path: Path) -> None:
    path, plain = tmp_path / "a.SWF", tmp_path / "plain.gz"
    path.write_bytes(gzip.compress(f"{LINE}\n".encode()))
    plain.write_text(f"{LINE}\n")
    assert [task.name for file in (path, plain) for task in read_swf(file)] == ["user7"] * 2


@pytest.mark.parametrize("text", ["", "; MaxProcs: 64\n", LINE.replace(" 60 ", " 0 ")])
def test_a_trace_of_no_job_that_ran_says_so(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.swf"
    path.write_text(text)
    with pytest.raises(InvalidTask, match="no job of it ran"):
        read_swf(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidTask, match="it cannot be read"):
        read_swf(tmp_path / "none.swf")


def test_a_trace_has_all_its_jobs(tmp_path: Path) -> None:
    assert len(read_swf(generate(tmp_path / "a.swf", 200))) == 200
