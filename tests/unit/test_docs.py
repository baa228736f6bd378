"""The pages agree with the programs: links, commands, tables of settings and errors. Their examples run elsewhere."""

import dataclasses
import importlib.util
import re
import shlex
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import globus_compute_sdk
import msgspec
import pytest
import yaml
from parsl.launchers import SimpleLauncher
from parsl.providers import SlurmProvider

from rhapsody_parsl import config, errors, service_config
from rhapsody_parsl.annotations import decorator as annotations
from rhapsody_parsl.cli import main, report
from rhapsody_parsl.globus_compute import RhapsodyEngine
from testing.contract.subjects import Subject
from testing.pages import PAGES, ROOT, examples, named

GLOBUS = ROOT / "docs" / "globus_compute.md"
SETTINGS = {
    "runtimes/dragon": config.DragonRuntime,
    "runtimes/local": config.LocalRuntime,
    "runtimes/mpi": config.MPIRuntime,
    "runtimes/vllm": service_config.VLLMService,
    "services": service_config.CommandService,
}
WIDTH = 100
"""Columns that the site shows of an example without a scroll bar."""
OF_THE_SYSTEM = {"cat", "cd", "echo", "export", "git", "sleep"}
_INLINE = re.compile(r"`((?:make|pip|python|rhapsody-parsl|rhapsody-globus-compute-endpoint) [^`]+)`")
_PARTS = {";", "&&", "|", "(", ")"}


def words(line: str) -> Iterator[list[str]]:
    """Yield the commands of a shell's line."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    command: list[str] = []
    for word in [*lexer, ";"]:
        if word in _PARTS:
            yield [each.removeprefix(".venv/bin/") for each in command if each != "sudo" and "_CONTRACT=" not in each]
            command = []
        else:
            command.append(word)


def commands(page: Path) -> Iterator[list[str]]:
    """Yield the commands that a page gives to a shell, in its blocks and in its text."""
    text = page.read_text()
    lines = [*"".join(examples(page, "bash")).splitlines(), *_INLINE.findall(text)]
    for line in lines:
        yield from (command for command in words(line) if command)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[list[str]], bool]]:
    """What tells whether a command's arguments are right, by the command."""
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {*project["optional-dependencies"], "monitoring"}  # of ours, and the one of Parsl's
    monkeypatch.setattr(report, "_each", lambda *_: 0)
    monkeypatch.setattr(sys, "argv", ["/bin/endpoint"])  # the endpoint's command wants a path there
    from globus_compute_endpoint.cli import app

    def is_file_or_module(arguments: list[str]) -> bool:
        kind, *rest = arguments
        return kind == "-c" or (
            importlib.util.find_spec(rest[0]) is not None if kind == "-m" else (ROOT / kind).is_file()
        )

    def installs(arguments: list[str]) -> bool:
        named = re.findall(r"\[([^]]*)\]", " ".join(arguments))
        return arguments[0] == "install" and {extra for each in named for extra in each.split(",")} <= extras

    def starts_endpoint(arguments: list[str]) -> bool:
        command = app.commands[arguments[0]]
        return bool(command.make_parser(click.Context(command)).parse_args(arguments[1:]))

    return {
        "make": lambda arguments: all(target in targets for target in arguments if "=" not in target),
        "pip": installs,
        "python": is_file_or_module,
        "rhapsody-parsl": lambda arguments: bool(main.parser().parse_args(arguments)),
        "rhapsody-globus-compute-endpoint": starts_endpoint,
        "pytest": lambda arguments: (ROOT / arguments[0]).is_file(),
        "tools/rabbitmq.sh": lambda arguments: not arguments and (ROOT / "tools" / "rabbitmq.sh").is_file(),
    }


def test_readme_shows_the_first_script() -> None:
    script = (ROOT / "examples" / "first_script.py").read_text().partition('"""\n\n')[2]
    assert examples(ROOT / "README.md") == [script]


def test_the_page_shows_the_runtime_that_is_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    monkeypatch.delitem(sys.modules, "add_a_runtime", raising=False)  # its name is known by the import
    shown, used = examples(ROOT / "docs" / "runtimes" / "add_a_runtime.md")
    assert shown == (ROOT / "examples" / "add_a_runtime.py").read_text()
    exec(used, {"__name__": "page"})  # noqa: S102 - ours


def test_the_page_shows_the_order_that_is_tested() -> None:
    folder = ROOT / "examples" / "order"
    shown = [(folder / name).read_text() for name in ("shortest.py", "campaign.py")]
    assert examples(ROOT / "docs" / "scheduling.md") == shown


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!http)([^)#]+)", page.read_text())
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_are_those_of_the_programs(page: Path, known: dict[str, Callable[[list[str]], bool]]) -> None:
    given = [command for command in commands(page) if command[0] not in OF_THE_SYSTEM]
    wrong = [" ".join(command) for command in given if not known[command[0]](command[1:])]
    assert not wrong


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem != "add_a_runtime"], ids=named)  # it is a file
def test_examples_fit_the_page(page: Path) -> None:
    lines = [
        line
        for language in ("python", "bash", "yaml")
        for each in examples(page, language)
        for line in each.splitlines()
    ]
    assert not [line for line in lines if len(line) > WIDTH]


def rows(page: Path) -> dict[str, str]:
    """Return the second cells of the rows of a page's tables that open with a word in code, by that word."""
    return dict(re.findall(r"^\| `(\w+)`[^|]*\| ([^|]*) ?\|", page.read_text(), re.MULTILINE))


@pytest.mark.parametrize(("page", "kind"), SETTINGS.items())
def test_every_setting_is_on_its_page_with_its_default(page: str, kind: type[msgspec.Struct]) -> None:
    shown = rows(ROOT / "docs" / f"{page}.md")
    for field in msgspec.structs.fields(kind):
        assert field.name in shown
        if isinstance(field.default, int | float) and field.default > 0:  # 0 and -1 stand for something else
            assert shown[field.name].startswith(f"{field.default:g}"), field.name


@pytest.mark.parametrize("part", [annotations.Dragon, annotations.MPI, annotations.Policy])
def test_every_key_is_on_the_page_of_annotations(part: type[Any]) -> None:
    page = (ROOT / "docs" / "annotations.md").read_text()
    assert not [field.name for field in dataclasses.fields(part) if f"`{field.name}`" not in page]


def test_every_error_is_on_the_errors_page() -> None:
    roots = {"RhapsodyError", "LostTask"}
    shown = rows(ROOT / "docs" / "errors.md")
    public = {name for name in errors.__all__ if isinstance(getattr(errors, name), type)}
    assert public - roots <= shown.keys()


def test_a_subject_can_be_made_as_contributors_are_told() -> None:
    (example,) = examples(ROOT / "CONTRIBUTING.md")
    subject = eval(example, {"Subject": Subject, "Mine": object})  # noqa: S307 - ours
    assert (subject.id, subject.keys) == ("mine", {"cores": 1})


class _Endpoint(globus_compute_sdk.Executor):
    """An SDK's executor that asks no web service."""

    resource_specification: Any = None
    user_endpoint_config: Any = None

    def __init__(self, _: str) -> None:
        pass


@pytest.mark.dragon
def test_a_config_with_an_endpoint_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(globus_compute_sdk, "Executor", _Endpoint)
    (example,) = examples(GLOBUS)
    names: dict[str, Any] = {"__name__": "page"}
    exec(example, names)  # noqa: S102 - ours
    assert [executor.label for executor in names["config"].executors] == ["here", "there"]


def test_the_engine_in_the_template_can_be_made() -> None:
    (text,) = examples(GLOBUS, "yaml")
    settings = yaml.safe_load(text)["engine"]
    assert settings.pop("type") == "RhapsodyEngine"
    provider = settings.pop("provider")
    assert provider.pop("type") == "SlurmProvider"
    assert provider.pop("launcher") == {"type": "SimpleLauncher"}
    engine = RhapsodyEngine(provider=SlurmProvider(**provider, launcher=SimpleLauncher()), **settings)
    assert [*settings["runtimes"]] == ["dragon", "mpi"]
    assert [service.name for service in engine.executor.services.configs] == ["assistant", "cache"]
