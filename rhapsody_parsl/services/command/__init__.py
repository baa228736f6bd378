"""The kind of service for any command with a port.

`kind` is the pilot's half. `process` is the replica's: it fills in the command's blanks (`settings` has them), starts
it, waits until it is ready (`readiness`), and stops it by its own signal.
"""
