"""The CONNECT proxy: Azure's names lead to this service, no other name leads anywhere."""

import asyncio
import contextlib
import logging
import re
import socket

log = logging.getLogger("azureml_local")

_AZURE = re.compile(
    r"management\.azure\.com|login\.microsoftonline\.com|[\w-]+\.api\.azureml\.ms"
    r"|[\w-]+\.blob\.core\.windows\.net|[\w-]+\.eastus\.inference\.ml\.azure\.com|control\.azureml-local",
    re.IGNORECASE,
)
_HEAD_SECONDS = 30.0


class Proxy:
    """Tunnels ``CONNECT name:443`` to the service's TLS port when the name is one of Azure's that it answers.

    Anything else is 403, unless ``allow_internet``: then the tunnel goes where it asks.
    """

    def __init__(self, service_port: int, *, allow_internet: bool) -> None:
        self._service_port = service_port
        self._allow_internet = allow_internet
        self._tunnels: set[asyncio.Task[None]] = set()

    async def serve(self, listener: socket.socket) -> asyncio.Server:
        """Listen; close the returned server to stop."""
        return await asyncio.start_server(self._tracked, sock=listener)

    async def close(self) -> None:
        for tunnel in self._tunnels:
            tunnel.cancel()
        await asyncio.gather(*self._tunnels, return_exceptions=True)

    async def _tracked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._answer(reader, writer))
        self._tunnels.add(task)
        task.add_done_callback(self._tunnels.discard)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            try:
                async with asyncio.timeout(_HEAD_SECONDS):
                    head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, OSError):
                return  # nobody there who would read an answer
            target = self._target(head)
            if target is None:
                first_line = head.partition(b"\r\n")[0].decode("latin-1")
                log.warning("proxy refused: %s", first_line)
                message = b"azureml_local lets only the Azure names through that it answers itself.\n"
                writer.write(
                    b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n%s" % (len(message), message)
                )
                await writer.drain()
                return
            try:
                there_reader, there_writer = await asyncio.open_connection(*target)
            except OSError as error:
                log.warning("proxy cannot reach %s:%s: %s", *target, error)
                writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
                return
            with contextlib.closing(there_writer):
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                _acknowledge(writer)
                await asyncio.gather(
                    _pump(reader, writer, there_writer), _pump(there_reader, there_writer, writer)
                )

    def _target(self, head: bytes) -> tuple[str, int] | None:
        match = re.match(r"CONNECT ([^\s:]+):(\d{1,5}) HTTP/1\.[01]\r\n", head.decode("latin-1"))
        if match is None:
            return None
        host, port = match[1], int(match[2])
        if _AZURE.fullmatch(host) and port == 443:
            return "127.0.0.1", self._service_port
        return (host, port) if self._allow_internet else None


async def _pump(
    reader: asyncio.StreamReader, source: asyncio.StreamWriter, writer: asyncio.StreamWriter
) -> None:
    """Copy until one side ends; a broken tunnel ends quietly, as the two ends notice for themselves."""
    with contextlib.suppress(ConnectionError, TimeoutError):
        while data := await reader.read(1 << 18):
            _acknowledge(source)
            writer.write(data)
            await writer.drain()
    _end(writer)


def _acknowledge(received_from: asyncio.StreamWriter) -> None:
    """Acknowledge at once what was read.

    urllib3 leaves Nagle's algorithm on when it talks to a proxy, and would hold a request's body back for the
    40 ms of a delayed acknowledgement.
    """
    if hasattr(socket, "TCP_QUICKACK"):  # Linux; it must be asked for again after every read
        received_from.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _end(writer: asyncio.StreamWriter) -> None:
    if writer.can_write_eof() and not writer.is_closing():
        with contextlib.suppress(OSError):
            writer.write_eof()
    else:
        writer.close()
