"""The unit tests check annotations at run time where values come from outside: batch systems and providers."""

import importlib.util

import pytest
from typeguard import install_import_hook

install_import_hook(["rhapsody_parsl.cluster", "rhapsody_parsl.providers"])

from rhapsody_parsl import runtime_table  # noqa: E402 - what is to be checked is hooked before any of it is imported

_OF_GLOBUS = ["cli/test_globus.py", "globus_compute", "test_docs.py", "test_hidden_names.py"]
collect_ignore = [] if importlib.util.find_spec("globus_compute_sdk") else _OF_GLOBUS
"""What imports Globus Compute, which works on no Python after 3.13."""


@pytest.fixture(autouse=True)
def only_our_runtimes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the runtimes of others: a test that imports one would else tell all tests after it of its name."""
    monkeypatch.setattr(runtime_table, "_imported", {kind.name: kind for kind in runtime_table.own()})
