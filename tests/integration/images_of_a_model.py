"""Tests of images, with the block of `test_vllm`: they stand there by name, for an engine takes half a minute."""

import base64
import struct
import zlib
from typing import Any

from rhapsody_parsl import RhapsodyExecutor
from rhapsody_parsl.errors import ServiceRequestFailed
from tests.integration.asking import asked, problem

GREEDY: dict[str, Any] = {"max_tokens": 8, "temperature": 0}
RED, BLUE = (255, 0, 0), (0, 0, 255)


def png(colour: tuple[int, int, int], edge: int = 56) -> bytes:
    """Return a picture of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress((b"\0" + bytes(colour) * edge) * edge)
    head = struct.pack(">IIBBBBB", edge, edge, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def question(*colours: tuple[int, int, int]) -> Any:
    """Return messages that ask about pictures."""
    urls = ["data:image/png;base64," + base64.b64encode(png(colour)).decode() for colour in colours]
    pictures = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, *pictures]}]


class TestImages:
    def test_a_model_with_images_sees_them_by_app_and_at_the_front_door(self, executor: RhapsodyExecutor) -> None:
        red, again, blue = (asked(question(colour), "eyes", **GREEDY).result() for colour in (RED, RED, BLUE))
        assert red == again != blue
        with executor.openai_client(timeout=60) as client:
            answers = [
                client.chat.completions.create(model="eyes", messages=question(*colours), **GREEDY)
                for colours in ((RED,), (BLUE,), (), (RED, BLUE))
            ]
        assert [answer.choices[0].message.content for answer in answers[:2]] == [red, blue]
        sizes = [answer.usage.prompt_tokens for answer in answers if answer.usage]
        assert [size - sizes[2] for size in sizes] == [7, 7, 0, 14], "four tokens of each image, and three around them"

    def test_a_model_for_text_says_that_it_takes_no_image(self, executor: RhapsodyExecutor) -> None:
        for service in ("tiny", "served"):
            error = problem(question(RED), service, max_tokens=2)
            assert isinstance(error, ServiceRequestFailed)
            assert "is not a multimodal model" in str(error)
        assert isinstance(asked(question(), max_tokens=2).result(), str)
