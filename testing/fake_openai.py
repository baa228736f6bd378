"""A small OpenAI-compatible server for tests: answers at once, counts its requests, knows a key. Standard library only.

    python fake_openai.py HOST PORT API_KEY MODEL

The text for a prompt is the prompt reversed. A prompt that holds `bad` is refused. One that holds `poison` ends the
server, and one that holds `die` does so once, where `FAKE_OPENAI_MEMORY` names a file that remembers. (Another beside
it, `.left`, remembers that the reader of a streamed answer hung up.) One that holds `slow` takes a third of a second
for each, and so does the end by `poison`. One that holds `grow` takes a gigabyte for a minute.
The embedding of a text is its length, and so is the score of a document. It sleeps and wakes as vLLM does.
A streamed answer comes character by character. One to `drip` never ends, and one to `spill` fails in the middle.
"""

import itertools
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMAND = (sys.executable, __file__, "{host}", "{port}", "{api_key}", "{model}")
"""For a service that is given its command."""
MEMORY = os.environ.get("FAKE_OPENAI_MEMORY", "")


def _is_the_first_time(suffix: str = "") -> bool:
    """Remember that something happens; False where it has before, or where nothing remembers."""
    if not MEMORY:
        return False
    try:
        Path(MEMORY + suffix).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


class Handler(BaseHTTPRequestHandler):
    """Answers the few paths that the relay uses."""

    protocol_version = "HTTP/1.1"
    api_key = model = ""
    asleep = False

    def do_GET(self) -> None:
        """List the models."""
        if self._allowed():
            self._reply(200, {"data": [{"id": self.model}]})

    def do_POST(self) -> None:
        """Complete."""
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)) or b"null")
        if not self._allowed():
            return
        path = self.path.partition("?")[0]
        if path in {"/sleep", "/wake_up"}:
            Handler.asleep = path == "/sleep"
            self._reply(200, {"pid": os.getpid()})
        elif self.asleep:
            self._reply(400, {"error": {"message": "it sleeps"}})
        else:
            answer = self._measure if "input" in request or "queries" in request else self._complete
            answer(request)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class' name
        """Say nothing."""

    def _allowed(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {self.api_key}":
            return True
        self._reply(401, {"error": {"message": "no key"}})
        return False

    def _measure(self, request: dict[str, Any]) -> None:
        texts = request.get("input") or request["documents"]
        lengths = [len(text) for text in ([texts] if isinstance(texts, str) else texts)]
        data = [{"index": i, "embedding": [length], "score": length} for i, length in enumerate(lengths)]
        self._reply(200, {"data": data, "usage": {}})

    def _complete(self, request: dict[str, Any]) -> None:
        if request.get("stream"):
            self._stream(request)
            return
        if "messages" in request:
            message = {"role": "assistant", "content": request["messages"][-1]["content"][::-1]}
            self._reply(200, {"choices": [{"index": 0, "message": message}], "usage": {}})
            return
        prompts = request["prompt"] if isinstance(request["prompt"], list) else [request["prompt"]]
        if any("bad" in prompt for prompt in prompts):
            self._reply(400, {"error": {"message": "a bad prompt"}})
            return
        if any("die" in prompt for prompt in prompts) and _is_the_first_time():
            os._exit(3)
        time.sleep(0.3 * max(prompt.count("slow") + ("poison" in prompt) for prompt in prompts))
        if any("poison" in prompt for prompt in prompts):
            os._exit(11)
        if any("grow" in prompt for prompt in prompts):
            held = bytearray(10**9)
            time.sleep(60)
            del held
        choices = [{"index": i, "text": prompt[::-1]} for i, prompt in enumerate(prompts)]
        self._reply(200, {"choices": choices, "usage": {"prompts": len(prompts)}})

    def _stream(self, request: dict[str, Any]) -> None:
        """Answer as OpenAI's servers do: an event for each piece, a line for each event."""
        chat = "messages" in request
        prompt = request["messages"][-1]["content"] if chat else request["prompt"]
        if "die" in prompt and _is_the_first_time():
            prompt = "spill, " + prompt
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            for piece in itertools.cycle(prompt[::-1]) if "drip" in prompt else prompt[::-1]:
                self._event({"choices": [{"delta": {"content": piece}} if chat else {"text": piece}]})
                time.sleep(0.01 if "drip" in prompt else 0)
        except (BrokenPipeError, ConnectionResetError):
            _is_the_first_time(".left")
            return
        if "spill, " in prompt:
            os._exit(3)
        if "spill" in prompt:
            self._event({"error": {"message": "it spilled"}})
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def _event(self, content: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps(content).encode() + b"\n\n")

    def _reply(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    host, port, Handler.api_key, Handler.model = sys.argv[1:]
    ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
