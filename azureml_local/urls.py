"""The one table of routes: which host, method and path is answered by which handler.

A handler is ``async def handler(service: Service, request: Request) -> Response``; the first line of its
docstring is what the generated page of operations says about the route. First match wins, so a fixed path
stands before a template that would swallow it. ``{name}`` takes one path segment, ``{name:path}`` the rest,
``{name:a|b}`` one of these words, in any case, and gives it in lower case.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from azureml_local import operations, workspace
from azureml_local.access import identity, managed_identities, role_assignments
from azureml_local.assets import assets, registry_api
from azureml_local.compute import capacity, computes
from azureml_local.faults import control as fault_control
from azureml_local.jobs import jobs, run_history, tracking
from azureml_local.service import Service
from azureml_local.serving import deployments, endpoints, scoring
from azureml_local.storage import storage

Handler = Callable[[Service, Request], Awaitable[Response]]

# Hosts. Their parameters join the path's.
LOGIN = "login.microsoftonline.com"
ARM = "management.azure.com"
API = "{region}.api.azureml.ms"
BLOB = "{account}.blob.core.windows.net"
CONTROL = "control.azureml-local"  # no name of Azure's, and of nobody's: only our proxy knows it
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
    """One line of the table; ``anonymous`` asks for no bearer token (blobs and scoring check keys)."""

    host: str
    method: str
    path: str
    handler: Handler
    anonymous: bool = False

    @property
    def summary(self) -> str:
        return (self.handler.__doc__ or "").strip().partition("\n")[0]

    def call(self, parameters: Mapping[str, str]) -> str:
        """What a fault plan calls a request of it."""
        module = self.handler.__module__.rpartition(".")[2]
        name = f"{module}.{getattr(self.handler, '__name__', '')}"
        if module == "tracking":
            return f"{name}[{parameters['path'].rpartition('/')[2]}]"
        return f"{name}[{parameters['kind']}]" if "kind" in parameters else name


_KIND = "/{kind:codes|components|data|environments|models}"
_VERSION = _KIND + "/{name}/versions/{version}"
_DATA = "/data/v1.0" + WORKSPACE
_MODELS = "/modelregistry/v1.0" + WORKSPACE
_ENDPOINT = WORKSPACE + "/onlineEndpoints/{endpoint}"
_IDENTITY = (
    "/subscriptions/{subscription}/resourceGroups/{group}"
    "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{identity}"
)
_AUTHORIZATION = "/{scope:path}/providers/Microsoft.Authorization"
_ASSIGNMENT = _AUTHORIZATION + "/roleAssignments/{assignment}"
_OPENID = "/{tenant}/v2.0/.well-known/openid-configuration"

ROUTES: tuple[Route, ...] = (
    # --- sign-in
    Route(LOGIN, "POST", "/{tenant}/oauth2/v2.0/token", identity.token, anonymous=True),
    Route(LOGIN, "GET", "/common/discovery/instance", identity.instance_discovery, anonymous=True),
    Route(LOGIN, "GET", _OPENID, identity.openid_configuration, anonymous=True),
    # --- managed identities and roles
    Route(ARM, "GET", _IDENTITY, managed_identities.get),
    Route(ARM, "GET", _AUTHORIZATION + "/roleAssignments", role_assignments.list_all),
    Route(ARM, "GET", _ASSIGNMENT, role_assignments.get),
    Route(ARM, "PUT", _ASSIGNMENT, role_assignments.put),
    Route(ARM, "DELETE", _ASSIGNMENT, role_assignments.delete),
    Route(ARM, "GET", _AUTHORIZATION + "/roleDefinitions", role_assignments.list_definitions),
    Route(ARM, "GET", _AUTHORIZATION + "/roleDefinitions/{role}", role_assignments.get_definition),
    # --- long-running operations
    Route(ARM, "GET", REGION + "/mfeOperationsStatus/{operation}", operations.get_status),
    Route(ARM, "GET", REGION + "/mfeOperationResults/{operation}", operations.get_result),
    # --- workspace and datastores
    Route(ARM, "GET", SUBSCRIPTION + "/workspaces", workspace.list_all),
    Route(ARM, "GET", GROUP + "/workspaces", workspace.list_all),
    Route(ARM, "GET", WORKSPACE, workspace.get),
    Route(ARM, "POST", WORKSPACE + "/listKeys", workspace.list_keys),
    Route(ARM, "GET", WORKSPACE + "/connections", workspace.list_connections),
    Route(ARM, "GET", WORKSPACE + "/datastores", workspace.list_datastores),
    Route(ARM, "GET", WORKSPACE + "/datastores/{datastore}", workspace.get_datastore),
    Route(ARM, "POST", WORKSPACE + "/datastores/{datastore}/listSecrets", workspace.list_secrets),
    Route(API, "GET", "/discovery", workspace.discovery, anonymous=True),
    # --- computes, sizes, quota
    Route(ARM, "GET", REGION + "/vmSizes", capacity.list_sizes),
    Route(ARM, "GET", REGION + "/usages", capacity.list_usages),
    Route(ARM, "GET", REGION + "/quotas", capacity.list_quotas),
    Route(ARM, "GET", WORKSPACE + "/computes", computes.list_all),
    Route(ARM, "GET", WORKSPACE + "/computes/{compute}", computes.get),
    Route(ARM, "PUT", WORKSPACE + "/computes/{compute}", computes.put),
    Route(ARM, "PATCH", WORKSPACE + "/computes/{compute}", computes.patch),
    Route(ARM, "DELETE", WORKSPACE + "/computes/{compute}", computes.delete),
    Route(ARM, "POST", WORKSPACE + "/computes/{compute}/listNodes", computes.list_nodes),
    # --- versioned assets of the workspace
    Route(ARM, "GET", WORKSPACE + _KIND, assets.list_containers),
    Route(ARM, "GET", WORKSPACE + _KIND + "/{name}", assets.get_container),
    Route(ARM, "PUT", WORKSPACE + _KIND + "/{name}", assets.put_container),
    Route(ARM, "GET", WORKSPACE + _KIND + "/{name}/versions", assets.list_versions),
    Route(ARM, "GET", WORKSPACE + _VERSION, assets.get_version),
    Route(ARM, "PUT", WORKSPACE + _VERSION, assets.put_version),
    Route(ARM, "DELETE", WORKSPACE + _VERSION, assets.delete_version),
    Route(ARM, "POST", WORKSPACE + _VERSION + "/startPendingUpload", assets.start_pending_upload),
    # --- jobs and their runs
    Route(ARM, "GET", WORKSPACE + "/jobs", jobs.list_all),
    Route(ARM, "GET", WORKSPACE + "/jobs/{job}", jobs.get),
    Route(ARM, "PUT", WORKSPACE + "/jobs/{job}", jobs.put),
    Route(ARM, "DELETE", WORKSPACE + "/jobs/{job}", jobs.delete),
    Route(ARM, "POST", WORKSPACE + "/jobs/{job}/cancel", jobs.cancel),
    Route(API, "GET", HISTORY + "/runs/{run}", run_history.get_run),
    Route(API, "GET", HISTORY + "/runs/{run}/details", run_history.get_details),
    Route(API, "GET", HISTORY + "/runs/{run}/children", run_history.get_children),
    Route(API, "PATCH", HISTORY + "/experiments/{experiment}/runs/{run}", run_history.patch_run),
    Route(API, "POST", HISTORY + "/rundata", run_history.get_run_data),
    Route(API, "POST", _DATA + "/dataversion/batchGetResolvedUris", run_history.resolve_data),
    Route(API, "POST", _MODELS + "/models/batchGetResolvedUris", run_history.resolve_models),
    # --- online endpoints, their deployments, and scoring
    Route(ARM, "GET", WORKSPACE + "/onlineEndpoints", endpoints.list_all),
    Route(ARM, "GET", _ENDPOINT, endpoints.get),
    Route(ARM, "PUT", _ENDPOINT, endpoints.put),
    Route(ARM, "PATCH", _ENDPOINT, endpoints.patch),
    Route(ARM, "DELETE", _ENDPOINT, endpoints.delete),
    Route(ARM, "POST", _ENDPOINT + "/listKeys", endpoints.list_keys),
    Route(ARM, "POST", _ENDPOINT + "/regenerateKeys", endpoints.regenerate_keys),
    Route(ARM, "POST", _ENDPOINT + "/token", endpoints.get_token),
    Route(ARM, "GET", _ENDPOINT + "/deployments", deployments.list_all),
    Route(ARM, "GET", _ENDPOINT + "/deployments/{deployment}", deployments.get),
    Route(ARM, "PUT", _ENDPOINT + "/deployments/{deployment}", deployments.put),
    Route(ARM, "PATCH", _ENDPOINT + "/deployments/{deployment}", deployments.patch),
    Route(ARM, "DELETE", _ENDPOINT + "/deployments/{deployment}", deployments.delete),
    Route(ARM, "POST", _ENDPOINT + "/deployments/{deployment}/getLogs", deployments.get_logs),
    Route(INFERENCE, "POST", "/{path:path}", scoring.score, anonymous=True),
    # --- MLflow
    *(
        Route(API, method, "/mlflow/{version:v1.0|v2.0}" + WORKSPACE + "/{path:path}", tracking.proxy)
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
    ),
    # --- the registry
    Route(API, "GET", "/registrymanagement/v1.0/registries/{registry}/discovery", registry_api.discovery),
    Route(API, "GET", REGISTRY + "/environments/{name}/versions/{version}", registry_api.get_environment),
    Route(API, "GET", REGISTRY + "/{kind:components|models}", registry_api.list_assets),
    Route(API, "GET", REGISTRY + "/{kind:components|models}/{name}", registry_api.get_asset),
    Route(API, "GET", REGISTRY + "/{kind:components|models}/{name}/versions", registry_api.list_versions),
    Route(
        API, "GET", REGISTRY + "/{kind:components|models}/{name}/versions/{version}", registry_api.get_version
    ),
    Route(API, "POST", REGISTRY + "/datarefs/{name}/versions/{version}", registry_api.data_reference),
    # --- the storage account
    Route(BLOB, "GET", "/{container}", storage.get_container, anonymous=True),
    Route(BLOB, "HEAD", "/{container}", storage.get_container, anonymous=True),
    Route(BLOB, "PUT", "/{container}", storage.put_container, anonymous=True),
    Route(BLOB, "DELETE", "/{container}", storage.delete_container, anonymous=True),
    Route(BLOB, "GET", "/{container}/{name:path}", storage.get_blob, anonymous=True),
    Route(BLOB, "HEAD", "/{container}/{name:path}", storage.get_blob, anonymous=True),
    Route(BLOB, "PUT", "/{container}/{name:path}", storage.put_blob, anonymous=True),
    Route(BLOB, "DELETE", "/{container}/{name:path}", storage.delete_blob, anonymous=True),
    # --- this service itself
    Route(CONTROL, "GET", "/faults", fault_control.get, anonymous=True),
    Route(CONTROL, "PUT", "/faults", fault_control.put, anonymous=True),
    Route(CONTROL, "DELETE", "/faults", fault_control.delete, anonymous=True),
)


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
                return route, host_match.groupdict() | _parameters(path_match, route.path)
        return None


def _parameters(match: re.Match[str], template: str) -> dict[str, str]:
    """Path parameters; choices in lower case, since ARM's fixed words may come in any."""
    return {
        name: value.lower() if f"{{{name}:" in template and f"{{{name}:path}}" not in template else value
        for name, value in match.groupdict().items()
    }


def _pattern(template: str, one: str) -> re.Pattern[str]:
    """A template as a pattern in which ``{name}`` matches ``one``."""
    regex = ""
    for fixed, name, choice in re.findall(r"([^{]*)(?:{(\w+)(?::([^}]+))?})?", template):
        regex += re.escape(fixed)
        if name:
            regex += f"(?P<{name}>{'.*' if choice == 'path' else choice or one})"
    return re.compile(regex, re.IGNORECASE)
