"""The recipes of other package managers say what `pyproject.toml` says."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
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
    assert f'version("{PROJECT["version"]}"' in text


def test_the_images_install_extras_that_there_are() -> None:
    for name in ("Dockerfile", "apptainer.def"):
        text = (ROOT / "packaging" / name).read_text()
        extras = re.search(r"/src\[([\w,-]+)\]", text)
        assert extras, name
        assert {"pyproject.toml", "README.md", "LICENSE", "rhapsody_parsl"} <= set(re.split(r"[\s/]+", text))
        assert set(extras[1].split(",")) <= set(PROJECT["optional-dependencies"])
