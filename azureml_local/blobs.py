"""The workspace's storage account: files under root/blobs/<container>/."""

from pathlib import Path

from azureml_local.models import State


class Blobs:
    """The storage account as files."""

    def __init__(self, state: State) -> None:
        self._root = state.root / "blobs"

    def path(self, container: str, name: str = "") -> Path:
        """The file (or folder) of a blob, or of a prefix of blobs."""
        return self._root / container / name

    def datastore_path(self, uri: str) -> Path:
        """The file or folder that an ``azureml://…/datastores/…/paths/…`` URI means."""
        raise NotImplementedError(uri)
