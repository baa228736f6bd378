"""MPI programs that are started by a launcher: its kinds, its command line, and what a launch needs around it."""
