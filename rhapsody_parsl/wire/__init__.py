"""The messages of two processes, and how they travel.

`messages` are these and their version; `codec` turns one into frames and back; `session` numbers them and resends
what the other side has not confirmed; `channel` is the socket. Nobody here looks into a payload.
"""
