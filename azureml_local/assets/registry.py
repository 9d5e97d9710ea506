"""The system registry ``azureml``: what its asset folder holds, as of a day.

The layout is azureml-assets': ``models/<name>/<version>/spec.yaml``, ``components/<name>/spec.yaml``.
The files of a model are not in it; a script beside the spec builds them when they are first needed.
"""

import asyncio
import datetime as dt
import fcntl
import functools
import hashlib
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml

from azureml_local.errors import ServiceError

_LOCK_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Asset:
    """One version of a model or component: its spec as read, and the folder the spec stands in."""

    kind: str
    name: str
    version: str
    spec: dict[str, Any]
    folder: Path

    @property
    def available_from(self) -> dt.date:
        return self.spec.get("x-available-from") or dt.date.min

    @property
    def available_until(self) -> dt.date:
        return self.spec.get("x-available-until") or dt.date.max

    @property
    def id(self) -> str:
        return f"azureml://registries/azureml/{self.kind}/{self.name}/versions/{self.version}"


class Registry:
    """What the registry offers on one day, and the built files of its models."""

    def __init__(self, folder: Path, as_of: dt.date, cache: Path | None = None) -> None:
        self._folder = folder
        self._as_of = as_of
        self._cache = cache or user_cache()
        self._building: dict[Path, asyncio.Lock] = {}

    @functools.cached_property
    def _assets(self) -> list[Asset]:
        return [_read(file, self._folder) for file in sorted(self._folder.glob("*/**/spec.yaml"))]

    def names(self, kind: str) -> list[str]:
        """The assets of a kind (``models``, ``components``) that have a version on that day."""
        return list(
            dict.fromkeys(asset.name for asset in self._assets if asset.kind == kind and self._offered(asset))
        )

    def versions(self, kind: str, name: str) -> list[Asset]:
        """The versions offered on that day, newest first."""
        offered = [asset for asset in self._known(kind, name) if self._offered(asset)]
        return sorted(offered, key=lambda asset: asset.available_from, reverse=True)

    def find(self, kind: str, name: str, version: str) -> Asset:
        """A version that had appeared by that day, superseded or not. ServiceError 404 when there is none."""
        for asset in self._known(kind, name):
            if asset.version == version and asset.available_from <= self._as_of:
                return asset
        raise ServiceError(
            404,
            "UserError",
            f"Could not find asset with ID: azureml://registries/azureml/{kind}/{name}/versions/{version}",
        )

    async def model_folder(self, name: str, version: str) -> Path:
        """The folder of a model's files, built when first needed; not to be written to.

        Raises ServiceError: 404 for an unknown model, 500 with the script's last words when it fails.
        """
        asset = self.find("models", name, version)
        script = (asset.folder / asset.spec["path"]["script"]).resolve()
        target = self._cache / "models" / f"{name}-{version}-{_content_hash(asset, script)}"
        lock = self._building.setdefault(target, asyncio.Lock())
        async with lock:
            if not target.exists():
                await _build(asset, script, target)
        return target

    def _known(self, kind: str, name: str) -> list[Asset]:
        return [asset for asset in self._assets if asset.kind == kind and asset.name == name]

    def _offered(self, asset: Asset) -> bool:
        return asset.available_from <= self._as_of <= asset.available_until


def user_cache() -> Path:
    """Where this user's caches are kept on this platform."""
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"]) / "azureml_local"
    base = Path("~/Library/Caches") if sys.platform == "darwin" else Path("~/.cache")
    return base.expanduser() / "azureml_local"


def _read(file: Path, root: Path) -> Asset:
    kind = file.relative_to(root).parts[0]
    try:
        spec = yaml.safe_load(file.read_text("utf-8"))
        return Asset(kind, str(spec["name"]), str(spec["version"]), spec, file.parent)
    except (yaml.YAMLError, ValueError, TypeError, KeyError) as error:
        message = f"The registry's {file} is no asset spec: {error}"
        raise ServiceError(500, "InternalServerError", message) from error


def _content_hash(asset: Asset, script: Path) -> str:
    digest = hashlib.sha256(json.dumps(asset.spec["path"], sort_keys=True).encode())
    for file in sorted(script.parent.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            digest.update(f"\0{file.relative_to(script.parent)}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


async def _build(asset: Asset, script: Path, target: Path) -> None:
    """Build beside the target and rename, so that a folder that exists is whole; one builder at a time."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f".{target.name}.lock").open("w") as lock:
        await _locked(lock)
        if target.exists():  # another instance built it while this one waited
            return
        workplace = target.parent / f".build-{target.name}"
        shutil.rmtree(workplace, ignore_errors=True)  # of a builder that was killed
        workplace.mkdir()
        try:
            output = workplace / "model"
            arguments = [str(argument) for argument in asset.spec["path"].get("arguments", [])]
            exit_code, said = await _run([str(script), "--output", str(output), *arguments], script.parent)
            if exit_code != 0 or not output.is_dir():
                raise ServiceError(
                    500,
                    "InternalServerError",
                    f"Model {asset.id} could not be built (exit code {exit_code}): {said[-2000:]}",
                )
            output.rename(target)
        finally:
            shutil.rmtree(workplace, ignore_errors=True)


async def _run(arguments: list[str], folder: Path) -> tuple[int | None, str]:
    """Run a Python script to its end, or to this task's; its exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "HF_HUB_OFFLINE": "1"},
    )
    try:
        said, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    return process.returncode, said.decode("utf-8", "replace").strip()


async def _locked(file: IO[str]) -> None:
    """Wait for the lock without blocking the service; closing the file gives it back."""
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            await asyncio.sleep(_LOCK_POLL_SECONDS)
        else:
            return
