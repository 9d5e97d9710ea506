"""Registered models of the workspace."""

from collections.abc import Mapping

from azure.ai.ml import MLClient
from azure.ai.ml.constants import AssetTypes
from azure.ai.ml.entities import Model

from chat_finetune.errors import MissingError
from chat_finetune.platform.errors import azure_errors
from chat_finetune.refs import ModelRef


class Models:
    """The model verbs of a workspace."""

    def __init__(self, client: MLClient) -> None:
        self._client = client

    def find(self, name: str, version: str) -> tuple[ModelRef, dict[str, str]] | None:
        """The model version and its tags, or None."""
        try:
            with azure_errors(f"model {name}:{version}"):
                model = self._client.models.get(name, version=version)
        except MissingError:
            return None
        return _ref(model), _tags(model)

    def find_newest(self, name: str, other_than: str = "") -> tuple[ModelRef, dict[str, str]] | None:
        """The version of the model that was registered last and is not archived, and its tags, or None.

        Args:
            other_than: a version that is passed over.
        """
        try:
            with azure_errors(f"list of versions of model {name}"):
                listed = self._client.models.list(name)
                versions = [model for model in listed if str(model.version) != other_than]
        except MissingError:
            return None
        if not versions:
            return None
        newest = max(versions, key=lambda model: model.creation_context.created_at)
        return _ref(newest), _tags(newest)

    def add_tags(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        """Add tags to a model version; they may change as long as it exists."""
        with azure_errors(f"tag model {name}:{version}"):
            model = self._client.models.get(name, version=version)
            model.tags = {**(model.tags or {}), **tags}
            self._client.models.create_or_update(model)

    def tags(self) -> tuple[dict[str, str], ...]:
        """The tags of every version of every model of the workspace."""
        with azure_errors("list of models"):
            names = [model.name for model in self._client.models.list()]
            found = [version for name in names for version in self._client.models.list(name)]
            return tuple(_tags(one) for one in found)

    def register(
        self, job_name: str, output: str, *, name: str, version: str, description: str, tags: dict[str, str]
    ) -> ModelRef:
        """Register a job's named output as an MLflow model version.

        Raises:
            ConflictError: the version exists. A version cannot be changed.
        """
        wanted = Model(
            path=f"azureml://jobs/{job_name}/outputs/{output}",
            type=AssetTypes.MLFLOW_MODEL,
            name=name,
            version=version,
            description=description,
            tags=tags,
        )
        with azure_errors(f"register model {name}:{version} from job {job_name}"):
            return _ref(self._client.models.create_or_update(wanted))


def _ref(model: Model) -> ModelRef:
    return ModelRef(name=model.name, version=str(model.version), id=model.id)


def _tags(model: Model) -> dict[str, str]:
    return {key: str(value) for key, value in (model.tags or {}).items()}
