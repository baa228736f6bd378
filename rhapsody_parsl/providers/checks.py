"""What a provider of one block refuses."""

from rhapsody_parsl.annotations.limits import check_range

__all__ = ("check_blocks",)

_MOST_PARALLEL = 1e6


def check_blocks(init_blocks: int, min_blocks: int, parallelism: float) -> None:
    """Check the numbers of blocks, of which there is one at most.

    Raises:
        InvalidTask: One cannot be.
    """
    check_range("init_blocks", init_blocks, 0, 1)
    check_range("min_blocks", min_blocks, 0, 1)
    check_range("parallelism", parallelism, 0, _MOST_PARALLEL)
