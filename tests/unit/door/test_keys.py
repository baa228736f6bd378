import pytest

from rhapsody_parsl.door.keys import Holder, Keys
from rhapsody_parsl.wire.door import DoorKey, hash_of


def holder(requests_per_minute: int = 0, concurrency: int = 0) -> Holder:
    return Holder(DoorKey("ann", "hash", requests_per_minute, concurrency))


def refused(holder: Holder, now: float) -> str:
    refusal = holder.refusal(now)
    assert refusal
    assert refusal.status == 429
    assert refusal.content["error"]["code"] == "rate_limit_exceeded"
    assert "ann" in refusal.content["error"]["message"]
    return refusal.headers["Retry-After"]


def asked(holder: Holder, *times: float) -> None:
    for now in times:
        assert not holder.refusal(now)
        with holder.asking(now):
            pass


def test_only_so_many_requests_begin_within_any_minute() -> None:
    one = holder(requests_per_minute=3)
    asked(one, 0.0, 10.0, 20.0)
    assert refused(one, 20.5) == "40"
    assert refused(one, 59.9) == "1"
    asked(one, 60.0)
    assert refused(one, 60.0) == "10", "what was refused does not count"
    asked(one, 75.0)
    assert refused(one, 75.0) == "5"


def test_only_so_many_requests_are_under_way_at_once() -> None:
    one = holder(concurrency=2)
    with one.asking(0.0), one.asking(0.0):
        assert refused(one, 0.0) == "1"
    with pytest.raises(ZeroDivisionError), one.asking(0.0):
        raise ZeroDivisionError
    assert one.held == 0
    asked(one, *[0.0] * 100)


def test_without_limits_nothing_is_counted_but_what_is_under_way() -> None:
    one = holder()
    asked(one, *[0.0] * 1000)
    assert not one._begun


@pytest.fixture
def keys() -> Keys:
    made = Keys("own")
    made.update([DoorKey("ann", hash_of("hers"), 1), DoorKey("bob", hash_of("his"))])
    return made


def test_a_key_is_known_by_its_hash(keys: Keys) -> None:
    named = {shown: keys.holder(shown) for shown in ("Bearer own", "Bearer hers", "Bearer his")}
    assert [one.key.name for one in named.values() if one] == ["", "ann", "bob"]
    strangers = ["", "hers", "Bearer ", "Bearer hers ", "bearer hers", "Basic hers", "Bearer k\udce9"]
    for shown in (*strangers, f"Bearer {hash_of('hers')}"):
        assert keys.holder(shown) is None


def test_a_key_that_stays_has_asked_what_it_has_asked_and_takes_new_limits(keys: Keys) -> None:
    before = keys.holder("Bearer hers")
    assert before
    asked(before, 0.0)
    keys.update([DoorKey("ann", hash_of("hers"), 1)])
    assert refused(keys.holder("Bearer hers") or before, 1.0) == "59"
    keys.update([DoorKey("ann", hash_of("hers"), 2)])
    asked(keys.holder("Bearer hers") or before, 1.0)


def test_a_key_that_is_removed_is_a_strangers_and_the_blocks_own_never_is(keys: Keys) -> None:
    keys.update([])
    assert keys.holder("Bearer hers") is None
    assert keys.holder("Bearer own")
