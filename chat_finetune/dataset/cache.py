"""Prepared datasets on disk: `<cache_dir>/<key>/{<split>.jsonl, manifest.json}`.

The key names the content (source at its commit, or hash of the local files) and everything that shapes what
is written. An entry is built beside its place and renamed into it, so it is there whole or not at all.
"""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chat_finetune.config.retrain import DataConfig
from chat_finetune.dataset.hashing import hash_file, hash_text
from chat_finetune.dataset.report import PreparedDataset, RowProblem, SplitReport

MANIFEST = "manifest.json"
VERSION = 2  # part of the key: raise it when a check, or what is written, changes


class CacheEntry:
    """The place in the cache of one dataset, prepared in one way."""

    def __init__(self, cache_dir: Path, source_identity: str, config: DataConfig) -> None:
        shaping = config.model_dump(mode="json", exclude={"source", "revision", "subset"})
        identity = json.dumps([VERSION, source_identity, shaping], sort_keys=True)
        key = hashlib.sha256(identity.encode()).hexdigest()[:16]
        self.folder = cache_dir / key
        self._building = cache_dir / f".{key}.building"
        self._lock = cache_dir / f".{key}.lock"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Runs on the same data wait for the first to prepare it; the lock ends with its process."""
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        with self._lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def load(self) -> PreparedDataset | None:
        """The entry, if it is there and its files still are what was written."""
        try:
            prepared = self.read()
        except (FileNotFoundError, json.JSONDecodeError):  # never prepared, or lost in a power cut
            return None
        return prepared if all(_is_intact(split) for split in prepared.splits.values()) else None

    def read(self) -> PreparedDataset:
        """The entry as its manifest tells it."""
        return _from_manifest(json.loads((self.folder / MANIFEST).read_text(encoding="utf-8")), self.folder)

    @contextmanager
    def publishing(self) -> Iterator[Path]:
        """A folder to build in, which takes the entry's place if the block succeeds. Needs the lock."""
        shutil.rmtree(self._building, ignore_errors=True)  # left by a process that was killed
        self._building.mkdir()
        try:
            yield self._building
        except BaseException:
            shutil.rmtree(self._building)
            raise
        if self.folder.exists():  # no longer what was written, or we would have loaded it
            shutil.rmtree(self.folder)
        self._building.rename(self.folder)


def write_manifest(folder: Path, name: str, revision: str, splits: tuple[SplitReport, ...]) -> None:
    manifest = {
        "name": name,
        "revision": revision,
        "splits": [asdict(split) | {"path": split.path.name} for split in splits],
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")


def _from_manifest(manifest: dict[str, Any], folder: Path) -> PreparedDataset:
    splits = {
        fields["split"]: SplitReport(
            **fields
            | {
                "path": folder / fields["path"],
                "problems": tuple(RowProblem(**problem) for problem in fields["problems"]),
            }
        )
        for fields in manifest["splits"]
    }
    content = "".join(f"{split} {report.content_hash}\n" for split, report in splits.items())
    return PreparedDataset(
        name=manifest["name"],
        revision=manifest["revision"],
        splits=splits,
        content_hash=hash_text(content),
        cached=False,
    )


def _is_intact(split: SplitReport) -> bool:
    try:
        return hash_file(split.path) == split.content_hash
    except FileNotFoundError:
        return False
