"""What concerns processes on hosts: how one is started, guarded, ended, and what it may leave behind.

`guard` stands over a command; `process` is one that the pilot started, here or, through a node agent (see `agents`), on
another host; `changes` tells of such a host's loss and return; `folder`, `mark`, `leftovers` and `limits` are what
these share. `guard` and what it imports need the standard library alone.
"""
