"""Run as a worker runs them: in a process of their own, whose standard streams they take."""

import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
from parsl import File, bash_app
from parsl.app.errors import BashExitFailure, MissingOutputs

from rhapsody_parsl import Completed
from rhapsody_parsl.executors.functions import bare
from rhapsody_parsl.payload import pack_call
from rhapsody_parsl.programs import Captured
from rhapsody_parsl.worker.user_code import run

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Parsl closes no file
LIMIT = 100


def line(words: str, outputs: Any = (), stdout: Any = None, stderr: Any = None) -> str:
    return words


class Keeps:
    def submit(self, func: Any, *_args: Any, **_kwargs: Any) -> Any:
        return func


APP: Any = bash_app(line)
APP.data_flow_kernel = Keeps()
FUNCTION = APP("true")


def ran(words: str, *, check: bool = True, function: Any = None, limit: int = LIMIT, **keywords: Any) -> Completed:
    call = Captured(function or bare(FUNCTION), limit, check)
    value: Completed = run(pack_call(call, (words,), keywords))
    return value


@pytest.mark.parametrize("function", [bare(FUNCTION), FUNCTION], ids=["bare", "wrapped"])
def test_what_a_program_wrote(function: Any) -> None:
    value = ran("echo out; echo err >&2", function=function)
    assert value == Completed(0, "out\n", "err\n", 4, 4, LIMIT)
    assert pickle.loads(pickle.dumps(value)) == value
    assert not value.truncated


def test_nothing_is_written_there_afterwards(capfd: pytest.CaptureFixture[str]) -> None:
    sys.stdout.write("before ")
    ran("echo out")
    sys.stdout.write("after ")
    sys.stdout.flush()
    assert capfd.readouterr().out == "before after "


@pytest.mark.parametrize("function", [bare(FUNCTION), FUNCTION], ids=["bare", "wrapped"])
def test_an_exit_code_raises_unless_it_is_not_checked(function: Any) -> None:
    with pytest.raises(BashExitFailure) as caught:
        ran("echo why >&2; exit 3", function=function)
    assert caught.value.exitcode == 3
    assert caught.value.__notes__ == ["The end of its standard error:\nwhy"]
    assert ran("echo out; exit 3", check=False, function=function) == Completed(3, "out\n", "", 4, 0, LIMIT)


def test_of_much_the_end_is_kept() -> None:
    value = ran("head -c 5000000 /dev/zero | tr '\\0' a; printf b; printf '\\377' >&2")
    assert (value.stdout, value.stdout_size, value.truncated) == ("a" * (LIMIT - 1) + "b", 5_000_001, True)
    assert value.stderr == "\N{REPLACEMENT CHARACTER}"
    assert ran("echo out", limit=0) == Completed(0, "", "", 4, 0, 0)


def test_what_still_writes_a_moment_later_is_heard_and_what_stays_is_not_waited_for() -> None:
    assert ran("(sleep 0.03; echo late) & sleep 100 & echo soon").stdout == "soon\nlate\n"


@pytest.mark.parametrize("mode", ["w", "a"])
def test_files_keep_what_is_redirected(tmp_path: Path, mode: str) -> None:
    out, err = tmp_path / "out", tmp_path / "sub" / "err"
    out.write_text("of old\n")
    value = ran("echo out; echo err >&2", stdout=(str(out), mode), stderr=str(err))
    assert (value.stdout, value.stderr, value.stdout_size, value.stderr_size) == ("out\n", "err\n", 4, 4)
    assert out.read_text() == ("of old\n" if mode == "a" else "") + "out\n"
    assert err.read_text().endswith("--> end executable <--\nerr\n")
    assert ran("seq 1000", stdout=File(str(out))).stdout == out.read_text()[-LIMIT:]


def test_a_redirected_file_that_is_gone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert ran(f"rm {out}", stdout=str(out)).stdout == ""


def test_other_failures_are_parsls(tmp_path: Path) -> None:
    with pytest.raises(MissingOutputs):
        ran("true", outputs=[File(str(tmp_path / "none"))])
    with pytest.raises(ValueError, match="Expected a str"):
        ran(3)  # type: ignore[arg-type]  # that is the point
