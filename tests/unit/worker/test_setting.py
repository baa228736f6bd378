import os
from pathlib import Path

from rhapsody_parsl.annotations.task_spec import TaskSpec, encode_spec
from rhapsody_parsl.wire.messages import RAISED, RESULT, Result, Setting, Task
from rhapsody_parsl.worker.setting import kept, run_in


def test_each_try_has_a_folder_of_its_own_whose_name_is_one(tmp_path: Path) -> None:
    here, setting = Path.cwd(), Setting("", str(tmp_path / "below"))
    task = Task(7, encode_spec(TaskSpec(name="../an app")), b"")
    seen: list[tuple[str, str, str]] = []

    def fails() -> Result:
        seen.append((os.getcwd(), os.environ["RHAPSODY_SANDBOX"], kept().split()[4]))
        return Result(7, RAISED, b"")

    def succeeds() -> Result:
        Path("result").touch()
        return Result(7, RESULT, b"")

    try:
        for call in (fails, fails, succeeds):
            run_in(setting, task, call)
    finally:
        os.chdir(here)
    first, second = (str(tmp_path / "below" / name) for name in (".._an_app-7", ".._an_app-7.2"))
    assert seen == [(first,) * 3, (second,) * 3]
    assert sorted(os.listdir(tmp_path / "below")) == [".._an_app-7", ".._an_app-7.2"]
    assert kept() == os.environ.get("RHAPSODY_SANDBOX", "") == ""
