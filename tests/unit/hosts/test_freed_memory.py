"""A process that passes large pieces on has pages for them once."""

import subprocess
import sys

import pytest

PIECES = """
import resource, sys
from rhapsody_parsl.hosts import freed_memory

def faults(size, count):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        pieces = [bytearray(size) for _ in range(count)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if sys.argv[1] == "keep":
    freed_memory.keep()
print(faults(1 << 20, 8), faults(40 << 20, 1))
"""


def faults(how: str) -> list[int]:
    ran = subprocess.run([sys.executable, "-c", PIECES, how], capture_output=True, text=True, check=True, timeout=60)
    return [int(count) for count in ran.stdout.split()]


@pytest.mark.skipif(sys.platform != "linux", reason="it is for glibc")
def test_pieces_take_the_pages_of_those_before() -> None:
    kept, usual = faults("keep"), faults("")
    assert kept[0] < usual[0] / 3
    assert kept[1] > 20 * 40 * 256 / 2, "what is larger goes back to the system"
