"""Values that a user's specification may hold by mistake or by malice, and random specifications made of them."""

import decimal
import enum
import fractions
import math
import pathlib
import random
import sys
import types
import uuid
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn
from unittest import mock

import msgspec
import numpy as np


class Malice(BaseException):
    """What only `except BaseException` holds back."""


def _fail(*_args: Any, **_kwargs: Any) -> NoReturn:
    raise Malice


_ASKED = (
    "__eq__", "__ne__", "__lt__", "__hash__", "__repr__", "__str__", "__bool__", "__len__", "__iter__", "__next__",
    "__contains__", "__getitem__", "__int__", "__index__", "__float__", "__abs__", "__mod__", "__bytes__", "__format__",
    "__reduce__", "__reduce_ex__", "__getattr__", "__getattribute__", "__dir__", "__call__", "__neg__", "__pos__",
    "__add__", "__buffer__", "__instancecheck__", "__subclasscheck__", "items", "keys", "values", "get", "encode",
    "strip", "isdigit", "bit_length", "copy",
)  # fmt: skip
_FAILING = dict.fromkeys(_ASKED, _fail) | {"__class__": property(_fail)}


def failing(base: type) -> Any:
    """Return a subclass whose methods all raise."""
    return type(f"Failing{base.__name__.title()}", (base,), dict(_FAILING))


class Liar:
    """Says that it is a dict, equal to everything, of no sensible length."""

    __class__ = property(lambda _self: dict)

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 7

    def __repr__(self) -> str:
        return 5  # type: ignore[return-value]  # what is tried

    def __len__(self) -> int:
        return -1  # noqa: PLE0303 - what is tried

    def __index__(self) -> int:
        return "4"  # type: ignore[return-value] # noqa: PLE0305 - what is tried

    def __iter__(self) -> Iterator[int]:
        while True:
            yield 1


class Endless(Mapping[Any, Any]):
    """A mapping without an end."""

    def __getitem__(self, key: Any) -> Any:
        return 1

    def __iter__(self) -> Iterator[Any]:
        number = 0
        while True:
            yield f"k{number}"
            number += 1

    def __len__(self) -> int:
        return sys.maxsize


class Refusing(Mapping[Any, Any]):
    """A mapping that cannot be read."""

    __getitem__ = __iter__ = __len__ = _fail


class HostileMeta(type):
    """The class of a class whose name, hash and equality fail."""

    __name__ = property(_fail)
    __hash__ = __eq__ = __instancecheck__ = __subclasscheck__ = _fail


class OfHostileClass(metaclass=HostileMeta):
    """An object of it."""


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    TWO = 2


class Flags(enum.IntFlag):
    A = 1
    B = 2


class Name(enum.StrEnum):
    MPI = "mpi"


class Silent(str):
    """Text whose hash, comparison and length fail or lie, as those of a lazily translated text may."""

    __slots__ = ()
    __hash__ = __eq__ = __getitem__ = __format__ = _fail

    def __len__(self) -> int:
        return 10**9


class Itself(Mapping[Any, Any]):
    """A mapping that holds another such, without an end."""

    def __getitem__(self, key: Any) -> Any:
        return Itself()

    def __iter__(self) -> Iterator[Any]:
        return iter(["policy", "cores"])

    def __len__(self) -> int:
        return 2


class Says(Mapping[Any, Any]):
    """Says that it is of another class."""

    def __init__(self, other: type) -> None:
        self.other = other

    __class__ = property(lambda self: self.other)
    __getitem__ = __iter__ = __len__ = _fail


class Path(pathlib.PurePosixPath):
    """A path that cannot be told."""

    __str__ = __fspath__ = _fail


class Config(msgspec.Struct):
    cores: int = 1


def _in_itself() -> list[Any]:
    inner: dict[str, Any] = {}
    inner["policy"] = inner
    items: list[Any] = []
    items.extend([items] * 20)
    shared: Any = 1
    for _ in range(60):
        shared = [shared, shared]
    deep: Any = 1
    for _ in range(5000):
        deep = {"a": [deep]}
    views: dict[str, Any] = {}
    views |= {"policy": views.values(), "labels": views.items()}
    deepest: Any = ()
    for _ in range(100_000):
        deepest = (deepest,)
    return [inner, items, shared, deep, deepest, views, views["labels"], types.MappingProxyType(inner)]


VALUES: list[Any] = [
    failing(object)(), failing(str)("mpi"), failing(int)(4), failing(float)(0.5), failing(list)([1, 2]),
    failing(dict)({"cores": 1}), failing(tuple)((1,)), failing(bytes)(b"x"), Liar(), Endless(), Refusing(),
    OfHostileClass(), OfHostileClass, HostileMeta, object(), object, len, types, NotImplemented, ...,
    math.nan, math.inf, -math.inf, -0.0, 5e-324, 1e308, 10**5000, -(10**5000), 2**63, 2**64, -(2**63) - 1, True, None,
    "²", "٤", "9" * 5000, "1e3", " 4 ", "\ud800", "a\0b", "x" * 2_000_000, "'", "", b"4", bytearray(b"4"),
    memoryview(b"4"), 1j, decimal.Decimal(2), fractions.Fraction(1, 2), Colour.RED, Level.TWO, Name.MPI, range(4),
    np.int64(4), np.uint8(1), np.float32(0.5), np.float16(1), np.longdouble(2), np.bool_(True), np.str_("mpi"),
    np.array(4), np.array([1, 2]), np.datetime64("now"), np.complex128(1), np.bytes_(b"x"), np.float64("nan"),
    {1, 2}, frozenset({"a"}), [], {}, (), OrderedDict(cores=1), types.MappingProxyType({"cores": 1}), ["x"] * 5000,
    {"\ud800": 1}, {1: 2}, {1.5: 2}, {None: 1}, {(1, 2): 3}, {b"k": 1}, iter([1]), (x for x in "ab"), *_in_itself(),
    Silent("mpi"), Itself(), Path("a"), Config(), Config, Config.__struct_fields__, *map(Says, (str, int, dict, list)),
    mock.Mock(), mock.MagicMock(spec=int), mock.call, weakref.ref(Config), pathlib.Path("/tmp"), uuid.UUID(int=1),  # noqa: S108 - a value
    *(np.dtype(code).type(1) for code in "?bBhHlLefdgFDG"), np.ma.masked, np.void(b"x"), np.array(None),
    np.str_("\ud800"),
    decimal.Decimal("sNaN"), decimal.Decimal("1e999999"), fractions.Fraction(10**400, 3), Flags(3),
    "\x1c4", "\uff11", "①", "+4", "1_0", " 4\n", "\u2028", "\x1b[31m", "%s{0}", "x" * 4097, ["x"] * 1001,
    0.0009, 1.5, 4.0,
]  # fmt: skip
"""Each is tried under each key, as a key where it can be one, and as the whole."""


class Specifications:
    """Random specifications: known and unknown keys, and whatever there is as values.

    No hypothesis: it hashes and shows what it makes, which these values do not survive.

    Args:
        keys: Known keys.
        seed: The same makes the same.
    """

    def __init__(self, keys: list[str], seed: int) -> None:
        self._keys, self._random = keys, random.Random(seed)  # noqa: S311 - no secret

    def __call__(self) -> Any:
        """Return the next."""
        return self._value(0) if self._random.randrange(20) == 0 else self._dict(0)

    def _value(self, depth: int) -> Any:
        makers: list[Callable[[int], Any]] = [*[self._plausible] * 3, *[self._hostile] * 3, *[self._scalar] * 2]
        makers += [self._list, self._dict] if depth < _DEEPEST else []
        return self._random.choice(makers)(depth)

    def _plausible(self, _depth: int) -> Any:
        return self._random.choice(_PLAUSIBLE)

    def _hostile(self, _depth: int) -> Any:
        return VALUES[self._random.randrange(len(VALUES))]

    def _scalar(self, _depth: int) -> Any:
        number = self._random.uniform(-1, 1) * 10 ** self._random.randint(-320, 300)
        return self._random.choice([self._text(), number, int(number), self._random.randint(-2, 20)])

    def _list(self, depth: int) -> list[Any]:
        return [self._value(depth + 1) for _ in range(self._random.randint(0, 3))]

    def _dict(self, depth: int) -> dict[Any, Any]:
        return {self._key(): self._value(depth + 1) for _ in range(self._random.randint(0, 4))}

    def _key(self) -> Any:
        known = [self._random.choice(self._keys) for _ in range(12)]
        return self._random.choice([*known, known[0][:-1], self._text(), self._random.randint(-9, 9)])

    def _text(self) -> str:
        return "".join(chr(self._random.choice([65, 34, 0, 178, 0xD800, 0x1F600])) for _ in range(3))


_DEEPEST = 3
_PLAUSIBLE = (
    0, 1, 2, 4, 0.5, 10, "2", "mpi", "vllm", "local", "dragon", "assistant", "all", "rerun", "process", "spread", True,
)  # fmt: skip
