"""The workspace's MLflow: a real tracking server as a child, whose runs are led by the jobs' names.

The server starts when it is first needed (a job, a request); who comes before it is up is held until it is.
"""

import asyncio
import os
import shutil
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from azureml_local import supervisor
from azureml_local.errors import ServiceError
from azureml_local.jobs.status import Status
from azureml_local.models import State
from azureml_local.storage.blobs import Blobs

_START_SECONDS = 180.0
# MLflow's store has 15 database connections; who finds none waits 30 s and gets a 400 (measured, MLflow
# 3.17 on SQLite: 200 jobs submitted together). So requests queue here.
_LIMITS = httpx.Limits(max_connections=4)
_ENDED = {Status.COMPLETED: "FINISHED", Status.FAILED: "FAILED", Status.CANCELED: "KILLED"}


class Tracking:
    """The MLflow server of one instance, and which of its runs belongs to which job."""

    def __init__(self, state: State, blobs: Blobs) -> None:
        self._state = state
        self._blobs = blobs
        self._starting: asyncio.Task[httpx.AsyncClient] | None = None
        self._jobs = {run["run_uuid"]: job for job, run in state.all("mlflow_runs")}
        self._creating: dict[str, asyncio.Task[str]] = {}

    def begin(self) -> None:
        """Have the server started, without waiting for it."""
        if self._starting is None or (self._starting.done() and self._starting.exception() is not None):
            self._starting = asyncio.get_running_loop().create_task(self._start())

    async def client(self) -> httpx.AsyncClient:
        """A client of the server, once it is up. Raises ServiceError 503 when it does not come up."""
        self.begin()
        assert self._starting is not None
        return await asyncio.shield(self._starting)

    async def run_uuid(self, job: str) -> str | None:
        """The server's id of the job's run, made when first asked for; None when there is no such job."""
        known = self._state.get("mlflow_runs", job)
        if known is not None:
            return str(known["run_uuid"])
        run = self._state.get("runs", job)
        if run is None:
            return None
        if job not in self._creating:
            self._creating[job] = asyncio.get_running_loop().create_task(self._create(run))
            self._creating[job].add_done_callback(lambda _: self._creating.pop(job))
        return await asyncio.shield(self._creating[job])

    async def finish(self, job: str) -> None:
        """Tell MLflow how the job's run ended."""
        run = self._state.get("runs", job)
        uuid = await self.run_uuid(job)
        if run is not None and uuid is not None:
            await self._end_run(await self.client(), uuid, Status(run["status"]))

    @staticmethod
    async def _end_run(client: httpx.AsyncClient, uuid: str, status: Status) -> None:
        body = {"run_id": uuid, "status": _ENDED[status]}
        (await client.post("/api/2.0/mlflow/runs/update", json=body)).raise_for_status()

    async def log(self, job: str, metric: str, value: float, step: int) -> None:
        """Log a value of a metric to the job's run."""
        client, uuid = await self.client(), await self.run_uuid(job)
        now_ms = round(time.time() * 1000)
        body = {"run_id": uuid, "key": metric, "value": value, "timestamp": now_ms, "step": step}
        (await client.post("/api/2.0/mlflow/runs/log-metric", json=body)).raise_for_status()

    def job_of(self, uuid: str) -> str:
        """The job whose run this is; the id itself when it is nobody's."""
        return self._jobs.get(uuid, uuid)

    async def close(self) -> None:
        """End the server."""
        tasks = [task for task in (self._starting, *self._creating.values()) if task is not None]
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, httpx.AsyncClient):
                await ended.aclose()
        await self._end_server()

    @property
    def _server(self) -> Path:
        return self._state.root / "mlflow" / "server"

    async def _end_server(self) -> None:
        supervisor.end(self._server)
        while supervisor.is_alive(self._server):
            await asyncio.sleep(0.05)

    async def _start(self) -> httpx.AsyncClient:
        await self._end_server()  # that of a service which was killed may still be ending
        folder = self._server
        shutil.rmtree(folder, ignore_errors=True)
        served = folder.parent / "served"
        if not served.exists():
            # MLflow cannot go on with a database that it was killed while making; nobody has used it yet.
            (folder.parent / "mlflow.db").unlink(missing_ok=True)
        port = _free_port()
        command = (
            f"exec '{sys.executable}' -m mlflow server --host 127.0.0.1 --port {port} --workers 1"
            f" --backend-store-uri 'sqlite:///{self._state.root}/mlflow/mlflow.db'"
            f" --artifacts-destination '{self._artifact_root}'"
        )
        quiet = {
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        process = supervisor.start(
            folder,
            command,
            cwd=self._state.root / "mlflow",
            log=self._state.root / "logs" / "mlflow.log",
            environment={**os.environ, **quiet},
            grace_seconds=3,
            with_parent=True,
        )
        client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", timeout=300, limits=_LIMITS, trust_env=False
        )
        try:
            async with asyncio.timeout(_START_SECONDS):
                while process.poll() is None:
                    with suppress(httpx.TransportError):
                        if (await client.get("/health")).is_success:
                            served.touch()
                            return client
                    await asyncio.sleep(0.1)
        except (TimeoutError, asyncio.CancelledError):
            process.terminate()
            await asyncio.to_thread(process.wait)
            raise
        finally:
            if process.poll() is not None:
                await client.aclose()
        raise ServiceError(
            503, "ServiceUnavailable", "The MLflow server ended at its start: see logs/mlflow.log."
        )

    @property
    def _artifact_root(self) -> str:
        return str(self._blobs.path(self._blobs.datastores["workspaceartifactstore"]))

    async def _create(self, run: Mapping[str, Any]) -> str:
        client = await self.client()
        tags = {
            "mlflow.runName": run["displayName"],
            "mlflow.rootRunId": run["rootRunId"],
            "mlflow.user": "azureml_local",
            "azureml.jobName": run["runId"],
        }
        if run["parentRunId"]:
            tags["mlflow.parentRunId"] = run["parentRunId"]
        body = {
            "experiment_id": await self._experiment(client, run["experimentName"]),
            "run_name": run["displayName"],
            "tags": [{"key": key, "value": value} for key, value in tags.items()],
        }
        answer = await client.post("/api/2.0/mlflow/runs/create", json=body)
        answer.raise_for_status()
        info = answer.json()["run"]["info"]
        if (status := Status(run["status"])) in _ENDED:  # it ended while there was no MLflow to be told
            await self._end_run(client, info["run_id"], status)
        self._lead_artifacts(info["artifact_uri"], f"ExperimentRun/dcid.{run['runId']}")
        self._state.put("mlflow_runs", run["runId"], {"run_uuid": info["run_id"]})
        self._jobs[info["run_id"]] = run["runId"]
        return str(info["run_id"])

    async def _experiment(self, client: httpx.AsyncClient, name: str) -> str:
        created = await client.post("/api/2.0/mlflow/experiments/create", json={"name": name})
        if created.is_success:
            return str(created.json()["experiment_id"])
        found = await client.get("/api/2.0/mlflow/experiments/get-by-name", params={"experiment_name": name})
        found.raise_for_status()
        return str(found.json()["experiment"]["experiment_id"])

    def _lead_artifacts(self, artifact_uri: str, prefix: str) -> None:
        """Have what MLflow keeps at ``artifact_uri`` land under ``prefix`` of the artifact store."""
        container = self._blobs.datastores["workspaceartifactstore"]
        target = self._blobs.path(container, prefix)
        target.mkdir(parents=True, exist_ok=True)
        link = self._blobs.path(container, artifact_uri.removeprefix("mlflow-artifacts:"))
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(target)

    def lead_logged_model(self, model: Mapping[str, Any]) -> None:
        """Have a logged model's files land in its job's artifacts, under the model's name."""
        job = self._jobs.get(str(model.get("source_run_id")))
        if job is not None:
            self._lead_artifacts(model["artifact_uri"], f"ExperimentRun/dcid.{job}/{model['name']}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
