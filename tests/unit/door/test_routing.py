from collections import Counter

from rhapsody_parsl.door.routing import AFFINITY, Router, Seat
from rhapsody_parsl.wire.door import Route


def router(*names: str, affinity: int = AFFINITY) -> Router:
    made = Router(affinity)
    made.update(Route(name, f"http://{name}/v1") for name in names)
    return made


def chosen(made: Router, *prefix: int, session: str = "", now: float = 0.0) -> Seat:
    seat = made.choose(prefix, session, now)
    assert seat is not None
    return seat


def test_the_one_with_the_least_to_do_is_asked() -> None:
    made = router("a", "b", "c")
    seats = [chosen(made) for _ in range(6)]
    assert sorted(seat.replica for seat in seats) == ["a", "a", "b", "b", "c", "c"]
    made.ended(seats[0])
    assert chosen(made) is seats[0]


def test_a_prompt_goes_where_its_beginning_was_read() -> None:
    made = router("a", "b")
    first = chosen(made, 1, 2, 3)
    other = chosen(made)
    made.ended(other)
    assert other is not first
    assert chosen(made, 1, 2, 9) is first, "though the other has less to do"
    assert chosen(made, 8) is other


def test_the_longest_beginning_that_somebody_has_read_counts() -> None:
    made = router("a", "b")
    short = chosen(made, 1, 7)
    long = chosen(made)
    made.ended(short)
    made.ended(long)
    made._note(long.replica, (1, 2, 3), "")
    assert chosen(made, 1, 2, 4) is long
    assert chosen(made, 1, 7) is short


def test_affinity_is_bounded_so_that_none_is_starved() -> None:
    made = router("a", "b")
    first = chosen(made, 1)
    seats = [chosen(made, 1) for _ in range(100)]
    held = {seat.replica: seat.held for seat in seats}
    assert abs(held["a"] - held["b"]) <= AFFINITY
    assert all(seat is first for seat in seats[: AFFINITY - 1])


def test_without_affinity_only_what_they_have_to_do_counts() -> None:
    made = router("a", "b", affinity=-1)
    assert chosen(made, 1) is not chosen(made, 1)


def test_a_session_stays_with_its_replica_while_that_is_there() -> None:
    made = router("a", "b")
    first = chosen(made, session="s")
    assert all(chosen(made, session="s") is first for _ in range(50))
    made.update([Route(name, "u") for name in ("a", "b") if name != first.replica])
    assert chosen(made, session="s") is not first


def test_who_did_not_answer_is_left_alone_for_a_while() -> None:
    made = router("a")
    seat = chosen(made)
    seat.away_until = 5.0
    assert made.choose((), "", 4.0) is None
    assert not made.reachable(4.0)
    assert chosen(made, now=5.0) is seat
    assert made.reachable(5.0)


def test_a_replica_that_has_as_many_as_it_takes_is_not_asked_for_a_cache_or_a_session() -> None:
    made = router("a", "b")
    made.most = 2
    first = chosen(made, 1, session="s")
    assert chosen(made, 1, session="s") is first
    other = chosen(made, 1, session="s")
    assert other is not first
    assert chosen(made, 1) is other
    assert made.choose((), "", 0.0) is None
    assert made.reachable(0.0)
    made.ended(first)
    assert chosen(made) is first


def test_requests_of_apps_take_places_but_never_more_than_half() -> None:
    made = router("a", "b")
    made.most = 4
    made.share({"a": 1, "b": 9})
    assert Counter(chosen(made).replica for _ in range(5)) == {"a": 3, "b": 2}
    assert made.choose((), "", 0.0) is None
    made.share({})
    assert Counter(chosen(made).replica for _ in range(3)) == {"a": 1, "b": 2}


def test_a_replica_that_leaves_keeps_what_it_has_and_gets_nothing() -> None:
    made = router("a", "b")
    seat = chosen(made)
    made.update([route for route in [Route("a", "u"), Route("b", "u")] if route.replica != seat.replica])
    assert seat.replica not in made
    assert seat in list(made)
    assert all(chosen(made) is not seat for _ in range(9))
    made.ended(seat)
    assert seat not in list(made)
    made.update([])
    assert made.choose((), "", 0.0) is None
    assert made.first() is None


def test_what_a_replica_read_is_forgotten_with_it() -> None:
    made = router("a/1", "b/1")
    reader = chosen(made, 1)
    made.ended(reader)
    made.update([Route("a/2", "u"), Route("b/2", "u")])
    seats = {chosen(made, 1).replica for _ in range(2 * AFFINITY)}
    assert seats == {"a/2", "b/2"}


def test_one_that_is_kept_gets_nothing_and_what_it_has_read_is_not_forgotten() -> None:
    made = router("a", "b")
    first = chosen(made, 1, 2, 3)
    other = chosen(made, 4)
    made.ended(first)
    for kept in (True, False):
        made.update(Route(name, "u", kept=kept and name == first.replica) for name in ("a", "b"))
        assert made.reachable(0.0), "it is there, and busy"
        assert chosen(made, 1, 2, 3) is (other if kept else first)
