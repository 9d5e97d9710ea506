"""The one table of routes: which host, method and path is answered by which handler.

A handler is ``async def handler(service: Service, request: Request) -> Response``; the first line of its
docstring is what the generated page of operations says about the route. First match wins, so a fixed path
stands before a template that would swallow it. ``{name}`` takes one path segment, ``{name:path}`` the rest.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

if TYPE_CHECKING:
    from azureml_local.app import Service

Handler = Callable[["Service", Request], Awaitable[Response]]

# Hosts. Their parameters join the path's.
LOGIN = "login.microsoftonline.com"
ARM = "management.azure.com"
API = "{region}.api.azureml.ms"
BLOB = "{account}.blob.core.windows.net"
INFERENCE = "{endpoint}.{region}.inference.ml.azure.com"

# Path prefixes.
_PROVIDER = "/providers/Microsoft.MachineLearningServices"
GROUP = "/subscriptions/{subscription}/resourceGroups/{group}" + _PROVIDER
WORKSPACE = GROUP + "/workspaces/{workspace}"
SUBSCRIPTION = "/subscriptions/{subscription}" + _PROVIDER
REGION = SUBSCRIPTION + "/locations/{location}"
REGISTRY = "/mferp/managementfrontend" + GROUP + "/registries/{registry}"
HISTORY = "/history/v1.0" + WORKSPACE


@dataclass(frozen=True)
class Route:
    """One line of the table; ``anonymous`` asks for no bearer token (blobs and scoring check their own keys)."""

    host: str
    method: str
    path: str
    handler: Handler
    anonymous: bool = False

    @property
    def summary(self) -> str:
        return (self.handler.__doc__ or "").strip().partition("\n")[0]


ROUTES: tuple[Route, ...] = ()


class Router:
    """Finds the route of a request; fixed path segments and hosts match in any case, as ARM's do."""

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self._routes = [
            (_pattern(route.host, "[^.]+"), _pattern(route.path, "[^/]+"), route) for route in routes
        ]

    def find(self, host: str, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """The route and the parameters of its host and path, or None when nothing answers."""
        for host_pattern, path_pattern, route in self._routes:
            if route.method != method:
                continue
            host_match, path_match = host_pattern.fullmatch(host), path_pattern.fullmatch(path)
            if host_match and path_match:
                return route, host_match.groupdict() | path_match.groupdict()
        return None


def _pattern(template: str, one: str) -> re.Pattern[str]:
    parts = re.split(r"{(\w+)(:path)?}", template)
    regex = ""
    for fixed, name, rest in zip(parts[0::3], [*parts[1::3], None], [*parts[2::3], None], strict=True):
        regex += re.escape(fixed)
        if name is not None:
            regex += f"(?P<{name}>{'.*' if rest else one})"
    return re.compile(regex, re.IGNORECASE)
