"""Deployments as processes: started, probed, replaced, ended; and the requests that reach them."""

import asyncio
import functools
import json
import logging
import random
import shutil
import sys
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from azureml_local import supervisor
from azureml_local.errors import ServiceError
from azureml_local.jobs.durations import iso_seconds
from azureml_local.responses import utc_now

if TYPE_CHECKING:
    import subprocess

log = logging.getLogger("azureml_local.serving")

_POLL_SECONDS = 0.1
_WATCH_SECONDS = 0.5
_LOG_TAIL_BYTES = 4000
_GRACE_SECONDS = 5.0
_MOST_SECONDS = 600.0  # beyond every timeout that a deployment may have


@dataclass(frozen=True)
class Limits:
    """A deployment's request settings and probes, with Azure ML's defaults."""

    timeout_seconds: float
    pending_count: int
    concurrency: int
    start_seconds: float

    @classmethod
    def read(cls, deployment: Mapping[str, Any]) -> "Limits":
        """From a deployment resource; 2 × concurrent × instances requests may be pending."""
        properties = deployment["properties"]
        settings = properties.get("requestSettings") or {}
        probe = properties.get("livenessProbe") or {}
        concurrent = int(settings.get("maxConcurrentRequestsPerInstance") or 1)
        instance_count = int((deployment.get("sku") or {}).get("capacity") or 1)
        period_seconds = iso_seconds(probe.get("period"), 10.0)
        patience_seconds = period_seconds * int(probe.get("failureThreshold") or 30)
        return cls(
            timeout_seconds=iso_seconds(settings.get("requestTimeout"), 5.0),
            pending_count=2 * concurrent * instance_count,
            concurrency=concurrent * instance_count,
            start_seconds=iso_seconds(probe.get("initialDelay"), 10.0) + patience_seconds,
        )


@dataclass(frozen=True)
class Container:
    """A running deployment: where its process answers, and the folder that holds its log and lock."""

    folder: Path
    process: "subprocess.Popen[bytes]"
    client: httpx.AsyncClient
    limits: Limits


class Serving:
    """The containers of one instance, by endpoint and deployment."""

    def __init__(self, root: Path) -> None:
        self._root = root / "deployments"
        self._live: dict[tuple[str, str], Container] = {}
        self._watching: set[asyncio.Task[None]] = set()
        self._pending: Counter[tuple[str, str]] = Counter()
        self._random = random.SystemRandom()

    async def deploy(
        self, endpoint: str, deployment: str, model: Path, limits: Limits, environment: Mapping[str, str]
    ) -> None:
        """Start a container and give it the deployment's requests once it is ready; end the one before.

        Raises ServiceError (ResourceNotReady) with the end of the container's log; the one before stays.
        """
        folder = self._root / endpoint / deployment / uuid.uuid4().hex[:8]
        folder.mkdir(parents=True)
        self._log(folder, "storage-initializer", f"Downloading model from {model.name}")
        self._log(folder, "storage-initializer", f"Mounted {_size_mib(model):.1f} MiB; nothing was copied.")
        (folder.parent / "current").unlink(missing_ok=True)
        (folder.parent / "current").symlink_to(folder.name)
        process = supervisor.start(
            folder,
            f"exec '{sys.executable}' -m azureml_local.serving.scoring_server --model '{model}'"
            f" --ready '{folder}/ready.json' --concurrency {limits.concurrency}",
            cwd=folder,
            log=folder / "inference-server.log",
            environment={**environment, "AZUREML_MODEL_DIR": str(model)},
            grace_seconds=_GRACE_SECONDS,
            with_parent=True,  # a service that comes back starts its deployments anew
        )
        try:
            client = await self._ready(folder, process, limits)
        except BaseException:
            process.terminate()  # the supervisor ends the group
            await asyncio.to_thread(process.wait)
            raise
        before = self._live.get((endpoint, deployment))
        container = Container(folder, process, client, limits)
        self._live[endpoint, deployment] = container
        again = functools.partial(self.deploy, endpoint, deployment, model, limits, environment)
        task = asyncio.get_running_loop().create_task(self._watch((endpoint, deployment), container, again))
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)
        if before is not None:
            await _end(before)

    async def remove(self, endpoint: str, deployment: str) -> None:
        """End a deployment's container and forget its files."""
        container = self._live.pop((endpoint, deployment), None)
        if container is not None:
            await _end(container)
        shutil.rmtree(self._root / endpoint / deployment, ignore_errors=True)

    def logs(self, endpoint: str, deployment: str, container: str, line_count: int) -> str:
        """The last lines of a container's log: ``inference-server`` or ``storage-initializer``."""
        path = self._root / endpoint / deployment / "current" / f"{container}.log"
        lines = path.read_text("utf-8", "replace").splitlines() if path.is_file() else []
        return "\n".join(lines[-line_count:])

    def choose(self, traffic: Mapping[str, int]) -> str | None:
        """A deployment, drawn by weight; None when none has any."""
        weights = {name: weight for name, weight in traffic.items() if weight > 0}
        return self._random.choices(list(weights), list(weights.values()))[0] if weights else None

    async def ask(
        self, endpoint: str, deployment: str, path: str, content: bytes, headers: Mapping[str, str]
    ) -> httpx.Response:
        """Pass a request to a deployment's container.

        Raises ServiceError 503 (not running), 408 (over its timeout), 429 (too many pending).
        """
        key = (endpoint, deployment)
        container = self._live.get(key)
        if container is None:
            raise ServiceError(503, "ServiceUnavailable", f"The deployment '{deployment}' is not ready.")
        if self._pending[key] >= container.limits.pending_count:
            raise ServiceError(429, "TooManyRequests", "Too many pending requests")
        self._pending[key] += 1
        try:
            async with asyncio.timeout(container.limits.timeout_seconds):
                return await container.client.post(path, content=content, headers=dict(headers))
        except TimeoutError as error:
            raise ServiceError(408, "RequestTimeout", "upstream request timeout") from error
        except httpx.TransportError as error:
            raise ServiceError(
                502, "BadGateway", "The deployment's container closed the connection."
            ) from error
        finally:
            self._pending[key] -= 1

    async def close(self) -> None:
        """End every container."""
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        containers, self._live = list(self._live.values()), {}
        await asyncio.gather(*map(_end, containers))

    async def _watch(
        self, key: tuple[str, str], container: Container, again: Callable[[], Awaitable[None]]
    ) -> None:
        """Start the deployment's container again when it ends by itself, as Azure does."""
        while container.process.poll() is None:
            await asyncio.sleep(_WATCH_SECONDS)
        if self._live.get(key) is container:
            log.warning("the container of %s ended and is started again", "/".join(key))
            try:
                await again()
            except ServiceError as error:
                log.warning("the container of %s does not start: %s", "/".join(key), error.message)

    async def _ready(
        self, folder: Path, process: "subprocess.Popen[bytes]", limits: Limits
    ) -> httpx.AsyncClient:
        with suppress(TimeoutError):
            async with asyncio.timeout(limits.start_seconds):
                while process.poll() is None:
                    port = _port(folder)
                    if port is not None:
                        return httpx.AsyncClient(
                            base_url=f"http://127.0.0.1:{port}",
                            timeout=_MOST_SECONDS,
                            trust_env=False,
                            limits=httpx.Limits(max_connections=None),
                        )
                    await asyncio.sleep(_POLL_SECONDS)
        log = folder / "inference-server.log"
        tail = log.read_bytes()[-_LOG_TAIL_BYTES:].decode("utf-8", "replace").strip() if log.is_file() else ""
        said = "terminated" if process.poll() is not None else "was not ready in time"
        message = (
            "ResourceNotReady: User container has crashed or terminated: Liveness probe failed: HTTP probe"
            f" failed with statuscode: 502. The container {said}. Please see troubleshooting guide, available"
            f" here: https://aka.ms/oe-tsg#error-resourcenotready\nThe end of its log:\n{tail}"
        )
        raise ServiceError(400, "ResourceNotReady", message)

    @staticmethod
    def _log(folder: Path, container: str, text: str) -> None:
        with (folder / f"{container}.log").open("a") as file:
            file.write(f"{utc_now()} {text}\n")


async def _end(container: Container) -> None:
    await container.client.aclose()
    supervisor.end(container.folder)
    while container.process.poll() is None:
        await asyncio.sleep(_POLL_SECONDS)
    shutil.rmtree(container.folder, ignore_errors=True)


def _port(folder: Path) -> int | None:
    try:
        return int(json.loads((folder / "ready.json").read_text())["port"])
    except FileNotFoundError:
        return None


def _size_mib(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20
