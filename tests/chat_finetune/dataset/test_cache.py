"""Where the data comes from, and that the same content is prepared once."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest

from chat_finetune.dataset import prepare_dataset
from chat_finetune.errors import DatasetError
from tests.chat_finetune.dataset.samples import chat, config, sound_splits, write_jsonl


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "skylark", sound_splits())


def snapshot(folder: Path) -> dict[str, int]:
    return {
        str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.suffix in (".jsonl", ".json")
    }


def test_second_call_writes_nothing_and_says_so(source: Path, tmp_path: Path) -> None:
    first = prepare_dataset(config(source), tmp_path / "cache")
    before = snapshot(tmp_path / "cache")
    second = prepare_dataset(config(source), tmp_path / "cache")
    assert (first.cached, second.cached) == (False, True)
    assert second.splits == first.splits
    assert second.content_hash == first.content_hash
    assert snapshot(tmp_path / "cache") == before
    assert len(before) == 4


def test_of_two_at_once_one_prepares_and_the_other_finds(source: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: prepare_dataset(config(source), tmp_path / "cache"), range(2)))
    assert sorted(prepared.cached for prepared in both) == [False, True]
    assert both[0].splits == both[1].splits


def test_problems_are_remembered(source: Path, tmp_path: Path) -> None:
    write_jsonl(source, {"train_sft": [chat("Hm?"), chat("Is it wet?", "Yes.")]})
    first = prepare_dataset(config(source), tmp_path / "cache")
    assert prepare_dataset(config(source), tmp_path / "cache").splits == first.splits
    assert first.splits["train_sft"].problems[0].row == 1


def test_the_cache_follows_content_not_names_or_times(source: Path, tmp_path: Path) -> None:
    first = prepare_dataset(config(source), tmp_path / "cache")
    source.rename(tmp_path / "moved")
    assert prepare_dataset(config(tmp_path / "moved"), tmp_path / "cache").cached
    write_jsonl(tmp_path / "moved", {"train_sft": [chat("New?", "Yes.")]})
    changed = prepare_dataset(config(tmp_path / "moved"), tmp_path / "cache")
    assert not changed.cached
    assert changed.revision != first.revision


@pytest.mark.parametrize(
    "change", [{"percent": 99}, {"rows": 1}, {"max_chars_per_row": 100}, {"on_bad_rows": "fail"}]
)
def test_whatever_shapes_the_output_is_part_of_the_key(
    change: dict[str, object], source: Path, tmp_path: Path
) -> None:
    prepare_dataset(config(source), tmp_path / "cache")
    assert not prepare_dataset(config(source, **change), tmp_path / "cache").cached


def test_damaged_entry_is_prepared_again(source: Path, tmp_path: Path) -> None:
    first = prepare_dataset(config(source), tmp_path / "cache")
    damaged = first.splits["train_sft"].path
    damaged.write_bytes(damaged.read_bytes()[:-20])
    again = prepare_dataset(config(source), tmp_path / "cache")
    assert not again.cached
    assert again.content_hash == first.content_hash


def test_failure_half_way_leaves_no_entry(source: Path, tmp_path: Path) -> None:
    (source / "test_gen.jsonl").unlink()
    (source / "test_gen.parquet").write_bytes(b"PAR1 cut off")
    with pytest.raises(DatasetError, match="cannot be read"):
        prepare_dataset(config(source), tmp_path / "cache")
    assert [path for path in (tmp_path / "cache").rglob("*") if path.suffix != ".lock"] == []


@pytest.mark.slow
def test_process_killed_while_writing_leaves_nothing_that_is_taken_for_whole(
    source: Path, tmp_path: Path
) -> None:
    dying = f"""
import os, signal
from pathlib import Path
from chat_finetune.config.retrain import DataConfig
from chat_finetune.dataset import prepare, prepare_dataset
write = prepare.write_lines
def write_two_and_die(chunks):
    last, _ = chunks.popitem()
    assert last.stem == "test_gen"
    write(chunks)
    os.kill(os.getpid(), signal.SIGKILL)
prepare.write_lines = write_two_and_die
prepare_dataset(DataConfig(source={str(source)!r}, percent=100), Path({str(tmp_path / "cache")!r}))
"""
    died = subprocess.run([sys.executable, "-c", dying], timeout=60, check=False)
    assert died.returncode == -9
    assert list((tmp_path / "cache").rglob("train_sft.jsonl"))
    assert list((tmp_path / "cache").rglob("manifest.json")) == []
    prepared = prepare_dataset(config(source), tmp_path / "cache")
    assert not prepared.cached
    assert prepared.rows == 5
    assert len(list((tmp_path / "cache").rglob("train_sft.jsonl"))) == 1


def test_missing_split_names_the_splits_there_are(source: Path, tmp_path: Path) -> None:
    (source / "test_gen.jsonl").rename(source / "validation.jsonl")
    with pytest.raises(DatasetError, match="has no split test_gen; it has test_sft, train_sft, validation"):
        prepare_dataset(config(source), tmp_path / "cache")


def test_missing_column_names_the_columns_there_are(source: Path, tmp_path: Path) -> None:
    (source / "test_sft.jsonl").unlink()
    pl.DataFrame({"question": ["a"], "answer": ["b"]}).write_parquet(source / "test_sft.parquet")
    with pytest.raises(DatasetError, match="test_sft has no column 'messages'; it has answer, question"):
        prepare_dataset(config(source), tmp_path / "cache")


def test_messages_of_another_type_are_refused(source: Path, tmp_path: Path) -> None:
    (source / "test_sft.jsonl").unlink()
    pl.DataFrame({"messages": [["a", "b"]]}).write_parquet(source / "test_sft.parquet")
    with pytest.raises(DatasetError, match=r"'messages' of test_sft is List\(String\), not a list of"):
        prepare_dataset(config(source), tmp_path / "cache")


def test_split_in_two_formats_is_refused(source: Path, tmp_path: Path) -> None:
    pl.DataFrame(sound_splits()["test_sft"]).write_parquet(source / "test_sft.parquet")
    with pytest.raises(DatasetError, match=r"test_sft is there twice.*test_sft.jsonl, test_sft.parquet"):
        prepare_dataset(config(source), tmp_path / "cache")


def test_folder_of_two_datasets_is_refused(source: Path, tmp_path: Path) -> None:
    write_jsonl(source / "older", sound_splits())
    with pytest.raises(DatasetError, match=r"holds test_gen more than once, in \., older"):
        prepare_dataset(config(source), tmp_path / "cache")


def test_splits_may_be_folders_of_shards(source: Path, tmp_path: Path) -> None:
    flat = prepare_dataset(config(source), tmp_path / "cache")
    for path in list(source.iterdir()):
        (source / path.stem).mkdir()
        path.rename(source / path.stem / "0000.jsonl")
    assert prepare_dataset(config(source), tmp_path / "other").content_hash == flat.content_hash


@pytest.mark.parametrize("missing", ["/no/such/folder", "./nowhere", "a/b/c", "one-word"])
def test_source_that_is_neither_folder_nor_hub_id_is_refused(missing: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="There is no folder"):
        prepare_dataset(config(missing), tmp_path)


def test_local_folder_has_no_subset(source: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="has no subset 'en'"):
        prepare_dataset(config(source, subset="en"), tmp_path)


_HEAVY = "{'polars', 'datasets', 'huggingface_hub', 'pyarrow', 'pandas'} & set(sys.modules)"


def _printed_by(code: str, *arguments: str) -> str:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def test_importing_it_loads_neither_polars_nor_datasets() -> None:
    assert _printed_by(f"import sys, chat_finetune.dataset; print(sorted({_HEAVY}))") == "[]"


def test_what_is_prepared_already_is_found_without_them(source: Path, tmp_path: Path) -> None:
    prepare_dataset(config(source), tmp_path / "cache")
    code = (
        "import sys; from pathlib import Path; from chat_finetune.dataset import prepare_dataset; "
        "from tests.chat_finetune.dataset.samples import config; "
        f"print(prepare_dataset(config(Path(sys.argv[1])), Path(sys.argv[2])).cached, sorted({_HEAVY}))"
    )
    assert _printed_by(code, str(source), str(tmp_path / "cache")) == "True []"
