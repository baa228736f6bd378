"""A block's services as tasks and people see them; no process is started."""

import json
from pathlib import Path
from typing import Any

import pytest

from rhapsody_parsl.errors import RhapsodyError, ServiceFailed, ServiceNotFound, ServiceNotReady
from rhapsody_parsl.hosts.ending import Cause
from rhapsody_parsl.in_block.context import Leases, Node, Placed
from rhapsody_parsl.service import ENVIRONMENT_VARIABLE, service
from rhapsody_parsl.service_config import CommandService, ServiceConfig
from rhapsody_parsl.services.protocol import Program
from rhapsody_parsl.services.replica import Replica
from rhapsody_parsl.services.restarts import Death, Unexplained
from rhapsody_parsl.services.service import Service
from rhapsody_parsl.services.services import Services
from rhapsody_parsl.services.settings import Settings
from rhapsody_parsl.wire.leases import Share
from rhapsody_parsl.wire.messages import Done, FromBackend, ServiceFacts
from rhapsody_parsl.wire.reports import ServiceReport
from testing.leases import FakeLeases
from testing.nodes import make_context

NODE = Node(name="n0", host="here", cores=(0, 1), real_cores=(0, 1))


class Events:
    """Hears of services."""

    def __init__(self) -> None:
        self.told: list[ServiceReport] = []

    def services(self, services: Any) -> None:
        self.told = list(services)


class PlainKind:
    """A kind that has what every kind must, and no more."""

    name = what = "plain"

    def __init__(self, config: ServiceConfig) -> None:
        self.config = config

    async def check(self) -> None:
        """All is well."""

    def command(self, settings: Settings, part: Placed | None, folder: Path) -> Program:
        return Program(argv=["true"])

    def address(self, facts: ServiceFacts, secret: str) -> dict[str, str]:
        return {"secret": secret} if facts.model else {}

    def adapt(self, config: ServiceConfig, unload: Any = ()) -> None:
        """Nothing changes."""

    def complaint(self, log: str, reason: str, was_ready: bool) -> str | None:
        return None


class Block:
    """Services whose replicas are ready by the test's word."""

    def __init__(self, *configs: ServiceConfig, leases: Leases | None = None) -> None:
        self.events = Events()
        self.environment: dict[str, str] = {}
        here = Path("/nowhere")
        self.context = make_context(here, self.events, NODE, python="python", environment=self.environment)
        self.services = Services(PlainKind, configs, self.context, leases or FakeLeases())
        self.by_name = {one.name: one for one in self.services}
        self.services._started = True
        for each in self.services:
            each._started = True

    def ready(self, name: str, port: int, model: str = "") -> None:
        replica = self.by_name[name].replicas[0]
        replica.facts = ServiceFacts(f"tcp://here:{port}", model, port)
        replica._set("ready", "")


def test_tasks_find_what_is_ready_by_json_and_by_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    block = Block(*(CommandService(name, "x", cores=0) for name in ("a-b", "c", "d")))
    block.ready("c", 5, "model")
    block.ready("a-b", 4)
    (secret,) = [value for name, value in block.environment.items() if name == "RHAPSODY_SERVICE_C_SECRET"]
    assert len(secret) > 20
    own = {name: value for name, value in block.environment.items() if name.startswith("RHAPSODY_SERVICE_A_B")}
    assert own == {
        "RHAPSODY_SERVICE_A_B_URL": "tcp://here:4",
        "RHAPSODY_SERVICE_A_B_HOST": "here",
        "RHAPSODY_SERVICE_A_B_PORT": "4",
    }
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, block.environment[ENVIRONMENT_VARIABLE])
    found = service("c")
    assert (found.url, found.host, found.port, found.secret) == ("tcp://here:5", "here", 5, secret)
    assert service("a-b").secret == ""
    with pytest.raises(ServiceNotFound, match="ready in this block are a-b, c"):
        service("e")
    with pytest.raises(ServiceNotReady, match="not ready within timeout=0 s"):
        service("d", timeout=0)
    assert not any(secret in str(told) for told in block.events.told)


def test_tasks_are_told_the_error_of_a_service_once_no_replica_will_come(monkeypatch: pytest.MonkeyPatch) -> None:
    block = Block(CommandService("s", "x", cores=0, replicas=2))
    first, second = block.by_name["s"].replicas
    first.give_up(ServiceFailed("s", "it died", "its log"))
    assert json.loads(block.environment[ENVIRONMENT_VARIABLE]) == {"s": {"within": 60}}
    second.give_up(ServiceFailed("s", "it died, too"))
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, block.environment[ENVIRONMENT_VARIABLE])
    with pytest.raises(RhapsodyError) as caught:
        service("s")
    assert type(caught.value) is ServiceFailed
    assert str(caught.value) == "Service 's' is not available: it died. The end of its log: its log"
    second.error = None
    block.ready("s", 1)
    assert json.loads(block.environment[ENVIRONMENT_VARIABLE]) == {"s": {"url": "tcp://here:1"}}


def test_each_replica_borrows_by_the_name_of_its_kind_and_one_without_room_says_what_it_wanted() -> None:
    asked: list[tuple[str, str, int, str]] = []

    def lend(borrower: str, wants: Any, key: str) -> tuple[Placed, ...] | None:
        asked.append((borrower, wants.runtime, wants.resources.cores, key))
        return (Placed(NODE, Share("n0", (0,))),) if len(asked) == 1 else None

    block = Block(CommandService("s", "x", cores=2, memory=1, replicas=2), leases=FakeLeases(lend))
    assert asked == [("service s[0]", "plain", 2, "s"), ("service s[1]", "plain", 2, "s")]
    one, other = block.by_name["s"].replicas
    assert one.error is None
    assert "no room left for replica 1 (2 cores, 1 GB)" in str(other.error)
    assert block.by_name["s"].error is None, "one may still come"


class Ear:
    """A listener."""

    pending = 0

    def __init__(self) -> None:
        self.heard_of: list[str] = []

    def held(self, replica: Replica) -> int:
        return 0

    def keeps(self, replica: Replica) -> bool:
        return False

    def gone(self, replica: Replica) -> None:
        self.heard_of.append("gone")

    def changed(self, replica: Replica) -> None:
        self.heard_of.append(replica.state)

    def died(self, replica: Replica, failure: ServiceFailed, cause: Cause) -> Death:
        return Unexplained(7.0)

    def told(self, answered: bool) -> None:
        """Nothing follows."""

    def heard(self, replica: Replica, message: FromBackend) -> None:
        self.heard_of.append(type(message).__name__)

    def look(self, now: float) -> None:
        """Nothing follows."""


def test_who_gives_work_to_a_service_hears_of_its_replicas() -> None:
    block = Block(CommandService("s", "x", cores=0))
    served: Service = block.by_name["s"]
    replica = served.replicas[0]
    assert served.died(replica, ServiceFailed("s", "why"), "own").unexplained
    with pytest.raises(TypeError, match="a replica of service 's' does not say Done"):
        served.heard(replica, Done(0, []))
    served.listener = ear = Ear()
    block.ready("s", 1)
    served.heard(replica, Done(0, []))
    assert ear.heard_of == ["ready", "Done"]
    assert served.died(replica, ServiceFailed("s", "why"), "own").at == 7
