"""The submit side: Parsl's executor contract on one face, the link to the pilots on the other.

`executor` is the contract; `functions` looks at what is submitted; `admission` refuses what can never run; `dispatcher`
decides which block gets what (pure: events in, instructions out), over `blocks`; `link` is the one thread that talks to
all pilots, by `listeners` and `conversation`; `explanation` answers `explain`. Needs no Dragon, MPI or vLLM.
"""
