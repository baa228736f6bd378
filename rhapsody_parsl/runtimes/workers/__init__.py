"""Resident workers, which several runtimes have: `pool` gives them tasks by the `exchange`, `local` starts plain ones."""
