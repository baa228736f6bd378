"""What a replica borrows, and near what."""

from collections.abc import Mapping

import pytest

from rhapsody_parsl.service_config import CommandService, ServiceConfig
from rhapsody_parsl.services.borrowing import beside_data, needs
from tests.unit.services.test_services import PlainKind


def asked(config: ServiceConfig) -> list[str]:
    """Return what a replica is to be near, each time that it borrows, while its values go from node to node."""
    lies = iter(("n1", "n2", ""))

    def nearest(values: Mapping[str, int]) -> str:
        assert values == {"7": 10}
        return next(lies)

    wants = needs(PlainKind(config))
    assert wants is not None
    return [beside_data(wants, config, nearest).policy.near for _ in range(3)]


@pytest.mark.parametrize(("near", "told"), [({"7": 10}, ["n1", "n2", ""]), ("fast", ["fast"] * 3), ("", [""] * 3)])
def test_a_replica_that_borrows_is_near_a_label_or_where_its_values_lie_then(
    near: str | dict[str, int], told: list[str]
) -> None:
    assert asked(CommandService("a", "c", near=near)) == told
