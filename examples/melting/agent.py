"""The agent that steers: it asks the model at the block's front door, as any agent framework would."""

import socket
import time
from typing import TYPE_CHECKING, Any

from melting.pictures import Record
from melting.prompts import Message

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = ("Agent",)

LONGEST = 8
"""Tokens of an answer, unless more are asked for."""


class Agent:
    """Asks a model, and notes when it answered: its service holds no counted core, so nobody else does.

    Attributes:
        asked: When it answered, for the timeline.
    """

    def __init__(self, client: "OpenAI", model: str) -> None:
        self._client, self._model = client, model
        self.asked: list[Record] = []

    def ask(self, question: list[Message], keys: dict[str, Any]) -> str:
        """Return the model's answer.

        Args:
            question: Messages.
            keys: Further keys of the request, which hold the answer to a shape.
        """
        began = time.time()
        messages: Any = question
        answer = self._client.chat.completions.create(
            model=self._model, messages=messages, temperature=0.0, extra_body={"max_tokens": LONGEST, **keys}
        )
        self.asked.append(("vllm", "agent", socket.gethostname(), None, began, time.time()))
        return answer.choices[0].message.content or ""
