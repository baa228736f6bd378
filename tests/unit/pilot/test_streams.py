from rhapsody_parsl.pilot.streams import Streams
from rhapsody_parsl.wire.messages import FromPilot
from rhapsody_parsl.wire.piece_messages import More, Piece, Pieces


def test_what_a_reader_says_goes_to_the_process_that_gave_last() -> None:
    sent, heard = list[FromPilot](), list[tuple[str, int]]()
    streams = Streams(sent.append)
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
