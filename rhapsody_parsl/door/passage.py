"""One request's way through the door: to a replica, to another one when that dies, and its answer back.

While nothing was sent back, a request whose replica dies is asked again, for nobody has seen anything of it. A stream
counts as begun with its first bytes, not with its head.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple, TypeVar

import aiohttp
import msgspec
from aiohttp import web

from rhapsody_parsl.door.call import TIMEOUT_HEADER, Call, asked_in
from rhapsody_parsl.door.counters import Counters
from rhapsody_parsl.door.lists import Answered, answer_list
from rhapsody_parsl.door.models import Model, Models
from rhapsody_parsl.door.refusal import DIED, Refusal, error_event
from rhapsody_parsl.door.routing import Seat
from rhapsody_parsl.door.visits import current

__all__ = ("Passage",)

T = TypeVar("T")

_PASSED_BACK = ("Content-Type", "X-Request-Id", "Retry-After")
_AWAY = 1.0
"""Seconds for which a replica that did not answer is left alone; the pilot learns more of it by then."""
_MOMENT = 0.01
"""Seconds; a timer may come that much early."""
_LOOK_AGAIN = 1.0
"""Seconds, at least, between two looks of a request that waits for a busy replica whether that is still there."""
_LAST_BREATH = 1.5
"""Seconds within which a replica is found dead that answers with an error of its own."""
_STREAM = "text/event-stream"
_BROKEN = "The replica died in the middle of its answer"
_LARGEST_WHOLE = 8 << 20
_LARGEST_LOOKED_INTO = 1 << 20
_ERROR_OF_SERVER = 500
_CONNECT_WITHIN = 5.0
_IDLE = 3.0  # we close an idle connection before the usual server does
_LISTED_WITHIN = aiohttp.ClientTimeout(total=10.0)


class _Unreached(Exception):  # noqa: N818 - named for what happened
    """A replica takes no connection: it has not seen the request."""


class _Died(Exception):  # noqa: N818 - as above
    """A replica went with the request before it sent anything back."""


class _Named(msgspec.Struct):
    """What of a body says whom it asks."""

    model: str | None = None


_named_in = msgspec.json.Decoder(_Named).decode


class _Begun(NamedTuple):
    """An answer that has begun.

    Attributes:
        upstream: What the replica sends.
        first: Its first bytes.
        replica: Its name.
    """

    upstream: aiohttp.ClientResponse
    first: bytes
    replica: str


class Passage:
    """Passes requests on.

    Args:
        models: Those of the block.
        counters: Of the door.
        wait: Seconds that a request waits for a replica.
        changed: Called when a replica, or those who wait, have other requests than before.
    """

    def __init__(self, models: Models, counters: Counters, wait: float, changed: Callable[[], None]) -> None:
        self._models, self._counters, self._wait, self._changed = models, counters, wait, changed
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_WITHIN),
            auto_decompress=False,
            skip_auto_headers=("Accept-Encoding", "User-Agent"),
        )

    async def close(self) -> None:
        """Hang up on all replicas."""
        await self._session.close()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Return a replica's answer.

        Raises:
            Refusal: None can answer.
        """
        began = time.monotonic()
        call = await self._read(request)
        name = call.model.service
        try:
            if parts := call.pieces():
                response: web.StreamResponse = await self._in_time(call, answer_list(parts, self._whole))
                self._counters.first_byte(name, time.monotonic() - began)
            else:
                async with self._asked(call) as begun:
                    self._counters.first_byte(name, time.monotonic() - began)
                    response = await self._give(request, begun)
        except (asyncio.CancelledError, ConnectionError):
            if current().has_all():
                self._counters.ended(name, web.HTTPOk.status_code)
            else:
                self._counters.left(name)
            raise
        except Refusal as refusal:
            self._counters.ended(name, refusal.status)
            raise
        self._counters.ended(name, response.status)
        return response

    async def recognise(self, request: web.Request) -> None:
        """Note whom a request asks that is refused anyway; of a large one nobody looks for that."""
        if (request.content_length or _LARGEST_LOOKED_INTO + 1) > _LARGEST_LOOKED_INTO:
            return
        with contextlib.suppress(ValueError, RecursionError, web.RequestPayloadError, Refusal):
            if model := self._models.find(_named_in(await request.read()).model):
                current().service = model.service

    async def _read(self, request: web.Request) -> Call:
        try:
            body = await request.read()
        except web.RequestPayloadError as problem:
            raise Refusal(400, f"The body cannot be read: {problem}") from None
        asked = asked_in(body)
        model = self._models.find(asked.get("model"))
        if model is None:
            await asyncio.gather(*map(self.learn, self._models))  # an adapter that was loaded meanwhile
            model = self._models.find(asked["model"]) or self._models.guessed()
        if model is None:
            raise self._models.unknown(str(asked["model"])[:200])
        current().service = model.service
        if model.refusal:
            raise Refusal(503, model.refusal)
        return Call(request, body=body, asked=asked, model=model, now=time.monotonic())

    # --- asked ---------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _asked(self, call: Call) -> AsyncIterator[_Begun]:
        """Ask until something comes back; leaving ends what the replica still does for it."""
        turn, deaths = call.turn, call.model.deaths
        try:
            seat, begun = await self._in_time(call, self._ask_until_begun(call))
        except BaseException:
            deaths.over(turn.deaths)
            raise
        try:
            yield begun
        finally:
            answered = begun.upstream.content.at_eof() and begun.upstream.status < _ERROR_OF_SERVER
            if answered:
                self._models.answered(begun.replica)
            deaths.over(turn.deaths, answered=answered)
            _leave(begun.upstream)
            self._end(call, seat)

    async def _whole(self, call: Call) -> Answered:
        """Return all of an answer.

        Raises:
            Refusal: None can answer.
        """
        async with self._asked(call) as (upstream, first, replica):
            try:
                rest = b"" if upstream.content.at_eof() else await upstream.content.read()
            except (aiohttp.ClientError, OSError):
                raise Refusal(502, "The replica died in the middle of its answer", "replica_died") from None
            return Answered(upstream.status, first + rest, replica)

    async def _in_time(self, call: Call, answer: Awaitable[T]) -> T:
        """Wait for an answer for as long as the client wants.

        Raises:
            Refusal: None comes in time.
        """
        try:
            async with asyncio.timeout(call.timeout):
                return await answer
        except TimeoutError:
            text = f"The answer did not begin within {TIMEOUT_HEADER}: {call.timeout:g} s"
            raise Refusal(504, text, "timeout") from None

    async def _ask_until_begun(self, call: Call) -> tuple[Seat, _Begun]:
        """Ask one replica after the other until something comes back.

        Raises:
            Refusal: None answers.
        """
        while True:
            seat = await self._choose(call)
            current().asked(seat, part=bool(call.place))
            try:
                return seat, await self._ask(call, seat)
            except BaseException as problem:
                retried = isinstance(problem, _Unreached | _Died)
                if retried:
                    self._leave_alone(call.model, seat)
                self._end(call, seat)
                if not retried:
                    raise
                if isinstance(problem, _Died):
                    self._judge(call, seat, problem)
                self._counters.retried(call.model.service)

    def _judge(self, call: Call, seat: Seat, problem: _Died) -> None:
        """A replica died under a request.

        Raises:
            Refusal: It is the request that kills them.
        """
        turn, deaths = call.turn, call.model.deaths
        turn.suspect = deaths.died(seat.replica, turn.deaths, time.monotonic())
        if deaths.convict(turn.deaths):
            text = f"{len(turn.deaths)} replicas of '{call.model.service}' died under this request: {problem}"
            raise Refusal(500, text, DIED) from None

    def _leave_alone(self, model: Model, seat: Seat) -> None:
        """A replica did not answer: it is asked nothing for a while."""
        seat.away_until = time.monotonic() + _AWAY
        asyncio.get_running_loop().call_later(_AWAY + _MOMENT, model.serve)

    def _end(self, call: Call, seat: Seat) -> None:
        """A replica has a request less."""
        call.model.ended(seat, call.turn)
        self._changed()

    async def _choose(self, call: Call) -> Seat:
        """Return a replica, when one has room; it counts as asked.

        Raises:
            Refusal: None came in time, or too many wait.
        """
        model = call.model
        found = model.ask(call.turn)
        self._changed()
        if isinstance(found, Seat):
            return found
        try:
            while not found.done():
                await asyncio.wait({found}, timeout=self._patience(call))
            return found.result()
        except BaseException:
            model.give_up(call.turn, found)
            raise
        finally:
            self._changed()

    def _patience(self, call: Call) -> float:
        """Return the seconds for which a request waits until it looks again.

        It waits any time for a replica that is busy, but not for one that is not there.

        Raises:
            Refusal: None has been there for too long.
        """
        model, now = call.model, time.monotonic()
        if model.router.reachable(now):
            return max(self._wait, _LOOK_AGAIN)
        left = max(call.came, model.alone_since or call.came) + self._wait - now
        if left <= 0:
            limit = f"openai_wait={self._wait:g} s"
            raise Refusal(503, f"No replica of model '{model.service}' is ready, and none came within {limit}")
        return left

    async def _ask(self, call: Call, seat: Seat) -> _Begun:
        """Return the answer of a replica and its first bytes; all of them, where it says how many there are."""
        if not call.model.listed:
            await self._learn_of(call.model, seat)
        url = seat.url.removesuffix("/v1") + call.path
        headers = {**call.headers, **_key_of(call.model)}
        try:
            upstream = await self._session.post(url, data=call.body, headers=headers)
        except aiohttp.ClientConnectorError as problem:
            raise _Unreached from problem
        except (aiohttp.ClientError, OSError) as problem:
            raise _Died(str(problem) or type(problem).__name__) from problem
        try:
            return await self._begin(call.model, upstream, seat)
        except (aiohttp.ClientError, OSError) as problem:
            upstream.close()
            raise _Died(str(problem) or type(problem).__name__) from problem
        except BaseException:  # our client has gone, or the replica
            upstream.close()
            raise

    async def _begin(self, model: Model, upstream: aiohttp.ClientResponse, seat: Seat) -> _Begun:
        whole = (upstream.content_length or _LARGEST_WHOLE + 1) <= _LARGEST_WHOLE
        first = await (upstream.content.read() if whole else upstream.content.readany())
        if upstream.status >= _ERROR_OF_SERVER and await self._goes(model, seat):
            raise _Died(f"HTTP {upstream.status}")
        return _Begun(upstream, first, seat.replica.partition("/")[0])

    async def _goes(self, model: Model, seat: Seat) -> bool:
        """Whether a replica that is in trouble is gone in a moment."""
        until = time.monotonic() + _LAST_BREATH
        while seat.replica in model.router and (left := until - time.monotonic()) > 0:
            await self._models.change(left)
        return seat.replica not in model.router

    # --- answered ------------------------------------------------------------------------------------------------

    async def _give(self, request: web.Request, begun: _Begun) -> web.StreamResponse:
        upstream, piece, replica = begun
        headers = {name: upstream.headers[name] for name in _PASSED_BACK if name in upstream.headers}
        headers["X-Rhapsody-Replica"] = replica
        whole = upstream.content.at_eof()
        response = web.StreamResponse(status=upstream.status, headers=headers)
        if whole:
            response = web.Response(status=upstream.status, headers=headers, body=piece)
        visit = current()
        visit.began(upstream.status, piece, stream=upstream.content_type == _STREAM)
        if self._models.closing:
            response.force_close()
        if whole:
            return response
        await response.prepare(request)
        while piece:
            await response.write(piece)
            try:
                piece = await upstream.content.readany()
            except (aiohttp.ClientError, OSError):
                await self._break_off(request, response)
                break
            visit.more(piece)
        await response.write_eof()
        return response

    async def _break_off(self, request: web.Request, response: web.StreamResponse) -> None:
        """A replica died in the middle of its answer: the client is to know that this is not its end."""
        current().broke(_BROKEN)
        if response.content_type == _STREAM:
            await response.write(error_event(_BROKEN))
        elif request.transport:
            request.transport.abort()

    # --- known ---------------------------------------------------------------------------------------------------

    async def learn(self, model: Model) -> None:
        """Ask a replica by which names it knows its model."""
        if seat := model.router.first():
            await self._learn_of(model, seat)

    async def _learn_of(self, model: Model, seat: Seat) -> None:
        with contextlib.suppress(aiohttp.ClientError, OSError, LookupError, TypeError, msgspec.DecodeError):
            async with self._session.get(f"{seat.url}/models", headers=_key_of(model), timeout=_LISTED_WITHIN) as told:
                entries = msgspec.json.decode(await told.read())["data"]
                model.listed = {entry["id"]: entry for entry in entries}


def _leave(upstream: aiohttp.ClientResponse) -> None:
    """Keep the connection for the next request; hang up where an answer still comes, so that its work ends."""
    if upstream.content.at_eof():
        upstream.release()
    else:
        upstream.close()


def _key_of(model: Model) -> dict[str, str]:
    return {"Authorization": f"Bearer {model.secret}"}
