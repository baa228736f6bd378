"""An agent does not get a message, or cannot be started."""

from rhapsody_parsl.errors.base import RhapsodyError
from rhapsody_parsl.errors.lost import LostTask

__all__ = ("AgentLost", "AgentNameTaken", "NoAgent", "TooManyAgents")


class NoAgent(RhapsodyError):
    """A message is for an agent that is not there, or has ended."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(name, why)

    def sentence(self) -> str:
        """Name the agent, and say where agents come from."""
        name, why = self.args
        return (
            f"Agent '{name}' gets no message: {why}. Start it by executor.start_agent(...), "
            "or by block().start_agent(...) in a task of the same block. The future of its handle says why it ended."
        )


class AgentLost(LostTask):
    """An agent's process was lost while it was at work on a message."""

    def __init__(self, name: str, times: int) -> None:
        super().__init__(name, times)

    def sentence(self) -> str:
        """Say how often, and what decides."""
        name, times = self.args
        often = "once" if times == 1 else f"{times} times"
        return (
            f"The process of agent '{name}' was lost {often} at this message, which may have had its effect. "
            "The agent starts again from its last checkpoint. "
            "Agent(unanswered='again') delivers such a message a second time, 'fail' does not."
        )


class AgentNameTaken(RhapsodyError):
    """Two agents of one block have one name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)

    def sentence(self) -> str:
        """Name it."""
        return f"There is an agent '{self.args[0]}' already. Stop it first, or choose another name."


class TooManyAgents(RhapsodyError):
    """There are as many agents as there may be."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)

    def sentence(self) -> str:
        """Name the limit and the setting."""
        return (
            f"There are {self.args[0]} agents: RhapsodyExecutor(max_agents={self.args[0]}) is the limit. "
            "Each is a process of its own. Stop some with handle.stop(), or raise it."
        )
