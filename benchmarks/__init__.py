"""Benchmarks: one command each, side by side in one run, written as table, JSON and picture. They are no tests.

`python -m benchmarks` lists them. `claims` measures what the documentation claims, `studies` where time goes and how
cost grows; both are made from the `library`.
"""
