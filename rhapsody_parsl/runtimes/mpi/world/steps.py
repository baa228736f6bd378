"""The ranks of a gang whose function is a generator go step by step: the first rank says whether there is another."""

from collections.abc import Callable

from mpi4py import MPI

from rhapsody_parsl.worker.flow import Flow

__all__ = ("Steps",)


class Steps(Flow):
    """The flow of one rank. What the first rank waits for, and when it ends, all do.

    A rank that fails says nothing here: whoever waits for it is ended, as in any function of a gang.

    Args:
        make: Makes a communicator that the function has not touched, on all ranks of the gang at once.
    """

    def __init__(self, make: Callable[[], MPI.Intracomm]) -> None:
        super().__init__()
        self._make = make
        self._comm: MPI.Intracomm | None = None
        self._goes_on = True

    def agree(self, go: bool) -> bool:
        """Return what the first rank says, to each by itself: some MPIs make a file in memory for a broadcast.

        Such a file stays when the ranks are killed meanwhile, because one of them has failed.
        """
        self._comm = self._comm or self._make()
        word = bytearray([go])
        if self._comm.Get_rank() == 0:
            for rank in range(1, self._comm.Get_size()):
                self._comm.Send(word, rank)
        else:
            self._comm.Recv(word, 0)
        self._goes_on = bool(word[0])
        return self._goes_on

    def over(self) -> None:
        """This rank's generator has ended: the first rank ends all, another one waits for that."""
        if self._comm is None:
            return
        while self._goes_on:
            self.agree(self._comm.Get_rank() != 0)
        self._comm.Free()
