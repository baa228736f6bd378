"""Services that are any command with a port: tasks find them, they come back, and what is wrong with one is told."""

import json
import os
import signal
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import parsl
import psutil
import pytest
from parsl import Config, bash_app, python_app
from parsl.providers import LocalProvider

import rhapsody_parsl
from rhapsody_parsl import CommandService, LocalRuntime, RhapsodyExecutor
from rhapsody_parsl.errors import InvalidTask, ServiceFailed, ServiceNotFound
from testing import leaks
from testing.small_server import COMMAND
from testing.waiting import until

TIMEOUT = 60


@python_app
def found(name: str) -> dict[str, Any]:
    service = rhapsody_parsl.service(name)
    return {"url": service.url, "host": service.host, "port": service.port, "secret": service.secret}


@python_app
def fetched(name: str, path: str = "/") -> Any:
    import json
    import urllib.request

    with urllib.request.urlopen(rhapsody_parsl.service(name).url + path) as answer:  # noqa: S310 - our own
        return json.load(answer)


@bash_app
def shell(command: str, stdout: str) -> str:
    return command


def answers(host: str, port: int) -> bool:
    import urllib.request

    with urllib.request.urlopen(f"http://{host}:{port}/", timeout=2) as answer:
        return bool(answer.status == 200)


def doubts(host: str, port: int) -> bool:
    raise LookupError(f"no table in {host}")


@pytest.fixture(scope="module")
def end(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("end") / "end"


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory, end: Path) -> Iterator[RhapsodyExecutor]:
    folder = tmp_path_factory.mktemp("commands")
    wrong = ("sh", "-c", "echo no such table; exit 7")
    services = [
        CommandService("web", COMMAND, ready="http:/", env={"SMALL_SERVER_END": str(end)}, stop_signal="SIGINT"),
        CommandService("slow-one", (*COMMAND, "1"), ready=r"log:^listening on \d+$", cores=0),
        CommandService("guarded", (*COMMAND, "0", "{name}", "{secret_file}"), env={"PASSWORD": "{secret}"}, cores=0),
        CommandService("pair", COMMAND, cores=0, replicas=2, restarts=1),
        CommandService("wrong", wrong, cores=0),
        CommandService("absent", "no-such-program --port {port}", cores=0),
        CommandService("large", COMMAND, cores=10_000),
        CommandService("never", COMMAND, ready="http:/nothing", cores=0, startup_timeout=15),
        CommandService("asked", COMMAND, ready=answers, cores=0, health=0.2, health_failures=2, stop_timeout=1),
        CommandService("doubted", COMMAND, ready=doubts, cores=0, startup_timeout=15),
    ]
    made = RhapsodyExecutor(
        label="commands",
        runtimes=[LocalRuntime()],
        services=services,
        provider=LocalProvider(init_blocks=1, max_blocks=1),
        cores_per_node=4,
    )
    config = Config(executors=[made], run_dir=str(folder), strategy="none", usage_tracking=0, initialize_logging=False)
    with leaks.watch(), parsl.load(config):
        expected = {
            "ready": {"web", "slow-one", "guarded", "pair", "asked"},
            "failed": {"wrong", "absent", "large", "never", "doubted"},
        }
        until(lambda: {state: names_in(made, state) for state in expected} == expected, TIMEOUT)
        yield made
    assert end.read_text() == "in order"


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """Watch the module instead of each test (in `executor`): servers come and go."""


def described(executor: RhapsodyExecutor) -> dict[str, dict[str, Any]]:
    return {service["name"]: service for block in executor.snapshot()["blocks"] for service in block["services"]}


def names_in(executor: RhapsodyExecutor, state: str) -> set[str]:
    return {name for name, service in described(executor).items() if service["state"] == state}


def pid_at(url: str) -> int:
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - our own
        return int(json.load(answer)["pid"])


def killed(url: str) -> int:
    """Wait for its end too: a process that was told to die still answers for some milliseconds."""
    process = psutil.Process(pid_at(url))
    process.kill()
    process.wait(TIMEOUT)
    return process.pid


def test_a_task_finds_host_and_port(executor: RhapsodyExecutor) -> None:
    address = found("web").result(TIMEOUT)
    assert address["url"] == f"http://127.0.0.1:{address['port']}" == described(executor)["web"]["url"]
    assert (address["host"], address["secret"]) == ("127.0.0.1", "")
    assert fetched("web").result(TIMEOUT)["argv"] == ["127.0.0.1", str(address["port"])]


def test_bash_finds_it_by_variables(executor: RhapsodyExecutor, tmp_path: Path) -> None:
    command = "echo $RHAPSODY_SERVICE_SLOW_ONE_URL $RHAPSODY_SERVICE_SLOW_ONE_HOST $RHAPSODY_SERVICE_SLOW_ONE_PORT"
    shell(command, stdout=str(tmp_path / "out")).result(TIMEOUT)
    address = found("slow-one").result(TIMEOUT)
    assert (tmp_path / "out").read_text().split() == [address["url"], "127.0.0.1", str(address["port"])]
    assert address["url"] == f"tcp://127.0.0.1:{address['port']}"
    with socket.create_connection((address["host"], address["port"]), TIMEOUT):
        pass


def test_a_secret_goes_by_variable_or_file_and_stands_in_no_command_line_and_no_log(executor: RhapsodyExecutor) -> None:
    address = found("guarded").result(TIMEOUT)
    with urllib.request.urlopen(f"http://127.0.0.1:{address['port']}") as answer:
        told = json.load(answer)
    assert len(address["secret"]) > 20
    assert told["password"] == address["secret"]
    name, secret_file = told["argv"][-2:]
    assert name == "guarded"
    assert Path(secret_file).read_text() == address["secret"]
    assert Path(secret_file).stat().st_mode & 0o077 == 0
    lines = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    assert not any(address["secret"] in line for line in lines)
    logs = [path.read_text(errors="replace") for path in Path(executor.run_dir).rglob("*.log")]
    assert logs
    assert not any(address["secret"] in text for text in logs)


def test_a_server_that_is_killed_comes_back_on_its_port(executor: RhapsodyExecutor) -> None:
    before = found("web").result(TIMEOUT)
    old = killed(before["url"])
    until(lambda: _answers(before["url"]), TIMEOUT)
    assert pid_at(before["url"]) != old
    until(lambda: described(executor)["web"]["state"] == "ready", TIMEOUT)
    assert found("web").result(TIMEOUT) == before


def test_a_server_that_answers_no_more_is_replaced(executor: RhapsodyExecutor) -> None:
    url = described(executor)["asked"]["url"].replace("tcp", "http")
    frozen = pid_at(url)
    os.kill(frozen, signal.SIGSTOP)
    told = until(lambda: described(executor)["asked"]["detail"], TIMEOUT)
    assert "it was unwell 2 times in a row (health=0.2 s, health_failures=2): ready=answers raised TimeoutError" in told
    until(lambda: described(executor)["asked"]["state"] == "ready", TIMEOUT)
    assert pid_at(url) != frozen
    assert not psutil.pid_exists(frozen)


def test_restarts_that_are_used_up_are_told(executor: RhapsodyExecutor) -> None:
    """The other replica serves on."""
    first = described(executor)["pair"]["url"].replace("tcp", "http")
    for _ in range(2):
        until(lambda: described(executor)["pair"]["ready"] == 2, TIMEOUT)
        killed(first)
        until(lambda: described(executor)["pair"]["ready"] == 1, TIMEOUT)
    other = described(executor)["pair"]["url"]
    assert other
    assert other.replace("tcp", "http") != first
    assert not _answers(first)
    assert found("pair").result(TIMEOUT)["url"] == other


def _answers(url: str) -> bool:
    try:
        return pid_at(url) > 0
    except OSError:
        return False


@pytest.mark.parametrize(
    ("name", "sentences"),
    [
        ("wrong", ["the command sh left with exit code 7 (the whole log is", "The end of its log: ", "no such table"]),
        ("absent", ["command='no-such-program': no such program on the block"]),
        ("large", ["the block has no room left for replica 0 (10000 cores)"]),
        (
            "never",
            [
                "no answer within startup_timeout=15 s (ready='http:/nothing')",
                "GET /nothing is answered with status 404",
            ],
        ),
        (
            "doubted",
            ["no answer within startup_timeout=15 s (ready=doubts)", "ready=doubts raised LookupError: no table in "],
        ),
    ],
)
def test_a_task_that_looks_for_a_service_that_failed_is_told_why(
    executor: RhapsodyExecutor, name: str, sentences: list[str]
) -> None:
    error = found(name).exception(TIMEOUT)
    assert isinstance(error, ServiceFailed)
    for sentence in (f"Service '{name}' is not available: ", *sentences):
        assert sentence in str(error)
        assert sentence in described(executor)[name]["detail"]


def test_a_name_that_is_none_names_those_that_are_ready(executor: RhapsodyExecutor) -> None:
    error = found("wbe").exception(TIMEOUT)
    assert isinstance(error, ServiceNotFound)
    assert "ready in this block are asked, guarded, pair, slow-one, web" in str(error)


def test_a_prompt_for_a_command_is_refused_at_once(executor: RhapsodyExecutor) -> None:
    with pytest.raises(InvalidTask) as caught:
        executor.submit(str, {"service": "web"}, "a prompt")
    assert str(caught.value) == (
        "service='web': it is a CommandService, which answers no prompts. "
        "Leave service out, and ask it from within the task: rhapsody_parsl.service('web').url"
    )


def test_a_lease_is_in_the_record(executor: RhapsodyExecutor) -> None:
    (record,) = [record for record in executor.timeline() if record["name"] == "service web[0]"]
    assert (record["runtime"], len(record["cores"])) == ("command", 1)


@pytest.mark.usefixtures("elsewhere")
def test_a_port_that_is_taken_is_named(executor: RhapsodyExecutor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        service = CommandService("fixed", COMMAND, port=port, cores=0)
        with RhapsodyExecutor("taken", runtimes=[LocalRuntime()], services=[service], cores_per_node=1) as block:
            until(lambda: names_in(block, "failed") == {"fixed"}, TIMEOUT)
            assert f"port={port} is taken on" in described(block)["fixed"]["detail"]


@pytest.mark.usefixtures("elsewhere")
def test_a_command_over_two_nodes_holds_both_and_knows_their_hosts() -> None:
    wide = CommandService("wide", (*COMMAND, "0", "{hosts}"), ready="http:/", nodes=2, cores=2)
    options: dict[str, Any] = {"declared_nodes": 2, "cores_per_node": 3}
    with RhapsodyExecutor("wide", runtimes=[LocalRuntime()], services=[wide], **options) as block:
        block.services["wide"].wait_ready(TIMEOUT)
        told = block.submit(fetched.func, {}, "wide").result(TIMEOUT)  # type: ignore[attr-defined]  # Parsl's app
        assert described(block)["wide"]["cores"] == 4
    first, second = told["argv"][-1].split(",")
    assert first == second, "declared nodes share a host"
