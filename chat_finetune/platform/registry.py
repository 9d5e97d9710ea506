"""What a registry offers: foundation models and pipeline components."""

from typing import Any

from azure.ai.ml import MLClient

from chat_finetune.errors import MissingError
from chat_finetune.platform.errors import azure_errors
from chat_finetune.refs import ComponentRef, FoundationModelRef


class Registry:
    """The verbs of one registry, e.g. the system registry `azureml`."""

    def __init__(self, client: MLClient, name: str) -> None:
        self._client = client
        self._name = name
        self._loaded: dict[tuple[str, str], Any] = {}

    def foundation_model(self, name: str, version: str) -> FoundationModelRef:
        """Look a foundation model up; `version` may be `latest`.

        Raises:
            MissingError: the registry has no such model or version.
        """
        try:
            with azure_errors(f"model {name} (version {version}) in registry {self._name}"):
                model = self._client.models.get(name, **_version_or_label(version))
                # azure-ai-ml 1.35 drops it from what it hands out.
                answer = self._client.models._get(name, str(model.version))
        except MissingError as error:
            raise MissingError(
                error.message,
                "Look the name up in the model catalog of Azure ML Studio; for example Phi-4.",
            ) from error
        return FoundationModelRef(
            id=model.id,
            name=model.name,
            version=str(model.version),
            tags={key: str(value) for key, value in (model.tags or {}).items()},
            properties={key: str(value) for key, value in (model.properties or {}).items()},
            system_metadata=answer.properties.get("systemMetadata") or {},
        )

    def component(self, name: str, version: str = "latest") -> ComponentRef:
        """Look a pipeline component up, with the inputs it declares.

        Raises:
            MissingError: the registry has no such component or version.
        """
        component = self.load_component(name, version)
        return ComponentRef(
            id=component.id,
            name=component.name,
            version=str(component.version),
            inputs={key: dict(value._to_dict()) for key, value in component.inputs.items()},
            outputs=tuple(component.outputs),
        )

    def load_component(self, name: str, version: str) -> Any:
        """The SDK's own component object, which builds a pipeline when it is called; asked for once."""
        if (name, version) not in self._loaded:
            with azure_errors(f"component {name} (version {version}) in registry {self._name}"):
                self._loaded[name, version] = self._client.components.get(name, **_version_or_label(version))
        return self._loaded[name, version]


def _version_or_label(version: str) -> dict[str, str]:
    return {"label": "latest"} if version == "latest" else {"version": version}
