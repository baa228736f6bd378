"""A change of a host reaches the one who acts on it, whenever that one comes."""

from rhapsody_parsl.hosts.changes import HostChanges


def test_what_is_told_before_somebody_listens_is_kept() -> None:
    changes, heard = HostChanges(), list[tuple[str, str]]()
    changes.tell("a", "it was silent for 5 s")
    changes.tell("a", "")
    changes.listen(lambda *change: heard.append(change))
    assert heard == [("a", "it was silent for 5 s"), ("a", "")]
    changes.tell("b", "its connection ended")
    assert heard[2:] == [("b", "its connection ended")]
