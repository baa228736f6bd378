"""What a runtime promises the pilot, as a suite that any runtime can be put through.

`recorder` hears all that a runtime tells and knows what must always hold; `stage` is a small block on this host, which
drives one runtime as the pilot does; `work` is what the tasks do; `subjects` says how each runtime is made and what it
runs. The tests themselves are `tests/integration/test_protocol.py`.
"""
