"""The wheel, tried where nothing of the checkout is importable; `tools/package.sh` runs it."""
