"""The words two processes say to each other, and how they travel.

`messages` are the words and their version; `codec` turns one into frames and back; `session` numbers them and resends
what the other side has not confirmed; `channel` is the socket. Nobody here looks into a payload.
"""
