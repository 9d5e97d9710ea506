import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chat_training.steps import StepError, run_step
from chat_training.validate import ValidateArguments, validate


@pytest.fixture
def arguments(tmp_path: Path, tiny_phi3: Path, train_file: Path) -> ValidateArguments:
    info = tmp_path / "out" / "info.json"
    return ValidateArguments(validation_info=info, mlflow_model_path=tiny_phi3, train_file_path=train_file)


def test_what_is_fit_is_counted(arguments: ValidateArguments) -> None:
    validate(replace(arguments, task_name="chat-completion", user_column_names="messages"))
    assert json.loads(arguments.validation_info.read_text())["conversation_counts"] == {"train": 20}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"task_name": "TextClassification"}, "these steps do chat-completion"),
        ({"user_column_names": "text"}, "column `messages`"),
        ({"max_steps": 0}, "max_steps is 0; it must be -1"),
        ({"max_seq_length": 5000}, "looks at no more than 4096 tokens"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; it must be above 0"),
        ({"adam_beta2": 1.0}, "adam_beta2 is 1.0"),
        ({"per_device_train_batch_size": 0}, "at least 1"),
        ({"train_file_path": None}, "nothing to train on"),
        ({"train_mltable_path": Path("table")}, "train_file_path or train_mltable_path, not both"),
        ({"validation_file_path": Path("none.jsonl")}, "validation: there is no file none.jsonl"),
        ({"mlflow_model_path": Path("none")}, "holds no MLmodel"),
    ],
)
def test_what_is_unfit_is_explained(
    arguments: ValidateArguments, change: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(StepError, match=complaint):
        validate(replace(arguments, **change))


def test_everything_wrong_is_said_at_once(
    tmp_path: Path, tiny_phi3: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.jsonl").write_text("{}\n")
    status = run_step(
        validate,
        ValidateArguments,
        [
            f"--validation_info={tmp_path / 'info'}",
            f"--train_file_path={tmp_path / 'bad.jsonl'}",
            "--max_steps=0",
        ],
    )
    assert status == 1
    printed = capsys.readouterr().out
    assert printed.startswith("error: ")
    assert "max_steps is 0" in printed
    assert "bad.jsonl, row 1 has no `messages`" in printed
    assert not (tmp_path / "info").exists()


def test_pickled_weights_are_refused(tmp_path: Path, arguments: ValidateArguments) -> None:
    (tmp_path / "MLmodel").write_text("flavors: {}\n")
    (tmp_path / "config.json").write_text('{"model_type": "phi3"}')
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(StepError, match="pickled weights are not read"):
        validate(replace(arguments, mlflow_model_path=tmp_path))
