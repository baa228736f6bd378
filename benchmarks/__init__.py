"""Benchmarks: one command each, side by side in one run, written as table, JSON and picture. They are no tests."""
