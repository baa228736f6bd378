"""What several of these modules use."""

from collections.abc import Iterator
from pathlib import Path

import parsl
import pytest
from parsl import Config
from parsl.executors import ThreadPoolExecutor


@pytest.fixture
def threads(tmp_path: Path) -> Iterator[None]:
    """Run apps on threads of this process."""
    folder = str(tmp_path / "run")
    with parsl.load(Config([ThreadPoolExecutor()], run_dir=folder, initialize_logging=False, strategy="none")):
        yield
