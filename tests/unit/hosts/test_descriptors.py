"""What each process has open at once; how many it may have is in `test_limits`."""

import pytest

from rhapsody_parsl.hosts import descriptors


@pytest.mark.parametrize("blocks", [0, 1, 10_000])
def test_a_driver_fits_as_many_blocks_as_it_was_given_files_for(blocks: int) -> None:
    files = descriptors.of_driver(blocks)
    assert descriptors.blocks_within(files) == blocks
    assert descriptors.blocks_within(files - 1) == blocks - 1


def test_a_pilot_has_files_for_each_worker_and_each_other_host() -> None:
    alone = descriptors.of_pilot(0, 0)
    assert descriptors.of_pilot(0, 200) - alone == descriptors.of_workers(200)
    assert descriptors.of_pilot(9, 200) > descriptors.of_pilot(0, 200)
    assert descriptors.of_pilot(9, 200, 9) - descriptors.of_pilot(9, 200) == descriptors.of_carriers(9)


def test_a_thousand_hosts_by_one_step_fit_into_the_usual_hard_limits() -> None:
    assert descriptors.of_pilot(1000, 64, 1) <= 1500
    assert descriptors.of_pilot(1000, 64, 1000) > 4096


def test_dragon_has_files_for_a_worker_on_each_core() -> None:
    assert descriptors.of_dragon(64) > descriptors.of_dragon(1) > 40
