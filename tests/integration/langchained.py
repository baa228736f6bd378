"""LangChain at the front door of a block with real models: a test for a module that has such a block."""

from typing import Any

import pytest

from rhapsody_parsl import RhapsodyExecutor
from tests.integration.asking import asked


def test_langchain_asks_streams_and_embeds(executor: RhapsodyExecutor) -> None:
    langchain_openai = pytest.importorskip("langchain_openai")
    told: dict[str, Any] = {
        "base_url": executor.openai_url(), "api_key": executor.openai_key, "max_retries": 0, "timeout": 60,
    }  # fmt: skip
    chat = langchain_openai.ChatOpenAI(
        model="tiny", temperature=0, max_completion_tokens=40, extra_body={"ignore_eos": True}, **told
    )
    whole = chat.invoke("hi")
    assert whole.usage_metadata["output_tokens"] == 40
    pieces = [str(piece.content) for piece in chat.stream("hi")]
    assert "".join(pieces) == whole.content != ""
    assert len(pieces) > 3
    vectors = langchain_openai.OpenAIEmbeddings(model="vectors", check_embedding_ctx_length=False, **told)
    own = asked(["hello", "you"], "vectors", ask="embed").result()
    assert vectors.embed_documents(["hello", "you"]) == [pytest.approx(one, abs=1e-3) for one in own]
