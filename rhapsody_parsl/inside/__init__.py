"""What a running task does in its own block: it submits tasks, which the pilot answers without the driver.

`executor` is what users have of it, `client` the one conversation of a process with the pilot.
"""
