"""Datasets of a hub, here one on loopback: the ordinary client, in a process of its own, since it reads
`HF_ENDPOINT` at import."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hub import Hub, serve_hub

pytestmark = pytest.mark.slow

SAMPLE = Path(__file__).parents[3] / "data" / "ultrachat_sample"
CLIENT = """
import dataclasses, json, sys
from pathlib import Path
from chat_finetune.config.retrain import DataConfig
from chat_finetune.dataset import prepare_dataset
from chat_finetune.errors import ChatFinetuneError
cache_dir, *configs = sys.argv[1:]
for config in configs:
    try:
        answer = dataclasses.asdict(prepare_dataset(DataConfig.model_validate_json(config), Path(cache_dir)))
    except ChatFinetuneError as error:
        answer = {"error": type(error).__name__, "message": error.message, "remedy": error.remedy}
    answer["datasets_imported"] = "datasets" in sys.modules
    print(json.dumps(answer, default=str))
"""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    root = tmp_path / "hub"
    shutil.copytree(SAMPLE, root / "wrenfield" / "skylark")
    with serve_hub(root) as hub:
        yield hub


def prepare(hub: Hub, tmp_path: Path, *configs: dict[str, Any], **environment: str) -> list[dict[str, Any]]:
    """One new process, as on a new night; it prepares the datasets one after the other."""
    settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_TELEMETRY": "1"}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    asked = [json.dumps({"source": "wrenfield/skylark", "percent": 100} | config) for config in configs]
    run = subprocess.run(
        [sys.executable, "-c", CLIENT, str(tmp_path / "cache"), *asked],
        env=inherited | settings | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_second_night_fetches_nothing_and_new_data_is_fetched(hub: Hub, tmp_path: Path) -> None:
    [first] = prepare(hub, tmp_path, {})
    assert {split: report["rows"] for split, report in first["splits"].items()} == {
        "train_sft": 135,
        "test_sft": 33,
        "test_gen": 16,
    }
    assert (first["name"], first["revision"]) == ("wrenfield/skylark", hub.commit("wrenfield/skylark"))
    assert sorted(hub.fetched_files) == [
        f"data/{split}-00000-of-00001.parquet" for split in ("test_gen", "test_sft", "train_sft")
    ]

    hub.requests.clear()
    [second] = prepare(hub, tmp_path, {})
    assert second["cached"]
    assert second["content_hash"] == first["content_hash"]
    assert [line for line in hub.requests if line.startswith("GET") and "/resolve/" in line] == []
    assert not second["datasets_imported"]

    changed = hub.root / "wrenfield" / "skylark" / "data"
    shutil.copy(changed / "train_gen-00000-of-00001.parquet", changed / "train_sft-00000-of-00001.parquet")
    [third] = prepare(hub, tmp_path, {})
    assert not third["cached"]
    assert third["splits"]["train_sft"]["rows"] == 24
    assert hub.fetched_files == ["data/train_sft-00000-of-00001.parquet"]


def test_prepared_data_is_found_without_the_hub(hub: Hub, tmp_path: Path) -> None:
    prepare(hub, tmp_path, {})
    hub.requests.clear()
    more = [{"source": "wrenfield/other"}, {"rows": 1}]
    [offline, *others] = prepare(hub, tmp_path, {}, *more, HF_HUB_OFFLINE="1")
    assert offline["cached"]
    for answer in others:
        assert answer["error"] == "DatasetError"
        assert "HF_HUB_OFFLINE forbids" in answer["message"]
    assert hub.requests == []


def test_subset_and_jsonl_files_as_the_card_says(hub: Hub, tmp_path: Path) -> None:
    folder = hub.root / "wrenfield" / "subsets"
    folder.mkdir()
    splits = ("train_sft", "test_sft", "test_gen")
    for subset in ("en", "de"):
        for split in splits:
            messages = [{"role": "user", "content": f"{split}?"}, {"role": "assistant", "content": subset}]
            (folder / f"{subset}-{split}.jsonl").write_text(json.dumps({"messages": messages}) + "\n")
    configs = "".join(
        f"- config_name: {subset}\n  data_files:\n"
        + "".join(f"  - split: {split}\n    path: {subset}-{split}.jsonl\n" for split in splits)
        for subset in ("en", "de")
    )
    (folder / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    asked = [{"source": "wrenfield/subsets", "subset": subset} for subset in ("de", None, "fr")]
    [german, unnamed, french] = prepare(hub, tmp_path, *asked)
    assert '"content":"de"' in Path(german["splits"]["test_gen"]["path"]).read_text()
    assert all(path.startswith("de-") for path in hub.fetched_files)
    for refused in (unnamed, french):
        assert refused["error"] == "DatasetError"
        assert "en" in refused["message"]
        assert "data.subset" in refused["remedy"]


def test_what_is_wrong_with_a_hub_dataset_is_said(hub: Hub, tmp_path: Path) -> None:
    plain = hub.root / "wrenfield" / "plain"
    plain.mkdir()
    (plain / "train.csv").write_text("a,b\n1,2\n")
    (hub.root / "wrenfield" / "empty").mkdir()
    [unknown, revision, splits, empty] = prepare(
        hub,
        tmp_path,
        {"source": "wrenfield/sky-lark"},
        {"revision": "v9"},
        {"source": "wrenfield/plain"},
        {"source": "wrenfield/empty"},
    )
    for answer in (unknown, revision, splits, empty):
        assert answer["error"] == "DatasetError"
    assert "wrenfield/sky-lark is neither a folder here nor a dataset" in unknown["message"]
    assert "has no revision 'v9'" in revision["message"]
    assert "has no split train_sft, test_sft, test_gen; it has train" in splits["message"]
    assert "wrenfield/empty" in empty["message"]


def test_trouble_of_the_hub_is_told_apart(hub: Hub, tmp_path: Path) -> None:
    (hub.root / "wrenfield" / "cardless").mkdir()  # without a card its commit comes from the API
    hub.failures.extend([(503, ""), (429, ""), (403, ""), (403, "GatedRepo")])
    answers = prepare(hub, tmp_path, *[{"source": "wrenfield/cardless"}] * 4)
    errors = ["ServiceUnavailableError", "ThrottledError", "AccessError", "AccessError"]
    assert [answer["error"] for answer in answers] == errors
    assert "answered HTTP 503" in answers[0]["message"]
    assert "HF_TOKEN" in answers[2]["remedy"]
    assert "is gated" in answers[3]["message"]
