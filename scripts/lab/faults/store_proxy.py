"""A proxy before the store that can be slow, silent or closed."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from pathlib import Path

CHUNK = 1 << 16


class StoreProxy:
    """Passes bytes between a unix socket of its own and the store's.

    `delay_s` is how long each request waits on its way (a pipeline is one request); `is_silent`
    takes requests and answers nothing, as a stopped machine does; `shut` refuses connections.

    Args:
        path: where to listen.
        target: the store's unix socket.
    """

    def __init__(self, path: Path, target: Path) -> None:
        self.url = f"unix://{path}"
        self.delay_s = 0.0
        self.is_silent = False
        self._path, self._target = path, target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    def __enter__(self) -> StoreProxy:
        self._thread.start()
        self.open()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.shut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def open(self) -> None:
        """Take connections (again)."""
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()

    def shut(self) -> None:
        """Break every connection and refuse new ones."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()

    async def _listen(self) -> None:
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, str(self._path))

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)
        for writer in list(self._open):
            writer.transport.abort()
        while self._open:
            await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            with suppress(OSError):
                store_reader, store_writer = await asyncio.open_unix_connection(str(self._target))
                self._open.add(store_writer)
                await asyncio.gather(
                    self._pump(reader, store_writer, slowly=True),
                    self._pump(store_reader, writer, slowly=False),
                )
                self._open.discard(store_writer)
        finally:
            writer.close()
            self._open.discard(writer)

    async def _pump(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, slowly: bool
    ) -> None:
        with suppress(OSError):
            while data := await source.read(CHUNK):
                if slowly and self.delay_s:
                    await asyncio.sleep(self.delay_s)
                while self.is_silent:
                    await asyncio.sleep(0.02)
                target.write(data)
                await target.drain()
        target.close()
        self._open.discard(target)
