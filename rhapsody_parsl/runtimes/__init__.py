"""The runtimes of a block, one folder each, and what they have in common.

`protocol` is all the pilot knows of a runtime; `process` is one backend process as the pilot sees it; `cluster.guard`
stands between the two and makes sure that nothing outlives either. In `<name>/runtime.py` is the pilot's half, which
imports none of the packages it drives; beside it is the other half, which runs in processes of its own.
"""
