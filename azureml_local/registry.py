"""The system registry `azureml`, served from a folder of specs."""

import datetime as dt
from pathlib import Path


class Registry:
    """What the registry holds on one day."""

    def __init__(self, folder: Path, as_of: dt.date) -> None:
        self._folder = folder
        self._as_of = as_of

    async def model_folder(self, name: str, version: str) -> Path:
        """The folder of a model's files, built when first needed."""
        raise NotImplementedError(name, version)
