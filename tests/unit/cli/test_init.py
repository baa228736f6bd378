import json
from pathlib import Path

import pytest

from rhapsody_parsl.cli.main import main


def test_a_file_is_written_and_never_over_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "site.py"
    line = ["init", "--system", "laptop", "--output", str(file)]
    assert main(line) == 0
    assert f"doctor --config {file}" in capsys.readouterr().out
    file.write_text("mine")
    assert main(line) == 1
    assert "--force" in capsys.readouterr().err
    assert file.read_text() == "mine"
    assert main([*line, "--force", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["site"]["system"] == "laptop"
    assert "RhapsodyExecutor" in file.read_text()


def test_what_cannot_be_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--system", "laptop", "--output", str(tmp_path / "no" / "f.py")]) == 1
    assert "cannot be written" in capsys.readouterr().err
    assert main(["init", "--system", "laptop", "--output", str(tmp_path / "f.py"), "--walltime", "soon"]) == 1
    assert "01:30:00" in capsys.readouterr().err
