"""`rhapsody-parsl globus init` writes an endpoint that Globus Compute's own reading accepts."""

import os
import pwd
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from globus_compute_endpoint.endpoint.config import CoreEndpointConfig
from globus_compute_endpoint.endpoint.config.utils import (
    get_config,
    load_config_yaml,
    load_user_config_schema,
    load_user_config_template,
    render_config_user_template,
)
from globus_compute_endpoint.endpoint.identity_mapper import MappedPosixIdentity

from rhapsody_parsl.cli.main import main
from rhapsody_parsl.globus_compute import RhapsodyEngine, register

ROOT = Path(__file__).parents[3]
MAIL = ["--contact-email", "lab@localhost"]
ALL_OPTIONS = {"account": "abc", "partition": "debug", "walltime": "00:10:00", "max_blocks": 2, "cores_per_node": 3,
               "nodes_per_block": 1, "worker_init": "module load x", "model": "/a model"}  # fmt: skip


@pytest.fixture
def user_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GLOBUS_COMPUTE_USER_DIR", str(tmp_path))
    return tmp_path


@pytest.mark.dragon  # the templates' blocks run this Python
@pytest.mark.parametrize("options", [{}, ALL_OPTIONS], ids=["plain", "all-options"])
@pytest.mark.parametrize("name", ["local", "slurm"])
def test_templates_make_our_engine(user_dir: Path, name: str, options: dict[str, object]) -> None:
    register()
    template = ROOT / "configs" / "globus_compute" / f"{name}.yaml.j2"
    assert main(["globus", "init", "mine", "--template", str(template), *MAIL]) == 0
    folder = user_dir / "mine"
    core = get_config(folder)
    assert isinstance(core, CoreEndpointConfig)
    me = MappedPosixIdentity(
        local_user_record=pwd.getpwuid(os.getuid()), globus_identity_candidates=[], matched_identity=None
    )
    file = folder / "user_config_template.yaml.j2"
    schema = load_user_config_schema(folder / "user_config_schema.json")
    text = render_config_user_template(core, load_user_config_template(file), file, me, schema, options)
    engine = load_config_yaml(text).engine
    assert isinstance(engine, RhapsodyEngine)
    assert engine.run_in_sandbox
    names = [type(runtime).__name__ for runtime in engine.executor.runtimes]
    assert names == ["DragonRuntime", "MPIRuntime"]
    assert len(engine.executor.services) == (1 if options or name == "slurm" else 0)


def test_packaged_templates_are_those_of_configs() -> None:
    packaged = ROOT / "rhapsody_parsl" / "globus_compute" / "templates"
    for file in (ROOT / "configs" / "globus_compute").glob("*.j2"):
        assert file.read_text() == (packaged / file.name).read_text()


def test_path_of_the_user_endpoints_leads_to_a_command_that_knows_the_engine(user_dir: Path) -> None:
    assert main(["globus", "init", "mine", *MAIL]) == 0
    path = yaml.safe_load((user_dir / "mine" / "user_environment.yaml").read_text())["PATH"]
    command = shutil.which("globus-compute-endpoint", path=path)
    assert command == str(user_dir / "mine" / "bin" / "globus-compute-endpoint")
    said = subprocess.run([command, "version"], check=True, capture_output=True, text=True)
    assert said.stdout.startswith("Globus Compute endpoint version")


@pytest.mark.parametrize(("words", "problem"), [
    (["mine"], "is there already: remove it, or take another name"),
    (["a b"], "Invalid endpoint name"),
    (["new", "--template", "slrm"], "There is no template slrm: give a file, or one of local, slurm"),
])  # fmt: skip
def test_what_cannot_be_is_said(
    user_dir: Path, capsys: pytest.CaptureFixture[str], words: list[str], problem: str
) -> None:
    (user_dir / "mine").mkdir()
    assert main(["globus", "init", *words, *MAIL]) == 1
    assert problem in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="only an endpoint of root needs it")
def test_root_is_asked_for_a_contact(user_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["globus", "init", "mine"]) == 1
    assert "give --contact-email" in capsys.readouterr().err
