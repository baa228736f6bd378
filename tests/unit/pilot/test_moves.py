"""Which value moves next, from which host to which."""

from collections import Counter

from rhapsody_parsl.agents.words import NOT_THERE, UNREACHABLE
from rhapsody_parsl.pilot.moves import Move, Moves


def test_a_broadcast_goes_to_all_at_once_and_no_host_sends_it_to_more_than_two() -> None:
    moves: Moves[int] = Moves()
    moves.has("v", 0)
    for host in range(1, 64):
        moves.want("v", host)
        moves.want("v", host)
    under_way = moves.start()
    assert sorted(move.target for move in under_way) == list(range(1, 64))
    assert max(Counter(move.source for move in under_way).values()) == 2
    depth = {0: 0}
    for move in under_way:
        depth[move.target] = depth[move.source] + 1
    assert max(depth.values()) == 6, "a tree"
    for move in under_way:
        moves.want("v", move.target)
        assert moves.ended(move.number) == move
    assert (moves.start(), sorted(moves.holders("v"))) == ([], list(range(64)))


def tree() -> tuple[Moves[str], list[Move[str]]]:
    """Return moves of a value that all are under way: from a to b and c, and from b to d."""
    moves: Moves[str] = Moves()
    moves.has("v", "a")
    for host in "bcd":
        moves.want("v", host)
    return moves, moves.start()


def ways(moves: list[Move[str]]) -> list[str]:
    return [f"{move.source}{'>' if move.direct else '-'}{move.target}" for move in moves]


def test_who_is_about_to_have_a_value_does_not_have_it_from_those_to_whom_it_gives_it_on() -> None:
    moves, before = tree()
    assert ways(before) == ["a>b", "a>c", "b>d"]
    moves.lost("a")
    assert ways(moves.start()) == ["d>c"]
    assert moves.hopeless() == [("v", "b")]
    assert [moves.ended(move.number) for move in before] == [None, None, before[2]]


def test_who_cannot_give_on_what_comes_is_asked_again_once_it_is_there() -> None:
    moves, (to_b, _, to_d) = tree()
    moves.ended(to_d.number, NOT_THERE)
    (again,) = moves.start()
    assert ways([again]) == ["c>d"]
    moves.ended(again.number, NOT_THERE)
    assert (moves.start(), moves.hopeless()) == ([], [])
    moves.ended(to_b.number)
    assert ways(moves.start()) == ["b>d"]


def test_what_comes_by_the_pilot_or_to_a_host_that_is_not_reached_is_not_given_on() -> None:
    moves, (to_b, _, to_d) = tree()
    moves.ended(to_d.number, UNREACHABLE)
    assert ways(moves.start()) == ["c>d"]
    moves.ended(to_b.number, UNREACHABLE)
    assert ways(moves.start()) == ["a-b"]
    for host in "efgh":
        moves.want("v", host)
    assert ways(moves.start()) == ["c>e", "d>f", "d>g", "e>h"]


def test_hosts_that_do_not_reach_each_other_have_it_by_the_pilot() -> None:
    moves: Moves[str] = Moves()
    moves.has("v", "a")
    moves.want("v", "b")
    (first,) = moves.start()
    assert first.direct
    moves.ended(first.number, UNREACHABLE)
    (second,) = moves.start()
    assert (second.source, second.target, second.direct) == ("a", "b", False)
    assert moves.move(second.number) == second
    assert moves.ended(first.number) is None, "it does not count any more"
    moves.ended(second.number)
    assert moves.holders("v") == ["a", "b"]


def two_that_have_it() -> Moves[str]:
    moves: Moves[str] = Moves()
    for host in ("a", "b"):
        moves.has("v", host)
    moves.want("v", "c")
    return moves


def test_who_is_reached_comes_before_who_gives_least() -> None:
    moves = two_that_have_it()
    (first,) = moves.start()
    moves.ended(first.number, UNREACHABLE)
    assert (ways([first]), ways(moves.start())) == (["a>c"], ["b>c"])


def test_one_who_has_it_no_more_is_not_asked_again() -> None:
    moves = two_that_have_it()
    (move,) = moves.start()
    moves.ended(move.number, NOT_THERE)
    (other,) = moves.start()
    assert {move.source, other.source} == {"a", "b"}
    moves.ended(other.number, NOT_THERE)
    assert moves.start() == []
    assert moves.hopeless() == [("v", "c")]
    assert moves.hopeless() == []


def test_a_host_without_room_is_told_and_the_others_have_it() -> None:
    moves: Moves[str] = Moves()
    moves.has("v", "a")
    moves.want("v", "b")
    (move,) = moves.start()
    assert moves.ended(move.number, "No space left on device") == move
    assert (moves.start(), moves.hopeless(), moves.holders("v")) == ([], [], ["a"])


def test_who_says_that_it_lacks_a_value_does_not_have_it() -> None:
    moves: Moves[str] = Moves()
    moves.has("v", "a")
    moves.want("v", "a")
    assert moves.start() == []
    assert moves.hopeless() == [("v", "a")]


def test_with_a_host_goes_what_it_alone_had() -> None:
    moves: Moves[str] = Moves()
    for key, hosts in (("alone", "a"), ("both", "ab")):
        for host in hosts:
            moves.has(key, host)
    moves.want("alone", "c")
    moves.want("both", "c")
    moves.want("other", "a")
    before = moves.start()
    assert [move.source for move in before] == ["a", "b"]
    assert moves.lost("a") == ["alone"]
    assert moves.start() == []
    assert moves.hopeless() == [("alone", "c")], "what a lost host wants nobody wants"
    assert [moves.ended(move.number) for move in before] == [None, before[1]]


def test_what_is_dropped_on_its_way_goes_there_too() -> None:
    moves: Moves[str] = Moves()
    moves.has("v", "a")
    moves.want("v", "b")
    (move,) = moves.start()
    assert moves.drop("v") == {"a", "b"}
    assert moves.ended(move.number) is None
    assert moves.hopeless() == [("v", "b")]
