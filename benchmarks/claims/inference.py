"""Model requests through apps, beside vLLM's own engine driven directly on the same prompts.

`python -m benchmarks inference` starts one block with the models as services, and for each model an `AsyncLLM` of the
same engine arguments and variables in a process of its own. Then the two take turns, `--repeat` times: many prompts at
once (tokens per second), and single requests for one token one after another (latency: what the way adds is the same
for any number of tokens, and drowns in the scatter of many). Prompts are new in each repetition and the same on both
sides, temperature 0, a fixed number of tokens; the text of one request is compared. The models are a tiny random one,
where a request costs next to nothing but its way, and SmolLM2-135M where `make model` has put it. The tiny one's
engines have one core each: on all of a small machine their threads wait for each other whenever somebody else has one
of the cores, the driver for instance, and what is measured then is the machine's scheduler.

`--replicas` (by itself on machines of 4 cores and more) adds one service with 1, one with 2, one with 4 replicas of one
core each, as far as there are cores.
"""

import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.library import block, machine, pictures, sides
from benchmarks.library.apps import Answer, through_apps
from benchmarks.library.direct_engine import DirectEngine
from rhapsody_parsl import VLLMService

MANY = 4
REPLICAS = (1, 2, 4)


class Model(NamedTuple):
    """A model and how much is asked of it.

    Attributes:
        name: Of its service.
        path: Its folder.
        prompts: At once.
        tokens: Of each answer.
        cores: Its engine's, by lease or the same ones by hand; 0: all, shared with everybody.
        singles: Requests for one token, one after another, in each repetition.
    """

    name: str
    path: str
    prompts: int
    tokens: int
    cores: int
    singles: int


def prompts_of(model: Model, seed: str, count: int) -> list[str]:
    """Return prompts that no cache knows."""
    return [f"{seed}.{number}: tell me about the number {number} of {model.name}" for number in range(count)]


def compare(model: Model, both: dict[str, Callable[[Sequence[str], int], Answer]], repeat: int) -> dict[str, Any]:
    """Let the sides take turns on one model; return tokens per second and milliseconds of each repetition."""
    texts = {generate(["The capital of France is"], model.tokens)[2] for generate in both.values()}
    sides.check(len(texts) == 1, f"the sides answer differently: {texts}")
    rates: dict[str, list[float]] = {side: [] for side in both}
    alone: dict[str, list[float]] = {side: [] for side in both}
    for number in range(-1, repeat):  # the first warms up
        for side in sorted(both, reverse=bool(number % 2)):
            seconds, tokens, _ = both[side](prompts_of(model, f"many {number}", model.prompts), model.tokens)
            singles = prompts_of(model, f"single {number}", model.singles)
            each = [both[side]([prompt], 1)[0] * 1e3 for prompt in singles]
            if number >= 0:
                rates[side].append(tokens / seconds)
                alone[side] += each
    medians = {side: statistics.median(values) for side, values in rates.items()}
    latency = {side: statistics.median(values) for side, values in alone.items()}
    return {
        "tokens_per_s": medians,
        "requests_per_s": {side: rate / model.tokens for side, rate in medians.items()},
        "ratio": medians["apps"] / medians["direct"],
        "ratios": sorted(ours / theirs for ours, theirs in zip(rates["apps"], rates["direct"], strict=True)),
        "single_ms": latency,
        "added_ms": latency["apps"] - latency["direct"],
        "runs": {"tokens_per_s": rates, "single_ms": alone},
        "load": model._asdict() | {"path": Path(model.path).name},
    }


def against_direct(models: Sequence[Model], repeat: int, folder: str) -> dict[str, Any]:
    """Compare apps with the engine driven directly, model by model."""
    services = [VLLMService(m.name, model=m.path, cores=m.cores, engine_args=block.ENGINE) for m in models]
    with ExitStack() as stack:
        engines = [
            stack.enter_context(closing(DirectEngine(model.path, block.ENGINE, model.cores, folder)))
            for model in models
        ]
        stack.enter_context(sides.load(block.serving(services), folder))
        for model, engine in zip(models, engines, strict=True):  # all are up before anything is measured
            through_apps(model.name)(["Hello"], 1)
            engine.wait()
        return {
            model.name: compare(model, {"direct": engine.generate, "apps": through_apps(model.name)}, repeat)
            for model, engine in zip(models, engines, strict=True)
        }


def replicas(model: Model, repeat: int, folder: str) -> dict[int, float]:
    """Return tokens per second by the number of one-core replicas; services take turns, the others idle."""
    real = len(os.sched_getaffinity(0))
    counts = [count for count in REPLICAS if count <= real]
    services = [VLLMService(f"r{n}", model=model.path, cores=1, replicas=n, engine_args=block.ENGINE) for n in counts]
    rates: dict[int, list[float]] = {count: [] for count in counts}
    with sides.load(block.serving(services, sum(counts)), folder) as kernel:
        for count in counts:  # a service answers when its first replica is up; all are to be
            through_apps(f"r{count}")(prompts_of(model, "warm", 1), 1)
        block.ready(kernel.executors["block"])
        for number in range(-1, repeat):
            for count in counts:
                prompts = prompts_of(model, f"replicas {number}", model.prompts)
                seconds, tokens, _ = through_apps(f"r{count}")(prompts, model.tokens)
                if number >= 0:
                    rates[count].append(tokens / seconds)
    return {count: statistics.median(values) for count, values in rates.items()}


def report(compared: dict[str, Any], scaled: dict[int, float], out: Path) -> None:
    """Print the tables; write JSON and a picture."""
    rows = [
        [
            name, f"{result['requests_per_s']['apps']:,.0f}", f"{result['tokens_per_s']['apps']:,.0f}",
            f"{result['tokens_per_s']['direct']:,.0f}", f"{result['ratio']:.2f}",
            f"{result['ratios'][0]:.2f} to {result['ratios'][-1]:.2f}",
            f"{result['single_ms']['apps']:.1f}", f"{result['single_ms']['direct']:.1f}",
            f"{result['added_ms']:+.1f}",
        ]
        for name, result in compared.items()
    ]  # fmt: skip
    columns = ["model", "requests/s", "tokens/s", "direct", "ratio", "of a turn", "single ms", "direct", "added ms"]
    machine.show("Requests through apps, and vLLM's engine driven directly", columns, rows)
    if scaled:
        rows = [[str(n), f"{rate:,.0f}", f"{rate / scaled[1]:.2f}"] for n, rate in scaled.items()]
        machine.show("Replicas of one core each", ["replicas", "tokens/s", "x one"], rows)
    file = machine.write(out, "inference", {"models": compared, "replicas": scaled})
    print(f"written: {file}, {picture(compared, scaled, out)}")


def picture(compared: dict[str, Any], scaled: dict[int, float], out: Path) -> Path:
    """Draw rates relative to the direct engine, latencies, and the scaling with replicas."""
    figure, grid = pictures.canvas(3 if scaled else 2, size=(12 if scaled else 9, 3.6))
    names = list(compared)
    colours = {"direct": pictures.BASELINE, "apps": pictures.OURS}
    for axes, key in zip(grid[0], ("tokens_per_s", "single_ms"), strict=False):
        for at, (side, colour) in zip((-0.2, 0.2), colours.items(), strict=True):
            places = [number + at for number in range(len(names))]
            base = [compared[name][key]["direct"] if key == "tokens_per_s" else 1.0 for name in names]
            values = [compared[name][key][side] for name in names]
            heights = [value / one for value, one in zip(values, base, strict=True)]
            bars = axes.bar(places, heights, width=0.36, color=colour, label=side)
            axes.bar_label(bars, [f"{value:,.{0 if key == 'tokens_per_s' else 1}f}" for value in values], fontsize=8)
        axes.set_xticks(range(len(names)), names)
        axes.margins(y=0.15)
    pictures.clean(grid[0, 0], "Tokens per second, many requests at once", y="share of the direct engine")
    pictures.clean(grid[0, 1], "One request for one token, median", y="ms")
    grid[0, 0].legend(fontsize=8, frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.08))
    if scaled:
        counts = list(scaled)
        grid[0, 2].plot(counts, [rate / scaled[1] for rate in scaled.values()], "o-", color=pictures.OURS)
        grid[0, 2].plot(counts, counts, ":", color=pictures.BASELINE)
        grid[0, 2].set_xticks(counts)
        pictures.clean(grid[0, 2], "Replicas of one core each", "replicas", "x one replica")
    return pictures.save(figure, out, "inference")


def main() -> None:
    """Run, print and write."""
    parser = sides.parser(__doc__)
    parser.add_argument("--replicas", action="store_true", default=len(os.sched_getaffinity(0)) >= MANY)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        models = [Model("tiny", block.tiny(folder), prompts=256, tokens=32, cores=1, singles=20)]
        if not arguments.quick and (path := block.smollm2()):
            models.append(Model("smollm2", path, prompts=32, tokens=32, cores=0, singles=10))
        repeat = 2 if arguments.quick else arguments.repeat
        compared = against_direct(models, repeat, folder)
        scaled = replicas(models[-1], repeat, folder) if arguments.replicas else {}
    report(compared, scaled, arguments.out)


if __name__ == "__main__":
    main()
