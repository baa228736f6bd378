"""The recipes of other package managers say what `pyproject.toml` says."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT, BUILD = PYPROJECT["project"], PYPROJECT["build-system"]["requires"]
REQUIRED = {re.split(r"[^\w-]", line)[0]: line for line in PROJECT["dependencies"] if ";" not in line}


def lower_bound(line: str) -> str:
    """Return the oldest version that a requirement takes, "" for any."""
    found = re.search(r">=([\d.]+)|@([\d.]+):", line)
    return (found[1] or found[2]) if found else ""


def test_conda_asks_for_the_same() -> None:
    recipe = yaml.safe_load((ROOT / "packaging/conda/recipe.yaml").read_text())
    asked = {line.split()[0]: line for line in recipe["requirements"]["run"]}
    assert asked.pop("python") == f"python {PROJECT['requires-python']}"
    assert {name: lower_bound(line) for name, line in asked.items()} == {
        name: lower_bound(line) for name, line in REQUIRED.items()
    }
    host = {line.split()[0]: line for line in recipe["requirements"]["host"]}
    assert lower_bound(host["python"]) == lower_bound(PROJECT["requires-python"])
    assert {lower_bound(host["setuptools"])} == set(map(lower_bound, BUILD))
    assert (recipe["about"]["license"], recipe["about"]["summary"]) == (PROJECT["license"], PROJECT["description"])
    assert recipe["context"]["version"] == PROJECT["version"]
    scripts = [f"{name} = {target}" for name, target in PROJECT["scripts"].items()]
    assert recipe["build"]["python"]["entry_points"] == scripts


def test_spack_asks_for_the_same() -> None:
    text = (ROOT / "packaging/spack/package.py").read_text()
    compile(text, "package.py", "exec")
    asked = dict(re.findall(r'depends_on\("py-([\w-]+)(@[^"]*)?", type=\("build", "run"\)\)', text))
    assert {name: lower_bound(line) for name, line in asked.items()} == {
        name: lower_bound(line) for name, line in REQUIRED.items()
    }
    only = re.findall(
        r'depends_on\("py-([\w-]+)@([\d.]+):", type=\("build", "run"\), when="\^python@([\d.]+):"\)', text
    )
    assert [f"{name}>={least}; python_version >= '{python}'" for name, least, python in only] == [
        line for line in PROJECT["dependencies"] if ";" in line
    ]
    least, most = re.findall(r"3\.(\d+)", PROJECT["requires-python"])
    assert f'depends_on("python@3.{least}:3.{int(most) - 1}"' in text
    assert f'depends_on("py-setuptools@{lower_bound(BUILD[0])}:"' in text
    (mpi4py,) = (line for line in PROJECT["optional-dependencies"]["mpi"] if line.startswith("mpi4py"))
    assert f'depends_on("py-mpi4py@{lower_bound(mpi4py)}:"' in text
    assert f'license("{PROJECT["license"]}")' in text
    assert f'"""{PROJECT["description"]}"""' in text
    assert f'version("{PROJECT["version"]}"' in text
    assert f"rhapsody_parsl-{PROJECT['version']}.tar.gz" in text


def test_the_images_install_extras_that_there_are() -> None:
    for name in ("Dockerfile", "apptainer.def"):
        text = (ROOT / "packaging" / name).read_text()
        extras = re.search(r"/src\[([\w,-]+)\]", text)
        assert extras, name
        assert {"pyproject.toml", "README.md", "LICENSE", "rhapsody_parsl"} <= set(re.split(r"[\s/]+", text))
        assert set(extras[1].split(",")) <= set(PROJECT["optional-dependencies"])
