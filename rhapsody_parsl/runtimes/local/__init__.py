"""Plain processes on the head node, started by the pilot itself.

The runtime of last resort, and the place where the bodies of MPI launches and of model requests run.
"""
