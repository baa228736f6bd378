"""The front door: one OpenAI-compatible address for all models of a block and all their replicas.

`keeper` is the pilot's half: it starts the door's process, tells it which replicas answer, and hears what each has to
do. `tunnel`, in the pilot too, carries connections that were made at the driver. The rest is the process: `server`
speaks HTTP, `keys` says who may ask and how much, `passage` passes one request on and asks another replica when one
dies, `models` knows who serves what. `routing` chooses the replica by what `prefixes` says of the prompt; both are
pure, and so are `counters` and `keys`.
"""
