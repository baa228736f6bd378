"""Services: what a block runs for its whole life, and what tasks find by name. No kind of service is known here.

The pilot's half: `services` has all of a block and tells tasks where they are; a `service` has its replicas; a
`replica` has a lease and one life: check, start, ready, death, `restarts`. Its processes are a `process_group`: the
head, and a member on each further node.

The replica's own half is a small process beside the server: it has a `conversation` with the pilot, starts a command
under `supervision`, and leaves with the pilot (`leaving`). `settings` is what both halves know.

`protocol` says what a kind of service must offer. `command` is the kind for any command with a port; models are the
other, in `runtimes/vllm`, because that one takes requests too.
"""
