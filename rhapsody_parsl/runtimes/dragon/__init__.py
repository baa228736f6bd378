"""Dragon: Python and bash tasks in resident processes that Dragon starts, places and watches.

`runtime` (in the pilot) keeps one `partition` for each Dragon runtime of the block; `backend` is the program that runs
under `dragon` and starts the workers; the workers take their tasks from the pilot over a socket of their own. Dragon's
queues, DDict and process groups are there for what the tasks themselves do.
"""
