"""Nodes on which tasks may be placed, and for what is asked of them, those that can hold it now."""

from collections.abc import Hashable, Iterable, Iterator
from operator import attrgetter
from weakref import WeakValueDictionary

from rhapsody_parsl.pilot.account import Account
from rhapsody_parsl.pilot.demand import Demand
from rhapsody_parsl.pilot.levels import Changes, Levels

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
    """

    __slots__ = ("__weakref__", "_levels", "_pool", "asked", "demand")

    def __init__(self, pool: "Pool", demand: Demand) -> None:
        self._pool, self.demand = pool, demand
        self._levels: Levels = pool.levels(whole=demand.whole)
        self.asked = 0

    @property
    def levels(self) -> Levels:
        """The nodes."""
        return self._levels.now()

    def has(self, account: Account) -> bool:
        """Whether a node is in the pool."""
        return account.pool is self._pool

    def available(self, enough: int) -> int:
        """Return how many parts there is room for, at most; counting stops at `enough`."""
        demand, levels = self.demand, self._levels.now()
        self.asked = self._pool.book.count
        if not levels.occupied >> demand.least:
            return 0
        if enough == 1:
            return 1
        found = 0
        for level, count in levels.sizes(demand.least):
            found += count * (level // demand.per_rank) if demand.per_rank else count
            if found >= enough:
                return enough
        return found

    def index(self) -> None:
        """Have exactly those nodes here that hold a part, as long as somebody asks."""
        if not self.demand.plain:
            self._levels = self._pool.index(self) or self._levels

    def unindex(self) -> None:
        """Have all nodes here that may hold a part."""
        self._levels = self._pool.levels(whole=self.demand.whole)


class Pool:
    """Nodes by what is free of them; those that are away are in none of its rooms.

    Args:
        accounts: Its nodes; each account is in one pool.

    Attributes:
        book: Which of them changed last.
    """

    def __init__(self, accounts: Iterable[Account] = ()) -> None:
        self.book = Changes()
        self._parts = Levels(self.book)
        self._whole = Levels(self.book, attrgetter("untouched"))
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

    @property
    def changes(self) -> int:
        """Counts what has changed here."""
        return self.book.count

    @property
    def parts(self) -> Levels:
        """Those that are not away, by free cores."""
        return self._parts.now()

    def levels(self, *, whole: bool) -> Levels:
        """Return the same, or those of them of which nothing is lent; not brought up to date."""
        return self._whole if whole else self._parts

    def room(self, demand: Demand) -> Room:
        """Return the room for what is asked of a node; the same for all who ask the same."""
        room = self._rooms.get(demand.key)
        if room is None:
            room = self._rooms[demand.key] = Room(self, demand)
        return room

    def put(self, account: Account) -> None:
        """A node is here."""
        account.pool = self
        self._members[account.node.name] = account
        self.note(account)

    def remove(self, account: Account) -> None:
        """A node leaves, and is in another pool before somebody looks here."""
        del self._members[account.node.name]
        self.book.note(account)

    def note(self, account: Account) -> None:
        """A node has changed."""
        self.book.note(account)
        if self._indexed and self.book.count >= self._next_look:
            self._forget()

    def index(self, room: Room) -> Levels | None:
        """Return an index for a room; None where it has one."""
        if room in self._indexed:
            return None
        self._indexed[room] = None
        return Levels(self.book, room.demand.holds)

    def _forget(self) -> None:
        """Give up what nobody has asked for; what it would cost to make again is less than what it holds."""
        for room in [room for room in self._indexed if self.changes - room.asked >= _UNASKED + len(self)]:
            del self._indexed[room]
            room.unindex()
        self._next_look = self.changes + _UNASKED
