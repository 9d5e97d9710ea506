"""The command job of a run: its line, as the shell of a node runs it, its image and its packages."""

import os
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from chat_finetune.config.retrain import RetrainConfig
from chat_finetune.dataset import prepare_dataset
from chat_finetune.jobs.command_job import command_spec
from chat_finetune.refs import CommandSpec, ComputeRef, FoundationModelRef, RunRef
from tests.chat_finetune.dataset.samples import config, sound_splits, write_jsonl

RUN = RunRef(flow_run_id="5e1f", created=datetime(2026, 11, 25, tzinfo=UTC), config_hash="aaaa")
PHI = FoundationModelRef(
    id="microsoft/Phi-3.5-mini-instruct", name="microsoft/Phi-3.5-mini-instruct", version=""
)


def spec(folder: Path, gpu_count: int = 1, node_count: int = 1, **trainer: Any) -> CommandSpec:
    dataset = prepare_dataset(config(write_jsonl(folder / "source", sound_splits())), folder / "cache")
    compute = ComputeRef(
        cluster="gpu-cluster",
        vm_size="Standard_NC24ads_A100_v4",
        gpu_count=gpu_count,
        node_count=node_count,
        created=True,
        tier="dedicated",
        price_per_hour=3.0,
        serving_price_per_hour=None,
        allow_list_source="none",
    )
    retrain = RetrainConfig.model_validate({"trainer": {"kind": "command_job", **trainer}})
    assert retrain.trainer.kind == "command_job"
    return command_spec(retrain, retrain.trainer, RUN, PHI, dataset, compute)


@pytest.mark.parametrize(
    ("variables", "client_id"),
    [({"DEFAULT_IDENTITY_CLIENT_ID": "of-the-cluster"}, "of-the-cluster"), ({}, "unset")],
)
def test_the_job_acts_as_its_computes_identity(
    tmp_path: Path, variables: dict[str, str], client_id: str
) -> None:
    """Azure ML tells a job the client id of its compute's identity; libraries look for AZURE_CLIENT_ID."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\necho "${AZURE_CLIENT_ID-unset}"; echo "$@"\n')
    python.chmod(0o755)
    line = re.sub(r"\$\{\{(\w+)\.(\w+)\}\}", r"/mnt/\1/\2", spec(tmp_path).command)
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    told = subprocess.run(
        ["/bin/bash", "-c", line], env={"PATH": path, **variables}, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert told[0] == client_id
    assert told[1].startswith("-m chat_training.sft --train_file /mnt/inputs/train_file")
    assert "--model_name_or_path microsoft/Phi-3.5-mini-instruct " in told[1]


def test_it_trains_with_the_projects_pins_on_the_walkthroughs_image(tmp_path: Path) -> None:
    on_gpus = spec(tmp_path, method="qlora")
    assert on_gpus.image == "mcr.microsoft.com/azureml/curated/acft-hf-nlp-gpu:59"
    assert any(line.startswith("torch==") for line in on_gpus.requirements)
    assert on_gpus.requirements[-1].startswith("bitsandbytes==")
    on_cpus = spec(tmp_path, gpu_count=0)
    assert "openmpi" in on_cpus.image
    assert not any("bitsandbytes" in line for line in on_cpus.requirements)


def test_the_batch_and_the_price_count_every_node(tmp_path: Path) -> None:
    made = spec(tmp_path, gpu_count=2, node_count=3)
    assert "-bs24-" in made.display_name
    assert made.tags["usd_per_hour"] == "9.0000"
