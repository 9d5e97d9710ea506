"""One running instance: its ports, TLS service and proxy, and the environment that leads clients to it."""

import asyncio
import contextlib
import datetime as dt
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from azureml_local.access import role_assignments
from azureml_local.app import App
from azureml_local.compute.sizes import Quota, quota
from azureml_local.faults.effects import ABORT
from azureml_local.faults.faults import Plan
from azureml_local.lifecycle import Pace
from azureml_local.network.proxy import Proxy
from azureml_local.network.tls import certificates
from azureml_local.recovery import recover
from azureml_local.service import Service

SUBSCRIPTION_ID = "00000000-0000-0000-0000-000000000000"
RESOURCE_GROUP = "local"
WORKSPACE = "local"
_FACTS = "instance.json"
_GRACE_SECONDS = 5
_KEEP_ALIVE_SECONDS = 120


@dataclass(frozen=True)
class Settings:
    """How an instance is started. ``root`` keeps its state; a ``temporary`` one ends with the instance."""

    root: Path
    registry: Path
    pace: Pace
    as_of: dt.date
    temporary: bool
    allow_internet: bool
    quota: Quota = field(default_factory=quota)
    build_environments: bool = False
    faults: Plan | None = None


class _Connection(H11Protocol):
    """A connection that whoever answers on it may break."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        answer = self.app

        async def breakable(scope: Scope, receive: Receive, send: Send) -> None:
            await answer({**scope, "extensions": {ABORT: transport.abort}}, receive, send)

        self.app = breakable


class _Server(uvicorn.Server):
    """A uvicorn that leaves signals to the command line."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Service]:
    """Start an instance, and stop it with everything that belongs to it.

    Raises RuntimeError when the state folder has a running instance already.
    """
    root = settings.root
    before = facts(root)
    if before is not None and is_running(before):
        raise RuntimeError(f"an instance is already running on {root} (pid {before['pid']})")
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    # The same proxy port again after a restart, if it is free: clients and jobs that hold it just go on.
    proxy_listener = _listen(before["proxy_port"] if before else 0)
    service_listener = _listen(0)
    proxy_port = proxy_listener.getsockname()[1]
    files = certificates(root / "tls")
    environment = _addresses(proxy_port, files.bundle)
    service = Service.open(
        root,
        settings.registry,
        environment,
        pace=settings.pace,
        as_of=settings.as_of,
        quota=settings.quota,
        temporary=settings.temporary,
        build_environments=settings.build_environments,
        faults=settings.faults,
    )
    environment.update(_credentials(service))
    role_assignments.seed(service, f"/subscriptions/{SUBSCRIPTION_ID}/resourceGroups/{RESOURCE_GROUP}")
    server = _Server(_config(App(service), files.server))
    proxy = Proxy(service_listener.getsockname()[1], allow_internet=settings.allow_internet)
    tunnels = await proxy.serve(proxy_listener)
    serving = asyncio.create_task(server.serve(sockets=[service_listener]))
    try:
        await recover(service)
        _write_facts(root, proxy_port, environment)
        yield service
    finally:
        tunnels.close()
        server.should_exit = True
        await proxy.close()  # first: the server waits for its clients to hang up
        await serving
        await service.stop()


def facts(root: Path) -> dict[str, Any] | None:
    """What the last instance on this folder said of itself, or None when there was none."""
    try:
        found: dict[str, Any] = json.loads((root / _FACTS).read_text())
    except FileNotFoundError:
        return None
    return found


def is_running(facts: dict[str, Any]) -> bool:
    """Whether the instance that wrote these facts is still the process of that number."""
    try:
        process = psutil.Process(facts["pid"])
        same = bool(process.create_time() == facts["started"])
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _write_facts(root: Path, proxy_port: int, environment: dict[str, str]) -> None:
    process = psutil.Process()
    content = {
        "pid": process.pid,
        "started": process.create_time(),
        "proxy_port": proxy_port,
        "environment": environment,
    }
    staged = root / f"{_FACTS}.new"
    staged.touch(mode=0o600)  # it holds the client secret
    staged.write_text(json.dumps(content, indent=1))
    staged.replace(root / _FACTS)


def _listen(port: int) -> socket.socket:
    # The protocol by name: asyncio turns Nagle's algorithm off only for sockets that say TCP.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        if port == 0:
            raise
        listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    return listener


def _config(app: App, server_certificate: Path) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        ssl_certfile=server_certificate,
        # Longer than any client's polling interval: who finds its connection closed just then sees an error.
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


def _addresses(proxy_port: int, bundle: Path) -> dict[str, str]:
    proxy = f"http://127.0.0.1:{proxy_port}"
    return {
        "HTTPS_PROXY": proxy,
        "https_proxy": proxy,
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "REQUESTS_CA_BUNDLE": str(bundle),
        "SSL_CERT_FILE": str(bundle),
        "CURL_CA_BUNDLE": str(bundle),
        "AZUREML_ARM_SUBSCRIPTION": SUBSCRIPTION_ID,
        "AZUREML_ARM_RESOURCEGROUP": RESOURCE_GROUP,
        "AZUREML_ARM_WORKSPACE_NAME": WORKSPACE,
        "AZUREML_RUN_POLLING_INTERVAL_MIN": "1",
        "AZUREML_RUN_POLLING_INTERVAL_MAX": "2",
        "HF_HUB_OFFLINE": "1",
    }


def _credentials(service: Service) -> dict[str, str]:
    return {
        "AZURE_TENANT_ID": service.identity.tenant_id,
        "AZURE_CLIENT_ID": service.identity.client_id,
        "AZURE_CLIENT_SECRET": service.identity.client_secret,
    }
