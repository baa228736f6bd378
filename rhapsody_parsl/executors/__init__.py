"""The submit side: Parsl's executor contract on one face, the link to the pilots on the other.

`executor` is the contract; `functions` looks at what is submitted; `admission` refuses what can never run; `blocks`
knows the blocks and their tasks and picks one; `link` is the one thread that talks to all pilots; `explanation` answers
`explain`. Needs no Dragon, MPI or vLLM.
"""
