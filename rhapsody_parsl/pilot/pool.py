"""Nodes on which tasks may be placed, and for what is asked of them, those that can hold it now."""

from collections.abc import Hashable, Iterable, Iterator
from weakref import WeakValueDictionary

from rhapsody_parsl.pilot.account import Account
from rhapsody_parsl.pilot.demand import Demand
from rhapsody_parsl.pilot.levels import Levels

__all__ = ("Pool", "Room")

_UNASKED = 1024
"""Changes of nodes, and one for each node, after which an index that nobody asked for is given up."""


class Room:
    """The nodes of a pool that may hold a part of what is asked.

    At first these are all with so many free cores, or all untouched ones. Where memory, GPUs or labels make many of
    them useless, they are indexed: from then on exactly those are here that hold a part.

    Args:
        pool: The pool.
        demand: What is asked of a node.

    Attributes:
        demand: The same.
        levels: The nodes.
    """

    __slots__ = ("__weakref__", "_pool", "asked", "demand", "levels")

    def __init__(self, pool: "Pool", demand: Demand) -> None:
        self._pool, self.demand = pool, demand
        self.levels = pool.whole if demand.whole else pool.parts
        self.asked = 0

    def has(self, account: Account) -> bool:
        """Whether a node is in the pool."""
        return account.pool is self._pool

    def available(self, enough: int) -> int:
        """Return how many parts there is room for, at most; counting stops at `enough`."""
        demand = self.demand
        self.asked = self._pool.changes
        if not self.levels.occupied >> demand.least:
            return 0
        if enough == 1:
            return 1
        found = 0
        for level, count in self.levels.sizes(demand.least):
            found += count * (level // demand.per_rank) if demand.per_rank else count
            if found >= enough:
                return enough
        return found

    def index(self) -> None:
        """Have exactly those nodes here that hold a part, as long as somebody asks."""
        if not self.demand.plain:
            self._pool.index(self)

    def put(self, account: Account) -> None:
        """A node has changed; for a room with an index."""
        if self.demand.holds(account):
            self.levels.put(account)


class Pool:
    """Nodes by what is free of them; those that are away are in none of its rooms.

    Args:
        accounts: Its nodes; each account is in one pool.

    Attributes:
        parts: Those that are not away, by free cores.
        whole: Those of them of which nothing is lent.
        changes: Counts what was put here.
    """

    def __init__(self, accounts: Iterable[Account] = ()) -> None:
        self.parts, self.whole = Levels(), Levels()
        self.changes = 0
        self._members: dict[str, Account] = {}
        self._rooms: WeakValueDictionary[Hashable, Room] = WeakValueDictionary()
        self._indexed: dict[Room, None] = {}
        self._next_look = _UNASKED
        for account in accounts:
            self.put(account)

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Account]:
        return iter(self._members.values())

    def room(self, demand: Demand) -> Room:
        """Return the room for what is asked of a node; the same for all who ask the same."""
        room = self._rooms.get(demand.key)
        if room is None:
            room = self._rooms[demand.key] = Room(self, demand)
        return room

    def put(self, account: Account) -> None:
        """A node is here, or has changed."""
        account.pool = self
        self._members[account.node.name] = account
        self.show(account)

    def remove(self, account: Account) -> None:
        """A node leaves."""
        self.hide(account)
        del self._members[account.node.name]

    def show(self, account: Account) -> None:
        """A node has changed: it can be found as it is now."""
        if account.away:
            return
        self.parts.put(account)
        if account.untouched:
            self.whole.put(account)
        self.changes += 1
        if self._indexed:
            for room in self._indexed:
                room.put(account)
            if self.changes >= self._next_look:
                self._forget()

    def hide(self, account: Account) -> None:
        """A node is about to change, or to leave: it cannot be found."""
        self.parts.discard(account)
        self.whole.discard(account)
        for room in self._indexed:
            room.levels.discard(account)

    def index(self, room: Room) -> None:
        """Keep a room exact from now on."""
        if room not in self._indexed:
            room.levels = Levels()
            self._indexed[room] = None
            for account in self._members.values():
                if not account.away:
                    room.put(account)

    def _forget(self) -> None:
        """Give up what nobody has asked for; what it would cost to make again is less than what kept it."""
        for room in [room for room in self._indexed if self.changes - room.asked >= _UNASKED + len(self)]:
            del self._indexed[room]
            room.levels = self.whole if room.demand.whole else self.parts
        self._next_look = self.changes + _UNASKED
