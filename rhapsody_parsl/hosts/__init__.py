"""What concerns processes on hosts: how one is started, guarded, ended, and what it may leave behind.

`guard` stands over a command; `process` is one that the pilot started, here or, through `host` and the `node_agent`
there, on another host; `changes` tells of such a host's loss and return; `folder`, `mark`, `leftovers` and `limits` are
what these share. `guard`, `node_agent` and what they import need the standard library alone.
"""
