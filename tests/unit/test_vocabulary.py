"""One word for one thing: `docs/glossary.md` has those that are used. These are used nowhere."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
RETIRED = {
    "outpost": "node agent",
    "steward": "share supervisor",
    "mends": "patches",
    "parcel": "shared payload",
    "parcels": "shared memory",
    "kept_runs": "idle leases",
    "kept runs": "idle leases",
    "survey": "discovery",
    "last words": "the end of the log",
    "last_words": "log_tail",
    "given_back": "returned",
    "revoked": "returned",
    "surroundings": "task environment",
    "team": "process group",
    "modelservice": "request queue",
    "vllmruntime": "services of the executor",
}
PLACES = ("rhapsody_parsl", "testing", "tests", "benchmarks", "examples", "docs", "README.md", "CONTRIBUTING.md")


def test_retired_words_are_not_used() -> None:
    pattern = re.compile(rf"(?<![a-z])(?:{'|'.join(RETIRED)})s?(?![a-z])", re.IGNORECASE)
    files = [path for place in PLACES for path in [ROOT / place, *(ROOT / place).rglob("*")] if path.is_file()]
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]!r}, say {RETIRED[match[0].lower().removesuffix('s')]!r}"
        for path in files
        if path.suffix in {".py", ".md", ".sh"} and path != Path(__file__)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for match in pattern.finditer(line)
        if match[0].lower().removesuffix("s") in RETIRED
    ]
    assert not found, "\n".join(found)
