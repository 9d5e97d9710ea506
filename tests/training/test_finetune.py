"""Real training, on a stand-in of under a million parameters."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from chat_training.arguments import FinetuneArguments, FinetuneOptions
from chat_training.devices import Device
from chat_training.finetune import finetune
from chat_training.model_import import ModelImportArguments, model_import
from chat_training.preprocess import PreprocessArguments, preprocess
from chat_training.steps import StepError
from chat_training.token_files import TokenDataset
from chat_training.trainer import PadRight, build_trainer, evaluation_interval_steps, training_arguments
from chat_training.weights import complete_model, load_model
from mlflow import MlflowClient
from transformers import AutoModelForCausalLM

from tests.training.conftest import write_jsonl

pytestmark = pytest.mark.slow
CPU = Device("cpu", None)


@pytest.fixture
def arguments(
    tmp_path: Path, tiny_phi3: Path, train_file: Path, monkeypatch: pytest.MonkeyPatch
) -> FinetuneArguments:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    model_import(ModelImportArguments(tmp_path / "model", mlflow_model_path=tiny_phi3))
    preprocess(PreprocessArguments(tmp_path / "model", tmp_path / "tokens", train_file_path=train_file))
    return FinetuneArguments(
        preprocess_output=tmp_path / "tokens",
        model_selector_output=tmp_path / "model",
        pytorch_model_folder=tmp_path / "trained",
        apply_lora=True,
        lora_dropout=0.1,
        learning_rate=5e-3,
        max_steps=8,
        per_device_train_batch_size=2,
        evaluation_strategy="steps",
        eval_steps=4,
        logging_steps=2,
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    return state


def test_a_resumed_run_ends_like_an_uninterrupted_one(arguments: FinetuneArguments, tmp_path: Path) -> None:
    finetune(arguments)
    whole = arguments.pytorch_model_folder
    resumed = tmp_path / "resumed"
    shutil.copytree(whole / "checkpoint-4", resumed / "checkpoint-4")
    finetune(replace(arguments, pytorch_model_folder=resumed, resume_from_checkpoint=True))
    expected = weights(whole)
    base = weights(arguments.model_selector_output)
    assert any(not torch.equal(expected[name], base[name]) for name in expected)
    torch.testing.assert_close(weights(resumed), expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's, of its database layer
def test_the_run_gets_the_loss_before_and_after(
    arguments: FinetuneArguments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    client = MlflowClient()
    run_id = client.create_run(client.create_experiment("e", str(tmp_path / "artifacts"))).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    finetune(replace(arguments, apply_deepspeed=True))
    run = client.get_run(run_id)
    losses = {point.step: point.value for point in client.get_metric_history(run_id, "eval_loss")}
    assert sorted(losses) == [0, 4, 8]
    assert losses[8] < losses[0]
    assert [point.step for point in client.get_metric_history(run_id, "loss")] == [2, 4, 6, 8]
    assert {"learning_rate", "grad_norm", "epoch", "train_tokens", "eval_tokens"} <= set(run.data.metrics)
    assert (run.data.metrics["train_rows"], run.data.metrics["eval_rows"]) == (18, 2)
    assert run.data.params["learning_rate"] == "0.005"
    assert run.data.tags["apply_deepspeed"] == "not applied: there is no GPU"
    assert run.info.status == "RUNNING"  # its end belongs to the job

    shutil.rmtree(arguments.pytorch_model_folder / "checkpoint-8")
    second_run_id = client.create_run(run.info.experiment_id).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", second_run_id)
    finetune(replace(arguments, resume_from_checkpoint=True))
    resumed = {point.step: point.value for point in client.get_metric_history(second_run_id, "eval_loss")}
    assert resumed == pytest.approx(losses)  # what came before the interruption included


def test_merged_weights_answer_like_the_adapter(arguments: FinetuneArguments, tmp_path: Path) -> None:
    finetune(replace(arguments, merge_lora_weights=False, lora_dropout=0.0))
    apart = arguments.pytorch_model_folder
    merged = replace(arguments, pytorch_model_folder=tmp_path / "merged")
    complete_model(merged, apart / "peft_adapter_weights")
    base = arguments.model_selector_output
    assert weights(apart).keys() == weights(base).keys()

    from peft import PeftModel

    tokens = torch.arange(10, 40).unsqueeze(0)
    with torch.inference_mode():
        with_adapter = PeftModel.from_pretrained(
            AutoModelForCausalLM.from_pretrained(apart), str(apart / "peft_adapter_weights")
        )(tokens).logits
        together = AutoModelForCausalLM.from_pretrained(merged.pytorch_model_folder)(tokens).logits
        untrained = AutoModelForCausalLM.from_pretrained(base)(tokens).logits
    torch.testing.assert_close(together, with_adapter, rtol=1e-4, atol=1e-4)
    assert (together - untrained).abs().max() > 1e-2


def test_all_weights_are_trained_without_lora(arguments: FinetuneArguments) -> None:
    finetune(replace(arguments, apply_lora=False, max_steps=2, evaluation_strategy="disable"))
    base, trained = weights(arguments.model_selector_output), weights(arguments.pytorch_model_folder)
    assert all(not torch.equal(base[name], trained[name]) for name in base if "layernorm" not in name)


def test_eval_loss_is_the_mean_over_all_answer_tokens(arguments: FinetuneArguments, tmp_path: Path) -> None:
    lengths = [
        [{"role": "user", "content": "Count."}, {"role": "assistant", "content": "one two " * count}]
        for count in (1, 4, 16)
    ]
    file = write_jsonl(tmp_path / "lengths.jsonl", lengths)
    preprocess(
        PreprocessArguments(
            arguments.model_selector_output,
            arguments.preprocess_output,
            train_file_path=file,
            validation_file_path=file,
        )
    )
    rows = TokenDataset(arguments.preprocess_output, "validation")
    model = load_model(replace(arguments, apply_lora=False), CPU, FinetuneOptions())
    total = count = 0.0
    with torch.inference_mode():
        for row in rows:
            logits = model(torch.tensor([row["input_ids"]])).logits[0, :-1]
            labels = torch.tensor(row["labels"][1:])
            total += torch.nn.functional.cross_entropy(logits, labels, reduction="sum").item()
            count += (labels != -100).sum().item()
    for batch_size in (1, 2, 3):
        sized = replace(arguments, per_device_eval_batch_size=batch_size)
        trainer = build_trainer(
            model,
            training_arguments(sized, CPU, 3, FinetuneOptions()),
            PadRight(0, None),
            {"train": rows, "validation": rows},
            [],
        )
        assert trainer.evaluate()["eval_loss"] == pytest.approx(total / count, rel=1e-4)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {},
            {"eval_strategy": "steps", "eval_on_start": True, "load_best_model_at_end": True, "bf16": False},
        ),
        ({"save_total_limit": -1}, {"save_total_limit": None}),
        ({"save_total_limit": 2}, {"save_total_limit": 2}),
        (
            {"evaluation_strategy": "disable"},
            {"eval_strategy": "no", "eval_on_start": False, "save_strategy": "epoch"},
        ),
        ({"evaluation_strategy": "epoch"}, {"eval_strategy": "epoch", "save_strategy": "epoch"}),
        ({"eval_accumulation_steps": 3}, {"eval_accumulation_steps": 3}),
        ({"precision": "16", "apply_deepspeed": True}, {"bf16": False, "fp16": False, "deepspeed": None}),
        (
            {"lr_scheduler_type": "cosine", "warmup_steps": 5},
            {"lr_scheduler_type": "cosine", "warmup_steps": 5},
        ),
        (
            {"optim": "adafactor", "adam_beta2": 0.9, "seed": 1},
            {"optim": "adafactor", "adam_beta2": 0.9, "seed": 1},
        ),
    ],
)
def test_parameters_mean_what_they_say(
    arguments: FinetuneArguments, change: dict[str, Any], expected: dict[str, Any]
) -> None:
    made = training_arguments(replace(arguments, **change), CPU, 100, FinetuneOptions())
    assert {name: getattr(made, name) for name in expected} == expected


def test_an_evaluation_interval_is_a_fraction_of_an_epoch(arguments: FinetuneArguments) -> None:
    assert evaluation_interval_steps(arguments, 100) == 4
    quarter = replace(arguments, evaluation_steps_interval=0.25, gradient_accumulation_steps=2)
    assert evaluation_interval_steps(quarter, 100) == 6


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"metric_for_best_model": "f1"}, "for conversations it must be loss"),
        ({"apply_early_stopping": True, "evaluation_strategy": "disable"}, "needs evaluations"),
        ({"lora_r": 0}, "lora_r is 0"),
    ],
)
def test_contradictions_are_refused(
    arguments: FinetuneArguments, change: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(StepError, match=complaint):
        finetune(replace(arguments, **change))
