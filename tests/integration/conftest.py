"""What several of these modules use."""

from pathlib import Path

import pytest


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in a folder of the test's own: runs leave their `runinfo` where they stand."""
    monkeypatch.chdir(tmp_path)
