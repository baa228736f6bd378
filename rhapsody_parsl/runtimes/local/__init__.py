"""Plain processes, without anything between them and the pilot but a guard on hosts that are not its own.

The runtime of last resort, and the place where the bodies of MPI launches and of model requests run.
"""
