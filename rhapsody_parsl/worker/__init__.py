"""Where the user's code runs, whichever runtime started the process.

`call` opens one payload and closes its result; `loop` is the resident process: one thread listens to the pilot, the
main thread runs tasks; `once` is a fresh process for one task; `process_state` and `task_environment` give a task the
process that it may expect; `prompt` turns what an app returns into a request for a model service. Of the
block's side only this folder imports Parsl.
"""
