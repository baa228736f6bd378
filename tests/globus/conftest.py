"""A whole Globus Compute on this machine: broker, stand-in service, and a place for endpoints, once for all tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from globus_compute_sdk.sdk import executor as sdk

from testing.globus_service import Service, environment, serve
from testing.rabbitmq import SERVER, broker


@pytest.fixture(scope="session")
def user_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of endpoints and of the client's tokens."""
    return tmp_path_factory.mktemp("globus")


@pytest.fixture(scope="session")
def broker_url(user_dir: Path) -> Iterator[str]:
    """Run the broker."""
    if os.geteuid() != 0 and not SERVER.exists():
        pytest.skip("RabbitMQ is missing, and only root can install it: sudo tools/rabbitmq.sh")
    with broker(user_dir / "rabbitmq") as url:
        yield url


@pytest.fixture(scope="session")
def service(user_dir: Path, broker_url: str) -> Iterator[Service]:
    """Run the service over the broker; this process's client speaks to them."""
    with pytest.MonkeyPatch.context() as patch, serve(broker_url) as service:
        for name, value in environment(str(user_dir)).items():
            patch.setenv(name, value)
        yield service
        for watcher in list(sdk._RESULT_WATCHERS.values()):  # they would stay, and the next broker is another
            watcher.shutdown(cancel_futures=True)  # type: ignore[no-untyped-call]  # the SDK's
