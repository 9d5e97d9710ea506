"""Signing in, and the clients behind the verbs."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from functools import cached_property
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
from azure.ai.ml import MLClient
from azure.core.pipeline.transport import RequestsTransport
from azure.mgmt.authorization import AuthorizationManagementClient

from chat_finetune.platform.computes import Computes
from chat_finetune.platform.data import DataAssets
from chat_finetune.platform.endpoints import Endpoints
from chat_finetune.platform.errors import azure_errors
from chat_finetune.platform.jobs import Jobs
from chat_finetune.platform.listing import Listing
from chat_finetune.platform.models import Models
from chat_finetune.platform.registry import Registry
from chat_finetune.platform.roles import Roles
from chat_finetune.platform.runs import Runs
from chat_finetune.platform.sign_in import Credential, credential_for
from chat_finetune.platform.tracking import Tracking
from chat_finetune.redaction import keep_secrets_out_of_logs
from chat_finetune.refs import WorkspaceRef
from chat_finetune.settings import Settings, load_settings

_TOKEN_SCOPE = "https://management.azure.com/.default"  # noqa: S105 - a scope, not a secret


class Platform:
    """One signed-in connection to a workspace; a context manager that closes what it opened."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what was opened; `renew` begins again."""
        self._opened.close()

    def renew(self) -> None:
        """Begin again with new clients and a new credential, which has no token yet."""
        self._opened.close()
        kept = {"settings": self.settings, "_opened": self._opened}
        self.__dict__.clear()
        self.__dict__.update(kept)

    @cached_property
    def _credential(self) -> Credential:
        credential = credential_for(self.settings)
        self._opened.callback(credential.close)
        return credential

    @cached_property
    def _workspace_client(self) -> MLClient:
        return MLClient(
            self._credential,
            self.settings.subscription_id,
            self.settings.resource_group,
            self.settings.workspace_name,
            enable_telemetry=False,
            show_progress=False,
            **self._shared,
        )

    @cached_property
    def _shared(self) -> dict[str, Any]:
        """What every client of the SDK takes: the connections of all, instead of some for each."""
        seconds = self.settings.request_timeout_seconds
        timeouts = {"connection_timeout": seconds, "read_timeout": seconds}
        transport = self._opened.enter_context(RequestsTransport(**timeouts))
        return {"transport": transport, **timeouts}

    def sign_in(self) -> None:
        """Ask for a token, as every call does.

        Raises:
            AccessError: nobody is signed in.
        """
        self._token()

    @cached_property
    def workspace(self) -> WorkspaceRef:
        """The workspace, as it was when it was first asked for.

        Raises:
            AccessError: the identity may not read the workspace.
            MissingError: there is no such workspace.
        """
        with azure_errors(f"workspace {self.settings.workspace_name}"):
            found = self._workspace_client.workspaces.get(self.settings.workspace_name)
        return WorkspaceRef(
            region=found.location,
            storage_account_id=found.storage_account,
            container_registry_id=found.container_registry or None,
            mlflow_tracking_uri=found.mlflow_tracking_uri,
        )

    @cached_property
    def computes(self) -> Computes:
        return Computes(self._workspace_client)

    @cached_property
    def jobs(self) -> Jobs:
        return Jobs(self._workspace_client)

    @cached_property
    def models(self) -> Models:
        return Models(self._workspace_client)

    @cached_property
    def endpoints(self) -> Endpoints:
        return Endpoints(self._workspace_client)

    @cached_property
    def data(self) -> DataAssets:
        return DataAssets(self._workspace_client)

    def registry(self, name: str) -> Registry:
        """The verbs of a registry, with a client of its own (issue 39502)."""
        if name not in self._registries:
            with azure_errors(f"registry {name}"):
                client = MLClient(
                    self._credential,
                    registry_name=name,
                    enable_telemetry=False,
                    show_progress=False,
                    **self._shared,
                )
            self._registries[name] = Registry(client, name)
        return self._registries[name]

    @cached_property
    def _registries(self) -> dict[str, Registry]:
        return {}

    @cached_property
    def roles(self) -> Roles:
        client = AuthorizationManagementClient(
            self._credential, self.settings.subscription_id, **self._shared
        )
        http = self._http("https://management.azure.com")
        return Roles(self._opened.enter_context(client), http, self._token)

    @cached_property
    def runs(self) -> Runs:
        """Run history: child steps, logs and error texts, which the SDK does not hand out."""
        host = urlsplit(self.workspace.mlflow_tracking_uri).netloc
        return Runs(self._http(f"https://{host}/history/v1.0{self.settings.workspace_arm_id}"), self._token)

    @asynccontextmanager
    async def listing(self) -> AsyncIterator[Listing]:
        """Many jobs at once, for as long as the block lasts."""
        history = f"https://{urlsplit(self.workspace.mlflow_tracking_uri).netloc}/history/v1.0"
        async with httpx.AsyncClient(
            base_url=f"https://management.azure.com{self.settings.workspace_arm_id}",
            timeout=self.settings.request_timeout_seconds,
        ) as http:
            yield Listing(http, f"{history}{self.settings.workspace_arm_id}", self._token)

    @cached_property
    def tracking(self) -> Tracking:
        """MLflow's REST API, at `https` in place of `azureml`."""
        uri = self.workspace.mlflow_tracking_uri.replace("azureml://", "https://", 1)
        return Tracking(self._http(f"{uri}/api/2.0/mlflow"), self._token)

    def _http(self, base_url: str) -> httpx.Client:
        client = httpx.Client(base_url=base_url, timeout=self.settings.request_timeout_seconds)
        return self._opened.enter_context(client)

    def _token(self) -> str:
        with azure_errors("sign in"):
            return str(self._credential.get_token(_TOKEN_SCOPE).token)


def connect(settings: Settings | None = None) -> Platform:
    """Connect to a workspace: to the one that the environment or `config.json` names if none is given.

    Raises:
        ConfigError: no workspace is named.
        AccessError: on first use, when nobody is signed in.
    """
    # Nobody has a token or a key before this.
    keep_secrets_out_of_logs()
    return Platform(settings or load_settings())
