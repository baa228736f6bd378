"""The block's other hosts: a node agent on each, and the one connection by which the pilot has all that is there.

`host` is a host as the pilot sees it, `listener` where the agents come in. `starter` has a `carrier` bring them there,
one by one or many by a `step`. There `node_agent` stands over `agent`, which starts `processes` and is a `relay` for
what they say. Both ends speak `words` over a `line`. The agent's side imports little: a thousand hosts start it at
once.
"""
