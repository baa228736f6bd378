class MPI:
    pass
