"""Walkthrough B's training program, on a stand-in of under a million parameters."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pytest
import torch
from chat_training.devices import Device, Half
from chat_training.progress import ProgressCallback
from chat_training.sft import SftArguments, finetune_arguments, finetune_options, sft, with_system_message
from chat_training.steps import StepError, parse_arguments
from chat_training.trainer import training_arguments
from mlflow import MlflowClient
from safetensors.torch import load_file

PROJECT = Path(__file__).parents[2]
CPU = Device("cpu", None)


@pytest.fixture
def arguments(
    tmp_path: Path, tiny_phi3: Path, train_file: Path, monkeypatch: pytest.MonkeyPatch
) -> SftArguments:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    return SftArguments(
        train_file,
        train_file,
        Path("./model_output"),
        model_name_or_path=str(tiny_phi3),
        max_length=256,
        bf16=False,
        num_train_epochs=2,
        per_device_train_batch_size=1,
        learning_rate=5e-3,
        logging_steps=1,
    )


def test_the_command_line_is_the_walkthroughs() -> None:
    asked = ["--train-file", "a.jsonl", "--eval-file", "b.jsonl", "--model_output_dir", "./model_output"]
    assert parse_arguments(SftArguments, asked) == SftArguments(
        Path("a.jsonl"), Path("b.jsonl"), Path("model_output")
    )


def test_the_defaults_are_the_walkthroughs(tmp_path: Path) -> None:
    asked = SftArguments(tmp_path, tmp_path, tmp_path)
    told = finetune_arguments(asked, tmp_path, tmp_path, tmp_path)
    assert (asked.model_name_or_path, asked.max_length, asked.packing) == (
        "microsoft/Phi-3.5-mini-instruct",
        2048,
        True,
    )
    made = training_arguments(told, CPU, 100, finetune_options(asked))
    expected = {
        "num_train_epochs": 3,
        "learning_rate": 5e-6,
        "lr_scheduler_type": "cosine",
        "per_device_train_batch_size": 4,
        "per_device_eval_batch_size": 4,
        "gradient_accumulation_steps": 1,
        "eval_strategy": "epoch",
        "logging_steps": 20,
        "seed": 0,
    }
    assert {name: getattr(made, name) for name in expected} == expected
    assert made.get_warmup_steps(1000) == 200
    assert told.precision == "16", "bf16 on GPUs that have it"


def test_a_system_message_is_added_where_there_is_none() -> None:
    question = {"role": "user", "content": "?"}
    added = with_system_message([question])
    assert added == [{"role": "system", "content": ""}, question]
    assert with_system_message(added) == added


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's, of its database layer
def test_from_two_files_to_a_model_that_answers_among_the_runs_artifacts(
    arguments: SftArguments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    client = MlflowClient()
    run_id = client.create_run(client.create_experiment("e", str(tmp_path / "artifacts"))).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    sft(arguments)
    losses = {point.step: point.value for point in client.get_metric_history(run_id, "eval_loss")}
    steps = sorted(losses)
    assert steps[0] == 0
    assert len(steps) == 3, "before, and after each of two epochs"
    assert steps[-1] < 40, "twenty conversations a row each would have taken forty steps"
    assert losses[steps[-1]] < losses[0]
    assert "model_output/MLmodel" in [file.path for file in client.list_artifacts(run_id, "model_output")]
    model = mlflow.pyfunc.load_model(str(tmp_path / "model_output"))
    request = {"input_string": [{"role": "user", "content": "What does button 3 do?"}]}
    answer = model.predict({**request, "parameters": {"max_new_tokens": 3}})
    assert isinstance(answer["output"], str)


@pytest.mark.slow
@pytest.mark.parametrize("half", [None, "bf16"])
def test_a_preempted_training_goes_on_and_ends_like_an_uninterrupted_one(
    arguments: SftArguments,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    half: Half,
) -> None:
    class PreemptedError(Exception):
        pass

    def preempt(*_: Any, **__: Any) -> None:
        raise PreemptedError

    def choose(of: Half) -> None:
        monkeypatch.setattr("chat_training.finetune.choose_device", lambda _: Device("cpu", of))

    choose(half)
    lora = replace(arguments, method="lora", lora_dropout=0.1, bf16=True)
    whole = replace(lora, checkpoint_dir=tmp_path / "whole", model_output_dir=tmp_path / "whole model")
    again = replace(lora, checkpoint_dir=tmp_path / "again", model_output_dir=tmp_path / "model again")
    sft(whole)
    with monkeypatch.context() as patch:
        patch.setattr(ProgressCallback, "on_save", preempt)  # after the first epoch's checkpoint
        with pytest.raises(PreemptedError):
            sft(again)
    assert not again.model_output_dir.exists()
    capsys.readouterr()
    choose("bf16" if half is None else None)  # on another machine, or with another neighbour
    sft(again)
    printed = capsys.readouterr().out
    assert "resuming from" in printed
    assert f"precision {half or 'float32'}" in printed
    assert list(again.checkpoint_dir.iterdir()) == [], "what is complete is not resumed"
    weights = [load_file(*one.model_output_dir.rglob("model.safetensors")) for one in (again, whole)]
    # In bfloat16 a CPU does not always round alike: when busy, the same training ends 0.001 apart.
    # Without its optimizer, its schedule or its random state, a resumed one ends 0.04 to 0.08 apart.
    apart = 1e-5 if half is None else 5e-3
    torch.testing.assert_close(*weights, atol=apart, rtol=1.3e-6)


def test_more_tokens_than_the_model_can_look_at_are_refused(arguments: SftArguments) -> None:
    with pytest.raises(StepError, match="max_seq_length is 5000; it must be -1 or from 1 to 4096"):
        sft(replace(arguments, max_length=5000))


def test_a_model_that_is_nowhere_is_named(arguments: SftArguments, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(StepError, match="huggingface_id nobody/nothing cannot be downloaded"):
        sft(replace(arguments, model_name_or_path="nobody/nothing"))


def test_4_bit_weights_are_refused_where_there_is_no_gpu(arguments: SftArguments) -> None:
    with pytest.raises(StepError, match="on CUDA GPUs alone; choose lora"):
        sft(replace(arguments, method="qlora"))


@pytest.mark.slow
def test_two_processes_train_the_model_that_one_would(arguments: SftArguments, tmp_path: Path) -> None:
    """Two rows a step on one machine are one row a step on each of two."""
    alone = replace(
        arguments, per_device_train_batch_size=2, model_output_dir=tmp_path / "alone", packing=False
    )
    sft(alone)
    options = {
        "train_file": arguments.train_file,
        "eval_file": arguments.eval_file,
        "model_output_dir": tmp_path / "together",
        "model_name_or_path": arguments.model_name_or_path,
        "max_length": 256,
        "packing": "false",
        "bf16": "false",
        "num_train_epochs": 2,
        "per_device_train_batch_size": 1,
        "learning_rate": 5e-3,
    }
    given = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "-m", "chat_training.sft"]
    environment = {**os.environ, "PYTHONPATH": "training", "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(
        [*command, *given], cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stdout.count("packed an MLflow model") == 1
    weights = [
        load_file(*folder.rglob("model.safetensors"))
        for folder in (alone.model_output_dir, tmp_path / "together")
    ]
    torch.testing.assert_close(*weights, rtol=1e-2, atol=1e-3)
