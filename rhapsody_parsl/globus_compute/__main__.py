"""`python -m rhapsody_parsl.globus_compute`: what stands as `globus-compute-endpoint` on a user endpoint's PATH."""

from rhapsody_parsl.globus_compute.command import main

if __name__ == "__main__":
    main()
