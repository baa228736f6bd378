from typing import Any

from rhapsody_parsl.in_block.exchange import Peer
from rhapsody_parsl.pilot.family import Family
from rhapsody_parsl.pilot.streams import Streams
from rhapsody_parsl.wire.messages import FromPilot
from rhapsody_parsl.wire.piece_messages import ChildMore, ChildPieces, More, Piece, Pieces
from testing.nodes import make_spec, make_task


def test_what_a_reader_says_goes_to_the_process_that_gave_last() -> None:
    sent, heard = list[FromPilot](), list[tuple[str, int]]()
    streams = Streams(sent.append, Family())
    piece = Piece(1, 0, b"x")
    streams.more(More(1, 1, 1))  # of a task that has given nothing
    streams.pieces(5, [piece, Piece(2, 0, b"y")], lambda more: heard.append(("first", more.task)))
    streams.pieces(6, [piece], lambda more: heard.append(("second", more.task)))
    assert sent == [Pieces(5, [piece, Piece(2, 0, b"y")]), Pieces(6, [piece])]
    for task in (1, 2):
        streams.more(More(task, 1, 1))
    assert heard == [("second", 1), ("first", 2)]
    streams.ended(5)
    streams.more(More(2, 2, 2))
    assert len(streams) == 1, "the first task is with another run now"
    streams.ended(6, {3})
    streams.ended(6, {1})
    assert (len(streams), len(heard)) == (0, 2)


class Exchange:
    def __init__(self) -> None:
        self.sent: list[tuple[str, Any]] = []

    def send(self, peer: str, message: Any) -> None:
        self.sent.append((peer, message))


def test_pieces_of_a_tasks_task_go_to_its_process_by_its_number_and_back() -> None:
    sent, heard, exchange, family = list[FromPilot](), list[More](), Exchange(), Family()
    peer = Peer(exchange, "p")  # type: ignore[arg-type]  # as one
    (own,) = [task.id for task in family.adopt(7, peer, [make_task(3, make_spec())], keep=True)]
    streams = Streams(sent.append, family)
    streams.pieces(5, [Piece(1, 0, b"x"), Piece(own, 0, b"y")], heard.append)
    assert sent == [Pieces(5, [Piece(1, 0, b"x")])]
    assert exchange.sent == [("p", ChildPieces([Piece(3, 0, b"y")]))]
    streams.child_more(peer, ChildMore(3, 1, 1))
    streams.child_more(peer, ChildMore(4, 1, 1))  # it has ended
    assert heard == [More(own, 1, 1)]
    family.over(7)
    streams.go_on(family.take_released())
    assert heard[-1].taken > 1_000_000
    streams.pieces(5, [Piece(own, 1, b"z")], heard.append)
    assert (len(exchange.sent), len(heard)) == (1, 3), "it goes on without a reader"
    assert family.take_released() == []
