import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rhapsody_parsl.wire.malformed import MalformedFrame
from rhapsody_parsl.wire.session import Session


class Lines(RuleBasedStateMachine):
    """Two ends and a line that loses frames and is cut, but keeps their order, as a ZeroMQ connection does."""

    def __init__(self) -> None:
        super().__init__()
        self.ends = {"a": Session(), "b": Session()}
        self.line: dict[str, list[list[bytes]]] = {"a": [], "b": []}  # on the way to that end
        self.sent: dict[str, list[bytes]] = {"a": [], "b": []}
        self.got: dict[str, list[bytes]] = {"a": [], "b": []}

    @rule(end=st.sampled_from("ab"), size=st.sampled_from([0, 1, 200_000]))
    def send(self, end: str, size: int) -> None:
        body = str(len(self.sent[end])).encode().ljust(size, b".")
        self.sent[end].append(body)
        self.line[other(end)].append(self.ends[end].send([body]))

    @rule(end=st.sampled_from("ab"))
    def beat(self, end: str) -> None:
        self.line[other(end)].append(self.ends[end].beat())

    @rule(end=st.sampled_from("ab"), count=st.integers(1, 5))
    def arrive(self, end: str, count: int) -> None:
        for _ in range(min(count, len(self.line[end]))):
            self.take(end)

    @rule(end=st.sampled_from("ab"), data=st.data())
    def lose_one(self, end: str, data: st.DataObject) -> None:
        if self.line[end]:
            self.line[end].pop(data.draw(st.integers(0, len(self.line[end]) - 1)))

    @rule()
    def cut(self) -> None:
        self.line = {"a": [], "b": []}

    @invariant()
    def nothing_twice_and_in_order(self) -> None:
        for end in "ab":
            assert self.got[end] == self.sent[other(end)][: len(self.got[end])]

    def teardown(self) -> None:
        """Once the line holds, two heartbeats bring everything."""
        for _ in range(2):
            for end in "ab":
                self.beat(end)
            while self.line["a"] or self.line["b"]:
                for end in "ab":
                    if self.line[end]:
                        self.take(end)
        assert self.got == {"a": self.sent["b"], "b": self.sent["a"]}
        assert [end.unconfirmed for end in self.ends.values()] == [0, 0]

    def take(self, end: str) -> None:
        session = self.ends[end]
        self.got[end] += [body[0] for body in session.receive(self.line[end].pop(0))]
        self.line[other(end)] += session.replies
        session.replies.clear()


def other(end: str) -> str:
    return "b" if end == "a" else "a"


TestLines = Lines.TestCase
TestLines.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("frames", [[], [b""], [b"short"], [b"x" * 17, b"body"]])
def test_a_stranger_is_noticed(frames: list[bytes]) -> None:
    with pytest.raises(MalformedFrame):
        Session().receive(frames)


def test_much_data_is_confirmed_without_waiting_for_a_heartbeat() -> None:
    one, two = Session(), Session()
    for _ in range(10):
        two.receive(one.send([b"x" * 100_000]))
    for reply in two.replies:
        one.receive(reply)
    assert one.unconfirmed < 5


def test_it_is_known_whether_a_message_was_confirmed() -> None:
    one, two = Session(), Session()
    assert one.has_confirmed(one.sent)
    first, second = one.send([b"x"]), one.send([b"y"])
    two.receive(first)
    one.receive(two.beat())
    assert (one.has_confirmed(1), one.has_confirmed(one.sent)) == (True, False)
    two.receive(second)
    one.receive(two.beat())
    assert one.has_confirmed(one.sent)


def test_a_peer_that_confirms_what_was_never_sent_is_noticed() -> None:
    one, two = Session(), Session()
    two.receive(one.send([b"x"]))
    one.receive(two.beat())
    two.receive(one.send([b"y"]))
    with pytest.raises(MalformedFrame, match="was confirmed"):
        Session().receive(two.beat())
