"""An agent that tasks ask where to look next, and that survives its process: `python examples/mailbox_agent.py`."""

import os
import signal

import parsl
from parsl import Config, python_app

from rhapsody_parsl import Agent, LocalRuntime, RhapsodyExecutor, annotate


@annotate(Agent(cores=0))  # it waits for messages most of the time, so it takes no core from tasks
class Search:
    """Narrows an interval to where the values are lowest; its methods are called by messages."""

    def __init__(self, low, high):
        self.low, self.high, self.tried = low, high, {}

    def suggest(self, number):
        """Return a point for somebody to try."""
        return self.low + (self.high - self.low) * number / 9

    def report(self, point, value):
        """Take in what somebody has found."""
        self.tried[point] = value

    def narrow(self):
        """Look closer at the best point from now on; return it."""
        best = min(self.tried, key=lambda point: self.tried[point])
        quarter = (self.high - self.low) / 4
        self.low, self.high = best - quarter, best + quarter
        return best

    def process(self):
        """Return which process this is."""
        import os  # noqa: PLC0415 - the class travels without its script

        return os.getpid()

    def checkpoint(self):
        """Return what is to be kept; called after each message, before its answer leaves."""
        return self.low, self.high, self.tried

    def restore(self, state):
        """Be as the last process was; called in the next one."""
        self.low, self.high, self.tried = state


@python_app
def measure(search, number):
    point = search.ask("suggest", number).result()  # answered in the block: the driver is not asked
    search.ask("report", point, (point - 3) ** 2).result()


if __name__ == "__main__":
    executor = RhapsodyExecutor(runtimes=[LocalRuntime()])
    with parsl.load(Config(executors=[executor])):
        search = executor.start_agent(Search, 0.0, 9.0, name="search")
        best = None
        for turn in range(4):
            for measured in [measure(search, number) for number in range(10)]:
                measured.result()
            if turn == 1:
                os.kill(search.ask("process").result(), signal.SIGKILL)  # it starts again, where it was
            best = search.ask("narrow").result()
        print(f"40 points tried, the best at {best:.1f}")
