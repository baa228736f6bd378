"""Which value moves next, from which host to which."""

from collections import Counter

from rhapsody_parsl.agents.words import NOT_THERE, UNREACHABLE
from rhapsody_parsl.pilot.moves import Moves


def test_a_broadcast_goes_once_to_each_and_no_host_sends_it_to_all() -> None:
    moves: Moves[int] = Moves()
    moves.has("v", 0)
    sent: Counter[int] = Counter()
    rounds = 0
    for host in range(1, 64):
        moves.want("v", host)
        moves.want("v", host)
    while under_way := moves.start():
        rounds += 1
        for move in under_way:
            sent[move.source] += 1
            moves.want("v", move.target)
            assert moves.ended(move.number) == move
    assert sorted(moves.holders("v")) == list(range(64))
    assert sum(sent.values()) == 63
    assert rounds <= 6
    assert max(sent.values()) <= 2 * rounds


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


def test_one_who_has_it_no_more_is_not_asked_again() -> None:
    moves: Moves[str] = Moves()
    for host in ("a", "b"):
        moves.has("v", host)
    moves.want("v", "c")
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
