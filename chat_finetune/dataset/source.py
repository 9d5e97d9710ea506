"""Where a dataset's files are: in a local folder, or in a hub repository at a commit."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol, TypeVar

from chat_finetune.config.retrain import DataConfig
from chat_finetune.dataset.hashing import hash_file, hash_text
from chat_finetune.dataset.slicing import needed_splits
from chat_finetune.errors import (
    AccessError,
    ChatFinetuneError,
    DatasetError,
    ServiceUnavailableError,
    ThrottledError,
)

SUFFIXES = frozenset({".parquet", ".jsonl", ".ndjson", ".json"})
HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_BLOCK_BYTES = 16 * 1024**2  # what a thread hashes at a time
SplitFiles = dict[str, tuple[Path, ...]]
Name = TypeVar("Name", str, Path)


class Source(Protocol):
    """A dataset whose content is pinned: the same `identity` always means the same rows."""

    @property
    def name(self) -> str: ...

    @property
    def revision(self) -> str: ...

    @property
    def identity(self) -> str: ...

    def files(self) -> SplitFiles:
        """The local files of every needed split, in order; downloads what is not here yet."""
        ...


def find_source(config: DataConfig) -> Source:
    """Pin the dataset to its content: one small request to the hub, or a pass over the local files."""
    folder = Path(config.source).expanduser()
    if folder.is_dir():
        if config.subset is not None:
            raise DatasetError(
                f"{folder} is a local folder, which has no subset {config.subset!r}",
                "Leave data.subset empty, or name the folder of the subset as data.source.",
            )
        return LocalFolder(folder.name, _files_by_split(folder, needed_splits(config)))
    if not HUB_ID.fullmatch(config.source):
        raise DatasetError(
            f"There is no folder {config.source!r}, and it is not the id of a hub dataset either",
            "Set data.source to a folder of parquet or JSONL files, or to a hub id such as 'org/name'.",
        )
    with _hub_errors(config):
        return HubDataset(config, _commit_of(config))


@dataclass(frozen=True)
class LocalFolder:
    """Files named after their split, as on the hub: `train_sft.jsonl`, `train_sft-00000-of-00003.parquet`
    or `train_sft/0000.parquet`, at any depth."""

    name: str
    splits: SplitFiles

    @cached_property
    def revision(self) -> str:
        """A hash of the hashes of all blocks: a single large file keeps every core busy, too."""
        blocks = [
            (split, path, start)
            for split, paths in self.splits.items()
            for path in paths
            for start in range(0, max(1, path.stat().st_size), _BLOCK_BYTES)
        ]
        with ThreadPoolExecutor() as pool:
            hashes = pool.map(lambda block: hash_file(block[1], block[2], _BLOCK_BYTES), blocks)
        named = zip(blocks, hashes, strict=True)
        return hash_text(
            "".join(f"{split}/{path.name} {start} {held}\n" for (split, path, start), held in named)
        )

    @property
    def identity(self) -> str:
        return f"local {self.revision}"

    def files(self) -> SplitFiles:
        return self.splits


@dataclass(frozen=True)
class HubDataset:
    config: DataConfig
    revision: str

    @property
    def name(self) -> str:
        return self.config.source

    @property
    def identity(self) -> str:
        return f"hub {self.name} {self.config.subset} {self.revision}"

    def files(self) -> SplitFiles:
        """Downloads through the hub's own cache: only the needed splits, and no file twice."""
        from huggingface_hub import hf_hub_download

        with _hub_errors(self.config):
            wanted = needed_splits(self.config)
            needed = _needed(self._data_files(), wanted, where=f"{self.name} on the hub")
            return {
                split: tuple(
                    Path(hf_hub_download(self.name, path, repo_type="dataset", revision=self.revision))
                    for path in paths
                )
                for split, paths in needed.items()
            }

    def _data_files(self) -> dict[str, tuple[str, ...]]:
        """Split → paths in the repository, as `datasets` reads them from the card and the file names."""
        import datasets
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            builder = datasets.load_dataset_builder(
                self.name, name=self.config.subset, revision=self.revision
            )
        except LocalEntryNotFoundError:  # also a FileNotFoundError, but the hub's trouble, not the dataset's
            raise
        except (ValueError, RuntimeError, FileNotFoundError) as error:
            # How `datasets` refuses a subset, a dataset that is a script, and one without data files.
            raise DatasetError(
                f"{self.name} (subset {self.config.subset!r}) cannot be read: {error}",
                "Set data.subset to one that the dataset has; its files must be parquet or JSONL.",
            ) from error
        prefix = f"hf://datasets/{self.name}@{self.revision}/"
        data_files = builder.config.data_files or {}
        return {
            str(split): tuple(url.removeprefix(prefix) for url in urls) for split, urls in data_files.items()
        }


def _files_by_split(folder: Path, wanted: tuple[str, ...]) -> SplitFiles:
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix in SUFFIXES and path.is_file() and not hidden:
            found.setdefault(_split_of(path, wanted), []).append(path)
    for split, paths in found.items():
        folders = {str(path.parent.relative_to(folder)) for path in paths}
        if len(folders) > 1:
            raise DatasetError(
                f"{folder} holds {split} more than once, in {', '.join(sorted(folders))}",
                "Point data.source at the folder of one dataset.",
            )
    return _needed({split: tuple(paths) for split, paths in found.items()}, wanted, where=str(folder))


def _split_of(path: Path, wanted: tuple[str, ...]) -> str:
    stem = re.split(r"[-.]", path.name, maxsplit=1)[0]
    return path.parent.name if stem not in wanted and path.parent.name in wanted else stem


def _needed(
    found: dict[str, tuple[Name, ...]], wanted: tuple[str, ...], where: str
) -> dict[str, tuple[Name, ...]]:
    missing = [split for split in wanted if split not in found]
    if missing:
        raise DatasetError(
            f"{where} has no split {', '.join(missing)}; it has {', '.join(sorted(found)) or 'none'}",
            f"Provide {', '.join(wanted)}, as parquet or JSONL files named after their split; "
            "data.slice makes training and test rows of one split.",
        )
    needed = {split: found[split] for split in wanted}
    strange = {Path(path).suffix for paths in needed.values() for path in paths} - SUFFIXES
    if strange:
        raise DatasetError(
            f"{where} holds {', '.join(sorted(strange))} files",
            f"Provide one of {', '.join(sorted(SUFFIXES))}; JSON with one object a line.",
        )
    return needed


def _commit_of(config: DataConfig) -> str:
    """The commit that the revision stands for now.

    Asked for through the card, as `datasets` does: that is one HEAD request, and when the hub is away or
    HF_HUB_OFFLINE is set, the hub's own cache answers with what the revision was when last seen.
    """
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import RemoteEntryNotFoundError

    try:
        card = hf_hub_download(config.source, "README.md", repo_type="dataset", revision=config.revision)
    except RemoteEntryNotFoundError:
        return str(HfApi().dataset_info(config.source, revision=config.revision).sha)
    return Path(card).parent.name


@contextmanager
def _hub_errors(config: DataConfig) -> Iterator[None]:
    """Translates what the hub's client raises into what the operator should do."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except GatedRepoError as error:
        raise AccessError(
            f"The hub dataset {config.source} is gated",
            "Accept its terms on the hub, and set HF_TOKEN to a token of that account.",
        ) from error
    except RepositoryNotFoundError as error:
        raise DatasetError(
            f"{config.source} is neither a folder here nor a dataset that the hub shows us",
            "Check data.source for a typing error; a private dataset needs HF_TOKEN.",
        ) from error
    except RevisionNotFoundError as error:
        raise DatasetError(
            f"The hub dataset {config.source} has no revision {config.revision!r}",
            "Set data.revision to a branch, tag or commit that exists, such as 'main'.",
        ) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, ConnectionError) as error:
        raise _unavailable(config.source, error) from error


def _unavailable(source: str, error: Exception) -> ChatFinetuneError:
    from huggingface_hub import is_offline_mode
    from huggingface_hub.errors import HfHubHTTPError

    if is_offline_mode():
        return DatasetError(
            f"{source} was not prepared before, and HF_HUB_OFFLINE forbids asking the hub",
            "Unset HF_HUB_OFFLINE, or point data.source at a local folder.",
        )
    cause = error if isinstance(error, HfHubHTTPError) else error.__cause__
    status = cause.response.status_code if isinstance(cause, HfHubHTTPError) else None
    if status == 429:
        return ThrottledError(
            f"The hub throttles us on {source}", "Wait, or set HF_TOKEN for a higher limit."
        )
    if status in (401, 403):
        return AccessError(
            f"The hub refused {source} with HTTP {status}", "Set HF_TOKEN to a token that may read it."
        )
    if status is not None and status < 500:
        return DatasetError(
            f"The hub refused {source} with HTTP {status}", "Check data.source and data.revision."
        )
    answer = f"answered HTTP {status}" if status else "did not answer"
    return ServiceUnavailableError(
        f"The hub {answer} while we read {source}, which was not prepared before",
        "Try again later, or point data.source at a local folder.",
    )
