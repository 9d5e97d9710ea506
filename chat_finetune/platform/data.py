"""Data assets of the workspace: files that many jobs read, uploaded once."""

from pathlib import Path

from azure.ai.ml import MLClient
from azure.ai.ml.constants import AssetTypes
from azure.ai.ml.entities import Data

from chat_finetune.errors import MissingError
from chat_finetune.platform.errors import azure_errors


class DataAssets:
    """The data verbs of a workspace."""

    def __init__(self, client: MLClient) -> None:
        self._client = client

    def publish(self, name: str, version: str, path: Path) -> str:
        """Upload a file as a data asset, unless that version is there; the URI that jobs read it at.

        Submitted at the same time, two jobs with the same local file trip over each other's upload
        (azure-sdk-for-python issue 30155).
        """
        with azure_errors(f"data asset {name}:{version}"):
            try:
                with azure_errors(f"data asset {name}:{version}"):
                    found = self._client.data.get(name, version=version)
            except MissingError:
                wanted = Data(name=name, version=version, path=str(path), type=AssetTypes.URI_FILE)
                found = self._client.data.create_or_update(wanted)
            return str(found.path)
