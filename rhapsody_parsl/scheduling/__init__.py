"""In which order tasks wait: policies that the user chooses or writes, and how a block gets them.

A policy is an object with one pure method, `claim`. The driver checks it and writes it into the block's configuration.
The pilot reads it and asks it once for each task that comes. What it says is a number; the pilot does the rest.
"""
