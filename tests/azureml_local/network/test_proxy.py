"""What the proxy lets through, and where it leads."""

import asyncio
import socket

import pytest

from azureml_local.network.proxy import Proxy


async def _ask(request: bytes, *, allow_internet: bool = False) -> tuple[bytes, bytes]:
    """What the proxy answers to a request, and what the service behind it says after that."""

    async def service(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"the service")
        writer.close()

    behind = await asyncio.start_server(service, "127.0.0.1", 0)
    port = behind.sockets[0].getsockname()[1]
    listener = socket.create_server(("127.0.0.1", 0))
    proxy = Proxy(port, allow_internet=allow_internet)
    async with behind, await proxy.serve(listener):
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(request.replace(b"PORT", str(port).encode()))
        writer.write_eof()
        async with asyncio.timeout(10):
            head = await reader.readuntil(b"\r\n\r\n")
            rest = await reader.read()
        writer.close()
        await writer.wait_closed()
        await proxy.close()
    return head.partition(b"\r\n")[0], rest


@pytest.mark.parametrize(
    "name",
    [
        "management.azure.com",
        "LOGIN.microsoftonline.com",
        "eastus.api.azureml.ms",
        "account.blob.core.windows.net",
        "chat-1.eastus.inference.ml.azure.com",
    ],
)
def test_azures_names_lead_to_the_service(name: str) -> None:
    head, rest = asyncio.run(_ask(f"CONNECT {name}:443 HTTP/1.1\r\nHost: {name}\r\n\r\n".encode()))
    assert head == b"HTTP/1.1 200 Connection established"
    assert rest == b"the service"


@pytest.mark.parametrize(
    "line",
    [
        "CONNECT example.com:443 HTTP/1.1",
        "CONNECT management.azure.com.example.com:443 HTTP/1.1",
        "CONNECT example.com/management.azure.com:443 HTTP/1.1",
        "CONNECT management.azure.com:80 HTTP/1.1",
        "CONNECT 127.0.0.1:PORT HTTP/1.1",
        "GET http://management.azure.com/ HTTP/1.1",
        "nonsense",
    ],
)
def test_nothing_else_gets_through(line: str) -> None:
    head, rest = asyncio.run(_ask(f"{line}\r\n\r\n".encode()))
    assert head == b"HTTP/1.1 403 Forbidden"
    assert b"the service" not in rest


def test_the_internet_is_a_choice() -> None:
    head, rest = asyncio.run(_ask(b"CONNECT 127.0.0.1:PORT HTTP/1.1\r\n\r\n", allow_internet=True))
    assert (head, rest) == (b"HTTP/1.1 200 Connection established", b"the service")
    head, _ = asyncio.run(_ask(b"CONNECT 127.0.0.1:1 HTTP/1.1\r\n\r\n", allow_internet=True))
    assert head == b"HTTP/1.1 502 Bad Gateway"
