"""What says that a result stays in the block."""

from typing import Any

import pytest

from rhapsody_parsl.annotations.annotation import parse
from rhapsody_parsl.annotations.references import check_size
from rhapsody_parsl.errors import InvalidTask


@pytest.mark.parametrize(("given", "size"), [
    (0, 0), (12, 12), ("12 B", 12), ("10 MB", 10_000_000), ("1.5GB", 1_500_000_000), (" 1 kB ", 1000),
])  # fmt: skip
def test_sizes(given: Any, size: int) -> None:
    assert check_size("reference_above", given) == size


@pytest.mark.parametrize("given", [-1, True, 1.5, "10", "10 mb", "much", "9" * 20 + " MB", 1 << 61, None])
def test_what_is_no_size_is_refused(given: Any) -> None:
    with pytest.raises(InvalidTask, match="10 MB"):
        check_size("reference_above", given)


def test_a_result_by_reference() -> None:
    spec, _ = parse({"result": "reference", "reference_above": "1 MB"})
    assert (spec.policy.result, spec.policy.reference_above) == ("reference", 1_000_000)


@pytest.mark.parametrize(("keys", "comm"), [
    ({"reference_above": 1}, False),
    ({"result": "value", "reference_above": 1}, False),
    ({"result": "reference", "returns": "all", "num_ranks": 2}, True),
    ({"result": "reference", "output": "text"}, False),
    ({"result": "reference", "service": "model"}, False),
    ({"result": "elsewhere"}, False),
])  # fmt: skip
def test_what_cannot_be_is_refused(keys: dict[str, Any], comm: bool) -> None:
    with pytest.raises(InvalidTask):
        parse(keys, comm=comm)
