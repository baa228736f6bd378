"""How apps and the front door share the places of a replica."""

import pytest

from rhapsody_parsl.services.places import most_of


@pytest.mark.parametrize(("places", "others", "most"), [
    (256, 0, 256), (256, 100, 156), (256, 128, 128), (256, 250, 128), (5, 4, 3), (1, 1, 1), (1, 0, 1),
])  # fmt: skip
def test_one_side_has_what_the_other_leaves_and_half_at_least(places: int, others: int, most: int) -> None:
    assert most_of(places, others) == most


@pytest.mark.parametrize("apps", [0, 7, 16])
def test_whoever_had_all_gives_the_half_as_its_requests_end(apps: int) -> None:
    places, door = 16, 0
    for _ in range(3 * places):
        door += door < most_of(places, apps)
        apps -= apps > most_of(places, door)
        assert apps + door <= 1.5 * places
    assert (apps + door, door) == (places, places - apps)
