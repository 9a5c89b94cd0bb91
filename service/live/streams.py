"""The streams of one process: at most a hundred, woken by one poller that reads for all of them.

The poller runs while there are streams. It reads in a thread of its own, so that however many
wait, no more than one does; a stream whose reader is slow is read for once it has taken what it
was given, so that nothing piles up.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress

import anyio
import anyio.to_thread

from metadata.errors import Unavailable
from service.live.messages import Batch, Message
from service.live.reader import Place, Read

log = logging.getLogger(__name__)

MOST_STREAMS = 100
POLL_SECONDS = 0.25  # half of it is what a report waits on average
AWAY_SECONDS = 5.0  # after a look that failed: the database may be away


class Stream:
    """One reader: where it is, and what it has not taken yet."""

    def __init__(self, place: Place, *, ask: Callable[[], None]) -> None:
        """Begin at a place; `ask` is called where more is known to be there."""
        self.place = place
        self._ask = ask
        self._batch: Batch | None = None
        self._is_over = False
        self._woken = asyncio.Event()

    @property
    def is_hungry(self) -> bool:
        """Say whether the reader has taken all that it was given."""
        return self._batch is None and not self._is_over

    def give(self, batch: Batch) -> None:
        """Hand over what is new."""
        self.place = Place(self.place.topic, batch.position, batch.mark)
        if batch.messages:
            self._batch = batch
        self._is_over |= batch.is_last
        self._woken.set()

    def end(self) -> None:
        """Let the reader go once it has taken what it was given."""
        self._is_over = True
        self._woken.set()

    async def messages(self) -> AsyncIterator[Message]:
        """Yield messages as they come, until the topic or the server ends."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            batch = self._batch
            for message in () if batch is None else batch.messages:
                yield message
            self._batch = None
            if self._is_over:
                return
            if batch is not None and batch.mark is None:
                self._ask()


class Live:
    """Opens streams and feeds them."""

    def __init__(
        self, read: Read, *, most: int = MOST_STREAMS, poll_seconds: float = POLL_SECONDS
    ) -> None:
        """Read with `read`; nothing runs before the first stream is open."""
        self._read = read
        self._most = most
        self._poll_seconds = poll_seconds
        self._streams: set[Stream] = set()
        self._poller: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked = asyncio.Event()
        self._is_closed = False

    @property
    def count(self) -> int:
        """Return how many streams are open."""
        return len(self._streams)

    @contextmanager
    def stream(self, place: Place) -> Iterator[Stream]:
        """Open a stream for as long as the block lasts; called in the event loop.

        Raises:
            Unavailable: Too many are open, or the server is about to stop.
        """
        if self._is_closed:
            raise Unavailable("The server is about to stop. Open the stream on the next one.")
        if len(self._streams) >= self._most:
            raise Unavailable(
                f"A server has at most {self._most:,} streams open, and it has. Try again in some "
                "seconds, or read the job from time to time instead."
            )
        self._keep_polling()
        stream = Stream(place, ask=self._asked.set)
        self._streams.add(stream)
        self._asked.set()
        try:
            yield stream
        finally:
            self._streams.discard(stream)

    def close(self) -> None:
        """End all streams and open no more; may be called from any thread."""
        self._is_closed = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end_all)

    def _end_all(self) -> None:
        for stream in self._streams:
            stream.end()

    def _keep_polling(self) -> None:
        loop = asyncio.get_running_loop()
        if self._poller is None or self._poller.done() or self._loop is not loop:
            self._loop, self._asked = loop, asyncio.Event()
            self._poller = loop.create_task(self._poll(), name="live-poller")

    async def _poll(self) -> None:
        thread = anyio.CapacityLimiter(1)
        while self._streams:
            self._asked.clear()
            try:
                await self._serve(thread)
            except Exception as error:  # the streams outlive a database that is away for a while
                log.warning("streams wait, for nothing can be read: %s", type(error).__name__)
                await asyncio.sleep(AWAY_SECONDS)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), self._poll_seconds)

    async def _serve(self, thread: anyio.CapacityLimiter) -> None:
        hungry = [stream for stream in self._streams if stream.is_hungry]
        if not hungry:
            return
        places = [stream.place for stream in hungry]
        found = await anyio.to_thread.run_sync(self._read, places, limiter=thread)
        for stream, batch in zip(hungry, found, strict=True):
            if batch is not None:
                stream.give(batch)
