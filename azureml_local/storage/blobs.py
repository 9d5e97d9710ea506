"""The workspace's storage account: every blob a file, ``root/blobs/<container>/<name>``.

A process on this machine may read and write the files themselves; what the service adds (metadata, content
type) is kept in the state and belongs to the bytes as they were uploaded.
"""

import base64
import email.utils
import hashlib
import os
import re
import secrets
import shutil
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from azureml_local.errors import ServiceError
from azureml_local.models import State
from azureml_local.storage.signatures import AccountKey

_CONTAINER = re.compile(r"[a-z0-9](-?[a-z0-9]){2,62}")
_DATASTORE_URI = re.compile(r"azureml://(?:.*/)?datastores/(?P<datastore>[^/]+)/paths/(?P<path>.*)")


class Blobs:
    """The storage account as files, and what names them: containers, datastores, URLs."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._root = state.root / "blobs"
        self._staging = state.root / "staging"
        self._staging.mkdir(exist_ok=True)
        suffix = secrets.token_hex(5)
        state.insert(
            "storage",
            "account",
            {
                "name": f"azuremllocal{suffix}",
                "key": base64.b64encode(secrets.token_bytes(64)).decode(),
                "workspace_id": str(uuid.uuid4()),
            },
        )
        account = state.get("storage", "account") or {}
        self.key = AccountKey(account["name"], account["key"])
        self.workspace_id: str = account["workspace_id"]
        self.datastores = {
            "workspaceblobstore": f"azureml-blobstore-{self.workspace_id}",
            "workspaceartifactstore": "azureml",
        }
        for container in self.datastores.values():
            self.create_container(container)

    @property
    def host(self) -> str:
        return f"{self.key.account}.blob.core.windows.net"

    def url(self, container: str, name: str = "") -> str:
        """The blob's (or container's) https URL, without a signature."""
        return f"https://{self.host}/{container}/{name}".rstrip("/")

    def path(self, container: str, name: str = "") -> Path:
        """The file of a blob, or the folder of a prefix of blobs, whether it exists or not.

        Raises ServiceError 400 for names that no file can have.
        """
        parts = [part for part in name.split("/") if part]
        if not _CONTAINER.fullmatch(container):
            raise ServiceError(
                400, "InvalidResourceName", f"The specified container name {container!r} is invalid."
            )
        if any(part in (".", "..") or len(part.encode()) > 255 or "\0" in part for part in parts):
            raise ServiceError(
                400, "InvalidUri", f"The requested URI does not represent a resource: {name!r}."
            )
        return self._root.joinpath(container, *parts)

    def datastore_path(self, uri: str) -> Path:
        """The file or folder that an ``azureml://…/datastores/<name>/paths/<path>`` URI means.

        A blob's https URL of this account is understood too. Raises ServiceError 400 for any other URI, 404
        for a datastore that does not exist.
        """
        prefix = f"https://{self.host}/"
        if uri.startswith(prefix):
            container, _, name = uri.removeprefix(prefix).partition("?")[0].partition("/")
            return self.path(container, name)
        match = _DATASTORE_URI.fullmatch(uri)
        if match is None:
            raise ServiceError(400, "UserError", f"The URI '{uri}' is not on a datastore of this workspace.")
        container = self.datastores.get(match["datastore"], "")
        if not container:
            raise ServiceError(404, "UserError", f"Datastore '{match['datastore']}' was not found.")
        return self.path(container, match["path"])

    def create_container(self, container: str) -> None:
        self.path(container).mkdir(exist_ok=True)

    def has_container(self, container: str) -> bool:
        return self.path(container).is_dir()

    def names(self, container: str, prefix: str = "") -> Iterator[str]:
        """The names of the container's blobs that start with ``prefix``, in order."""
        root = self.path(container)
        folder = root / prefix.rpartition("/")[0]
        files = (Path(base, file) for base, _, files in os.walk(folder, followlinks=True) for file in files)
        names = (file.relative_to(root).as_posix() for file in files)
        yield from sorted(name for name in names if name.startswith(prefix))

    def details(self, container: str, name: str) -> dict[str, Any]:
        """What was uploaded beside the bytes: ``content_type``, ``content_md5``, ``metadata``."""
        known = self._state.get("blobs", f"{container}/{name}") or {}
        return {"content_type": "application/octet-stream", "content_md5": None, "metadata": {}} | known

    def describe(self, container: str, name: str, details: dict[str, Any]) -> None:
        self._state.put("blobs", f"{container}/{name}", details)

    async def write(self, container: str, name: str, chunks: AsyncIterator[bytes]) -> tuple[str, int]:
        """Replace a blob by what ``chunks`` give, atomically; its MD5 (base64) and size in bytes."""
        target = self.path(container, name)
        staged = self._staging / uuid.uuid4().hex
        digest = hashlib.md5(usedforsecurity=False)
        size_bytes = 0
        try:
            with staged.open("wb") as file:
                async for chunk in chunks:
                    file.write(chunk)
                    digest.update(chunk)
                    size_bytes += len(chunk)
            self._place(staged, target)
        finally:
            staged.unlink(missing_ok=True)
        return base64.b64encode(digest.digest()).decode(), size_bytes

    async def write_block(
        self, container: str, name: str, block_id: str, chunks: AsyncIterator[bytes]
    ) -> None:
        """Keep one block of a blob until ``commit_blocks`` names it."""
        folder = self._blocks(container, name)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / _file_name(block_id)).open("wb") as file:
            async for chunk in chunks:
                file.write(chunk)

    def commit_blocks(self, container: str, name: str, block_ids: list[str]) -> None:
        """Make the blob of these blocks, in order, and forget the rest; 400 for an unknown block."""
        folder = self._blocks(container, name)
        blocks = [folder / _file_name(block_id) for block_id in block_ids]
        if not all(block.is_file() for block in blocks):
            raise ServiceError(400, "InvalidBlockList", "The specified block list is invalid.")
        staged = self._staging / uuid.uuid4().hex
        with staged.open("wb") as whole:
            for block in blocks:
                with block.open("rb") as part:
                    shutil.copyfileobj(part, whole)
        self._place(staged, self.path(container, name))
        shutil.rmtree(folder, ignore_errors=True)

    def delete(self, container: str, name: str) -> None:
        """Delete a blob that exists, and the folders that it leaves empty."""
        file = self.path(container, name)
        file.unlink()
        self._state.delete("blobs", f"{container}/{name}")
        root = self.path(container)
        for folder in file.parents:
            if folder == root or any(folder.iterdir()):
                break
            folder.rmdir()

    def delete_container(self, container: str) -> None:
        shutil.rmtree(self.path(container))
        for key, _ in self._state.all("blobs", f"{container}/"):
            self._state.delete("blobs", key)

    def _blocks(self, container: str, name: str) -> Path:
        return self._staging / "blocks" / hashlib.sha256(f"{container}/{name}".encode()).hexdigest()

    def _place(self, staged: Path, target: Path) -> None:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            staged.replace(target)
        except (IsADirectoryError, NotADirectoryError, FileExistsError) as error:
            # On Azure "a" and "a/b" may both be blobs; as files they cannot.
            message = "A blob and a folder of blobs cannot have the same name here."
            raise ServiceError(409, "ResourceTypeMismatch", message) from error


def _file_name(block_id: str) -> str:
    return hashlib.sha256(block_id.encode()).hexdigest()


def etag(file: Path) -> str:
    status = file.stat()
    return f'"0x{status.st_mtime_ns:X}{status.st_size:X}"'


def http_date(file: Path) -> str:
    return email.utils.formatdate(file.stat().st_mtime, usegmt=True)
