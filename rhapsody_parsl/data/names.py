"""The keys of values that tasks of a block make for each other: they begin with the block; pure."""

__all__ = ("block_of", "of_block")


def of_block(block: str, name: str) -> str:
    """Return the key of such a value."""
    return f"{block}-{name}"


def block_of(key: str) -> str:
    """Return the block whose pilot counts who needs a value; "" where the driver alone does."""
    block, dash, _ = key.partition("-")
    return block if dash and block.isdecimal() else ""
