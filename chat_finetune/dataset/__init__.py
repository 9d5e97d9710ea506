"""Turn any dataset of conversations into checked, cached `<split>.jsonl` files.

    source.py   where the files are: a local folder, or a hub repository at a commit
    rows.py     parquet or JSONL files → chunks of rows, first n of them
    checks.py   which rows are unusable, and why
    slicing.py  which splits and rows are wanted
    held_out.py one split's rows as training and test rows, where data.slice asks for it
    hashing.py  what a file holds, as one short text
    lines.py    chunks → JSON lines, measured on the way; some at a time, side by side
    prepare.py  read, write, judge
    cache.py    what was prepared before, and how a new entry becomes visible at once or not at all
    report.py   what is told about it

polars and datasets are imported when there is something to prepare: a run on known data does without.
"""

from dataclasses import replace
from pathlib import Path

from chat_finetune.config.retrain import DataConfig
from chat_finetune.dataset.report import PreparedDataset, RowProblem, SplitReport

__all__ = ["PreparedDataset", "RowProblem", "SplitReport", "prepare_dataset"]


def prepare_dataset(config: DataConfig, cache_dir: Path) -> PreparedDataset:
    """Fetch, check and write the splits train_sft, test_sft and test_gen, or make them of data.slice.

    Each line of `<split>.jsonl` is a row of ultrachat_200k: `{"prompt": str, "messages": [{"content": str,
    "role": str}, …], "prompt_id": str}`. Asked for the same content again, nothing is fetched or written.

    Raises:
        DatasetError: the source is missing, lacks a split or a column, or too many rows are unusable.
        AccessError: the hub wants somebody to sign in, or to accept the dataset's terms.
        TransientError: the hub did not answer, or throttles.
    """
    from chat_finetune.dataset.cache import CacheEntry, write_manifest
    from chat_finetune.dataset.source import find_source

    source = find_source(config)
    entry = CacheEntry(cache_dir, source.identity, config)
    with entry.locked():
        cached = entry.load()
        if cached is not None:
            return replace(cached, cached=True)
        from chat_finetune.dataset.prepare import write_splits

        with entry.publishing() as folder:
            splits = write_splits(source.files(), config, folder)
            write_manifest(folder, source.name, source.revision, splits)
        return entry.read()
