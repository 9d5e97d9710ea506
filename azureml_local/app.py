"""The service: what one instance is made of, and the one place every request passes through."""

import datetime as dt
import logging
import re
import time
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from azureml_local.access.identity import Identity
from azureml_local.assets.registry import Registry
from azureml_local.compute import computes
from azureml_local.compute.nodes import Nodes
from azureml_local.compute.sizes import Quota
from azureml_local.faults.effects import through
from azureml_local.faults.faults import Faults, Plan, call_name
from azureml_local.jobs.environments import Environments
from azureml_local.jobs.executor import Executor, Surroundings
from azureml_local.jobs.runs import Runs
from azureml_local.jobs.staging import Places
from azureml_local.jobs.tracking import Tracking
from azureml_local.lifecycle import Operations, Pace
from azureml_local.models import State
from azureml_local.responses import ServiceError, error_response
from azureml_local.serving import deployments, endpoints
from azureml_local.serving.serving import Serving
from azureml_local.storage import storage
from azureml_local.storage.blobs import Blobs
from azureml_local.urls import ARM, CONTROL, ROUTES, Route, Router

log = logging.getLogger("azureml_local")


@dataclass(frozen=True)
class Service:
    """One instance. Handlers get it as their first argument.

    ``as_of`` is the day whose Azure is shown; ``temporary`` says that the state, and with it every process
    started, ends with the instance; ``environment`` is what a client (a job too) needs to talk to it.
    """

    state: State
    operations: Operations
    pace: Pace
    identity: Identity
    blobs: Blobs
    registry: Registry
    as_of: dt.date
    quota: Quota
    temporary: bool
    environment: dict[str, str]
    runs: Runs
    nodes: Nodes
    places: Places
    tracking: Tracking
    executor: Executor
    serving: Serving
    faults: Faults

    @classmethod
    def open(
        cls,
        root: Path,
        registry_folder: Path,
        environment: dict[str, str],
        *,
        pace: Pace,
        as_of: dt.date,
        temporary: bool,
        quota: Quota,
        build_environments: bool = False,
        faults: Plan | None = None,
    ) -> "Service":
        state = State(root)
        identity, blobs, registry = Identity(state), Blobs(state), Registry(registry_folder, as_of)
        runs, nodes, tracking = Runs(state), Nodes(state, pace), Tracking(state, blobs)
        places = Places(state, blobs, registry)
        surroundings = Surroundings(environment, identity, temporary)
        environments = Environments(root / "environments", build=build_environments)
        return cls(
            state=state,
            operations=Operations(state, pace),
            pace=pace,
            identity=identity,
            blobs=blobs,
            registry=registry,
            as_of=as_of,
            quota=quota,
            temporary=temporary,
            environment=environment,
            runs=runs,
            nodes=nodes,
            places=places,
            tracking=tracking,
            executor=Executor(state, runs, nodes, places, tracking, pace, environments, surroundings),
            serving=Serving(state.root),
            faults=Faults(faults or Plan()),
        )

    async def start(self) -> None:
        """Bring back what a stopped instance left: operations, jobs, deployments."""
        self.operations.recover(
            {
                "job.cancel": self.executor.ended,
                **computes.finishers(self),
                **endpoints.resume(self),
                **deployments.resume(self),
            }
        )
        self.executor.recover()
        for name, _ in self.state.all("computes"):
            self.nodes.settle(name)
        deployments.start_all(self)

    async def stop(self) -> None:
        """End what this instance runs, and let the state go."""
        await self.operations.close()
        await self.executor.close()
        await self.serving.close()
        await self.nodes.close()
        await self.tracking.close()
        self.state.close()


class App:
    """The ASGI application. Host and path choose a handler; what none answers is 501, naming itself."""

    def __init__(self, service: Service, routes: tuple[Route, ...] = ROUTES) -> None:
        self._service = service
        self._router = Router(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"only HTTP is spoken here, not {scope['type']}")
        request = Request(scope, receive)
        started = time.monotonic()
        response = await self.dispatch(request)
        await response(scope, receive, send)
        duration_ms = (time.monotonic() - started) * 1000
        host = request.headers.get("host", "")
        log.info("%s %s %s%s %.0f ms", response.status_code, request.method, host, scope["path"], duration_ms)

    async def dispatch(self, request: Request) -> Response:
        """Answer one request, errors included."""
        try:
            return await self._answer(request)
        except ServiceError as error:
            return _rendered(request, error)
        except Exception:
            # The process boundary: a fault of ours is one failed request, with its traceback in the log.
            log.exception("%s %s", request.method, request.scope["path"])
            return _rendered(
                request, ServiceError(500, "InternalServerError", "An internal server error occurred.")
            )

    async def _answer(self, request: Request) -> Response:
        host = request.headers.get("host", "").partition(":")[0].lower()
        path = request.scope["path"]
        if ".blob." not in host:  # the SDK joins "…com/" and "/subscriptions…"; in a blob's name // is a name
            path = re.sub("/{2,}", "/", path)
        found = self._router.find(host, request.method, path)
        if found is None:
            raise ServiceError(
                501, "NotImplemented", f"azureml_local has no operation {request.method} https://{host}{path}"
            )
        route, parameters = found
        request.scope["path_params"] = parameters

        async def handled() -> Response:
            return await self._handle(route, request)

        if route.host == CONTROL:  # never broken: it is where a plan is taken back
            return await handled()
        effects = self._service.faults.of(call_name(route, parameters), request.method, host + path)
        return await through(effects, self._service, request, handled)

    async def _handle(self, route: Route, request: Request) -> Response:
        if route.host == ARM and "api-version" not in request.query_params:
            message = "The api-version query parameter (?api-version=) is required for all requests."
            raise ServiceError(400, "MissingApiVersionParameter", message)
        if not route.anonymous:
            self._service.identity.check(request.headers.get("authorization", ""))
        return await route.handler(self._service, request)


def _rendered(request: Request, error: ServiceError) -> Response:
    in_storage = ".blob." in request.headers.get("host", "")
    return storage.error_response(error) if in_storage else error_response(error)
