"""Persistent model services, and requests to them.

A request goes: `runtime` (from the core) -> `bodies` (the app's body runs in a request worker and returns a prompt)
-> `service` (asks `dispatch` which replica takes it) -> `replica` (one head process and its life) -> over a socket to
the other half -> `answering` -> `engine` (vLLM's own engine in our process) or `relay` (any OpenAI-compatible command,
over HTTP) -> back the same way. Where an engine dies, `suspects` says what is asked again with what, `deaths` what
chance explains, `copies` who shares another's fate, and `restarts` whether the replica is started again; `progress`
says whether an engine that lives still works. An engine may span nodes: its head says where it is to be
met (`spread`), and the replica's `team` gets a `member` on each further node. `settings` is what both halves know;
`checks` find out in a second what would fail in a minute.
"""
