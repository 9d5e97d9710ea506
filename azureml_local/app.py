"""The one place every request passes through."""

import logging
import re
import time

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from azureml_local.errors import ServiceError
from azureml_local.faults.effects import through
from azureml_local.responses import error_response
from azureml_local.service import Service
from azureml_local.storage import storage
from azureml_local.urls import ARM, CONTROL, ROUTES, Route, Router

log = logging.getLogger("azureml_local")


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
        effects = self._service.faults.of(route.call(parameters), request.method, host + path)
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
