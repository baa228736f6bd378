"""Models as a kind of service, and the runtime that puts requests to them.

Replicas, restarts and leases are those of every service (`rhapsody_parsl.services`); `kind` says what is a model's own.
`preflight` finds out in a second what would fail in a minute; `adapters` says what an engine is told of LoRA;
`settings` is what both halves know of one start.

A request goes: `runtime` (from the core) -> `prompt_workers` (the app's body runs in a request worker and returns a
prompt) -> `request_queue` (asks `dispatch` which replica takes it) -> over a socket to the replica's own half:
`request_server` -> `engine` (vLLM's own engine in our process, see `engine_host`) or `relay` (any OpenAI-compatible
command, over HTTP, see `command`) -> back the same way. Where an engine dies, `suspects` says what is asked again with
what, `deaths` what chance explains, and `copies` who shares another's fate; `progress` says whether an engine that
lives still works. An engine may span nodes: its head says where it is to be met (`multi_node`), and a `member` on each
further node comes there.
"""
