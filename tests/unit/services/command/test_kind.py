"""What a command is started with: blanks, secrets, GPUs."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rhapsody_parsl.errors import ServiceFailed
from rhapsody_parsl.in_block.context import Node, Placed
from rhapsody_parsl.ready_word import function_in, way_of
from rhapsody_parsl.service_config import CommandService
from rhapsody_parsl.services.command.kind import CommandKind
from rhapsody_parsl.services.command.settings import CommandSettings
from rhapsody_parsl.services.settings import Settings
from rhapsody_parsl.wire.leases import Share
from rhapsody_parsl.wire.messages import ServiceFacts
from testing.nodes import make_context

NODE = Node(name="n0", host="here", cores=(0, 1), real_cores=(0, 1), gpus=("7", "8"), gpu_vendor="nvidia")
FOLDER = Path("/private/x")
SECRET = "a-word"  # noqa: S105 - no secret
SETTINGS = Settings(
    name="s", endpoint="ipc://x", peer="s-0/1", host="0.0.0.0", public_host="a", port=5, secret=SECRET  # noqa: S104 - as services do
)  # fmt: skip


def kind_of(command: Any = ("serve", "{host}:{port}"), **fields: Any) -> CommandKind:
    events: Any = None
    context = make_context(FOLDER, events, NODE, python="python")
    return CommandKind(CommandService("s", command, **fields), context)


def settings_of(kind: CommandKind) -> CommandSettings:
    files = kind.command(SETTINGS, None, FOLDER).files
    return msgspec.json.decode(files["/private/x/settings.json"], type=CommandSettings)


def test_the_blanks_are_filled_in() -> None:
    told = settings_of(kind_of("serve {host}:{port} --name {name} '{\"a\": 1}' {secret_file}"))
    assert told.filled(9) == ["serve", "0.0.0.0:9", "--name", "s", '{"a": 1}', "/private/x/secret"]


def test_a_command_over_several_nodes_is_told_their_hosts() -> None:
    kind = kind_of(("serve", "--on", "{hosts}"), nodes=2, env={"HOSTS": "{hosts}"})
    program = kind.command(msgspec.structs.replace(SETTINGS, hosts=("a", "b")), None, FOLDER)
    told = msgspec.json.decode(program.files["/private/x/settings.json"], type=CommandSettings)
    assert told.filled(1) == ["serve", "--on", "a,b"]
    assert program.env["HOSTS"] == "a,b"


def test_a_secret_is_in_a_private_file_and_in_variables_that_ask_for_it_and_nowhere_else() -> None:
    program = kind_of(("serve", "{secret_file}"), env={"PASSWORD": "x{secret}", "AT": "{secret_file}"}).command(
        SETTINGS, None, FOLDER
    )
    assert program.files["/private/x/secret"] == SECRET
    assert (program.env["PASSWORD"], program.env["AT"]) == (f"x{SECRET}", "/private/x/secret")
    assert SECRET not in program.files["/private/x/settings.json"]
    assert SECRET not in " ".join(program.argv)
    bare = kind_of(env={"A": "b"}).command(SETTINGS, None, FOLDER)
    assert list(bare.files) == ["/private/x/settings.json"]
    assert not any(value and SECRET in value for value in bare.env.values())


def test_tasks_are_told_a_secret_only_where_one_is_asked_for() -> None:
    assert kind_of().address(ServiceFacts("tcp://a:1", "", 1), SECRET) == {}
    assert kind_of(("serve", "{secret_file}")).address(ServiceFacts("tcp://a:1", "", 1), SECRET) == {"secret": SECRET}


def test_a_port_of_the_users_is_taken_whatever_was_before() -> None:
    assert (settings_of(kind_of()).port, settings_of(kind_of()).fixed_port) == (5, False)
    assert (settings_of(kind_of(port=6379)).port, settings_of(kind_of(port=6379)).fixed_port) == (6379, True)


def test_a_function_that_says_when_it_is_ready_travels_as_text() -> None:
    told = settings_of(kind_of(ready=lambda host, port: (host, port), health=2, health_failures=5))
    name, function = function_in(way_of(told.ready)[1])
    assert (name, function("h", 1)) == ("<lambda>", ("h", 1))
    assert (told.health, told.health_failures) == (2, 5)


def test_it_sees_the_gpus_of_its_lease_and_no_others() -> None:
    part = Placed(NODE, Share("n0", (0,), (1,)))
    assert kind_of(gpus=1).command(SETTINGS, part, FOLDER).env["CUDA_VISIBLE_DEVICES"] == "8"
    assert kind_of(cores=0).command(SETTINGS, None, FOLDER).env["CUDA_VISIBLE_DEVICES"] == ""


def test_time_to_stop_is_given_before_it_is_killed() -> None:
    assert kind_of(stop_timeout=7).command(SETTINGS, None, FOLDER).grace > 7


def test_a_program_is_looked_for_where_the_command_will_look(tmp_path: Path) -> None:
    (tmp_path / "own-server").write_text("#!/bin/sh\n")
    (tmp_path / "own-server").chmod(0o755)
    asyncio.run(kind_of((sys.executable,)).check())
    asyncio.run(kind_of("own-server", env={"PATH": str(tmp_path)}).check())
    with pytest.raises(ServiceFailed, match="command='own-server': no such program on the block"):
        asyncio.run(kind_of("own-server").check())
