"""Parsl providers: a block in the allocation we already stand in, and one block for several executors.

Both are plain `ExecutionProvider`s: any Parsl executor takes them.
"""
