"""What all errors have in common, and a request that can never run."""

from typing import Any, Self

from rhapsody_parsl.errors.pages import note_of
from rhapsody_parsl.wording import clip, shown, tellable

__all__ = ("InvalidTask", "RhapsodyError", "UnroutableTask", "rebuilt")


class RhapsodyError(Exception):
    """Base class of all errors of this package; `args` are the facts, `str()` is the sentence.

    Each has a note that names its page of the documentation: Python shows it with the traceback.
    """

    def __new__(cls, *args: Any, **_: Any) -> Self:
        """Make one, with its note; what comes out of a pickle has the notes that went in."""
        error = super().__new__(cls, *args)
        error.add_note(note_of(cls))
        return error

    def __str__(self) -> str:
        """Return the sentence; subclasses override `sentence`."""
        return self.sentence()

    def sentence(self) -> str:
        """Say what happened and what to do about it."""
        return " ".join(str(fact) for fact in self.args)


class InvalidTask(RhapsodyError):
    """A request that can never run as written: key, value, what is allowed, and the remedy.

    The executor raises it as Parsl's `InvalidResourceSpecification`. A value that is long or no plain data is kept as
    its text, so that every error is small and can be sent.
    """

    def __init__(self, key: str, value: Any, problem: str, remedy: str = "") -> None:
        key, value = clip(key), tellable(value)
        Exception.__init__(self, key, value, problem, remedy)  # not super(): a subclass has Parsl's error behind us
        self.key, self.value, self.problem, self.remedy = key, value, problem, remedy

    def sentence(self) -> str:
        """Name key, value, limit and remedy."""
        text = f"{self.key}={shown(self.value)}: {self.problem}"
        return f"{text}. {self.remedy}" if self.remedy else f"{text}."


class UnroutableTask(InvalidTask):
    """No configured runtime of the block can ever take the task; `problem` lists the reason of each."""


def rebuilt(name: str, facts: list[Any]) -> RhapsodyError:
    """Return an error of what travels of it.

    Args:
        name: Class name; an unknown one (a newer peer) becomes the root class, facts kept.
        facts: Constructor arguments.
    """
    kinds = [RhapsodyError]
    for kind in kinds:
        if kind.__name__ == name:
            return kind(*facts)
        kinds += kind.__subclasses__()
    return RhapsodyError(name, *facts)
