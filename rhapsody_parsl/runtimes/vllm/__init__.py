"""Persistent model services, and requests to them.

A request goes: `runtime` (from the core) -> `bodies` (the app's body runs in a request worker and returns a prompt)
-> `service` (which replica has the least to do) -> `replica` (one head process, its life and what it holds) -> over a
socket to the other half -> `answering` -> `engine` (vLLM's own engine in our process) or `relay` (any OpenAI-compatible
command, over HTTP) -> back the same way. An engine may span nodes: its head says where it is to be met (`spread`), and
the replica's `team` gets a `member` on each further node. `settings` is what both halves know; `checks` find out in a
second what would fail in a minute.
"""
