"""What a task asks for: the user's dict comes in, checked values go out.

`annotation` holds the key names and nothing else does; `decorator` is `@annotate`; `resources`, `policy`,
`request` and `task_spec` are the values. No sockets, no processes, no Parsl.
"""
