"""How the places of a replica are shared by the requests of apps and those of the front door. Pure."""

__all__ = ("most_of",)


def most_of(places: int, others: int) -> int:
    """Return how many places one side may have: what the other leaves, and half of all at the least.

    Each side knows a moment late what the other has. So for that moment a replica may have half as many more.

    Args:
        places: Of the replica, `requests_in_flight`.
        others: How many the other side has.
    """
    return max(-(-places // 2), places - others)
