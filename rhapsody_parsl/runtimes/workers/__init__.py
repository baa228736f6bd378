"""Resident workers, which several runtimes have: `pool` gives them tasks, `local` starts plain ones."""
