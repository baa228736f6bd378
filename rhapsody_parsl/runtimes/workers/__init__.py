"""Resident workers, which several runtimes have: `pool` gives them tasks by `exchange`, `local` starts plain ones."""
