"""The collector does not go over what the pilot holds again and again."""

import subprocess
import sys

CODE = """
import gc
from rhapsody_parsl.pilot.gc_tuning import tune
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.annotations.resources import Resources
from testing.nodes import make_nodes
ledger = Ledger(make_nodes(10_000, cores=1))
tune()
runs = []
gc.callbacks.append(lambda phase, info: runs.append(info) if phase == "start" else None)
leases = [ledger.acquire("f", [(name, Resources(cores=1).single())]) for name in ledger.accounts]
print(len(leases), len(runs), gc.get_freeze_count())
"""


def test_ten_thousand_leases_wake_it_a_few_times() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, timeout=30)
    leases, runs, frozen = map(int, done.stdout.split())
    assert leases == 10_000
    assert runs < 5, "Python's own setting: dozens"
    assert frozen > 10_000, "what was there before"
