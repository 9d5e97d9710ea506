"""Flags come from the config models, on top of a file; a wrong call is explained, not traced."""

import json
from pathlib import Path

import pytest
import yaml

from chat_finetune.catalog import load_catalog
from chat_finetune.config.retrain import RetrainConfig
from chat_finetune.config.sweep import GridSearchConfig, RandomSearchConfig, Range
from chat_finetune.config.trainers import TRAINERS, CommandJobConfig, RegistryPipelineConfig
from chat_finetune.errors import ConfigError
from commands.arguments import example, parse_retrain_config, parse_sweep_config
from commands.demo import CONFIGS as DEMOS
from commands.main import main

PROJECT = Path(__file__).resolve().parents[2]


def test_without_anything_it_is_the_defaults():
    assert parse_retrain_config([]) == RetrainConfig()


def test_a_flag_comes_before_the_file_and_the_file_before_the_default(tmp_path: Path):
    file = tmp_path / "config.yaml"
    file.write_text("trainer: {learning_rate: 1e-4, seed: 1}\nmodel: {name: Phi-3}\n")
    config = parse_retrain_config(["--trainer.seed", "2", "--no-trainer.apply_lora"], file)
    assert config.trainer == RegistryPipelineConfig(learning_rate=1e-4, seed=2, apply_lora=False)
    assert config.model.name == "Phi-3"


def test_each_kind_of_trainer_has_flags_and_help_of_its_own(capsys: pytest.CaptureFixture[str]):
    config = parse_retrain_config(["--trainer.kind", "command_job", "--trainer.method", "lora"])
    assert config.trainer == CommandJobConfig(method="lora")
    assert main(["retrain", "--trainer.method", "lora"]) == 2
    assert "trainer.method: Extra inputs are not permitted" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["retrain", "--trainer.kind", "command_job", "--help"])
    told = capsys.readouterr().out
    assert "--trainer.method" in told
    assert "--trainer.precedence" not in told


@pytest.mark.parametrize("command", ["retrain", "sweep"])
def test_the_help_lists_the_catalog_once(command: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    told = capsys.readouterr().out
    for name in (*load_catalog().tunable_models, *load_catalog().training_sizes[1:]):
        assert told.replace(f"default: {name}", "").count(name) == 1
    assert "Standard_NC24rs_v3" not in told, "retired"


def test_a_trainer_that_names_no_kind_is_the_registry_pipeline():
    config = RetrainConfig.model_validate({"trainer": {"seed": 3}})
    assert config.trainer == RegistryPipelineConfig(seed=3)


def test_a_flag_reaches_a_group_in_a_group():
    config = parse_retrain_config(["--endpoint.liveness_probe.period_seconds", "30"])
    assert config.endpoint.liveness_probe.period_seconds == 30
    assert config.endpoint.liveness_probe.initial_delay_seconds == 600


def test_the_environment_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MODEL", '{"name": "other"}')
    monkeypatch.setenv("TRAINER.SEED", "9")
    assert parse_retrain_config([]) == RetrainConfig()


def test_the_printed_example_is_the_defaults(tmp_path: Path):
    file = tmp_path / "config.yaml"
    file.write_text(example())
    assert parse_retrain_config([], file) == RetrainConfig()


@pytest.mark.parametrize("kind", TRAINERS)
def test_the_demo_of_each_trainer_is_a_config_that_names_what_there_is(kind: str):
    config = parse_retrain_config([], DEMOS[kind])
    assert config.trainer.kind == kind
    assert (PROJECT / config.data.source / "data").is_dir()
    assert (PROJECT / "registry" / "models" / config.model.name).is_dir()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--trainer.learning_rate", "7"],
            "trainer.learning_rate: Input should be less than or equal to 1",
        ),
        (["--data.rows", "many"], "data.rows: Input should be a valid integer"),
        (["--endpoint.name", "x"], "endpoint.name: String should match pattern"),
    ],
)
def test_a_value_out_of_bounds_is_named(flags: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    assert main(["retrain", *flags]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("content", "message"),
    [("trainer: {speed: 1}", "speed"), ("- a list", "does not hold fields"), ("a: b: c", "cannot be read")],
)
def test_a_file_that_is_no_config_is_named(tmp_path: Path, content: str, message: str):
    file = tmp_path / "config.yaml"
    file.write_text(content)
    with pytest.raises(ConfigError, match=message):
        parse_retrain_config([], file)


def test_a_file_that_is_missing_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match="nowhere"):
        parse_retrain_config([], tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["retrain", "--trainer.learning_rat", "1e-4"],
            "unrecognized arguments: --trainer.learning_rat 1e-4; did you mean --trainer.learning_rate?",
        ),
        (["sweep", "--max_concurent", "2"], "did you mean --max_concurrent?"),
        (["reap", "--no-dryrun"], "unrecognized arguments: --no-dryrun; did you mean --no-dry_run?"),
        (["chat", "--xyzzy"], "unrecognized arguments: --xyzzy"),
        (["retrain", "--data.percent"], "argument --data.percent: expected one argument"),
        (["ask"], "the following arguments are required: QUESTION"),
    ],
)
def test_a_flag_that_is_not_understood_is_told_in_two_lines(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    assert main(arguments) == 2
    told, remedy = capsys.readouterr().err.splitlines()
    assert told.startswith("error: ")
    assert told.endswith(message)
    assert remedy == f"  → `chat-finetune {arguments[0]} --help` lists every field with its bounds."


def test_the_schema_is_json_with_every_group(capsys: pytest.CaptureFixture[str]):
    assert main(["config", "schema"]) == 0
    assert set(json.loads(capsys.readouterr().out)["properties"]) == set(RetrainConfig.model_fields)


def test_the_example_is_yaml(capsys: pytest.CaptureFixture[str]):
    assert main(["config", "example"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["model"]["name"] == RetrainConfig().model.name


# --- Sweeps


def test_a_sweep_is_made_of_flags_on_top_of_a_file(tmp_path: Path):
    file = tmp_path / "sweep.yaml"
    file.write_text("models: [parrot, finch]\nbase: {data: {percent: 1}}\nmax_concurrent: 3\n")
    flags = ["--search.parameters", '{"trainer.seed": [1, 2]}', "--max_concurrent", "4", "--halving.enabled"]
    config = parse_sweep_config([*flags, "--base.model.name", "Phi-4"], file)
    assert (config.models, config.max_concurrent, config.halving.enabled) == (("parrot", "finch"), 4, True)
    assert (config.base.data.percent, config.base.model.name) == (1, "Phi-4")
    assert config.search == GridSearchConfig(parameters={"trainer.seed": [1, 2]})


def test_a_sweep_of_command_jobs_is_made_of_a_file_and_of_flags(tmp_path: Path):
    file = tmp_path / "sweep.yaml"
    file.write_text("base: {trainer: {kind: command_job, method: lora}}")
    flags = ["--base.trainer.kind", "command_job", "--base.trainer.method", "qlora"]
    methods = {
        trainer.method
        for trainer in (parse_sweep_config([], file).base.trainer, parse_sweep_config(flags).base.trainer)
        if trainer.kind == "command_job"
    }
    assert methods == {"lora", "qlora"}


def test_a_random_search_is_named_by_its_kind():
    ranges = '{"trainer.learning_rate": {"low": 1e-6, "high": 1e-4, "log": true}}'
    config = parse_sweep_config(
        ["--search.kind", "random", "--search.draw_count", "5", "--search.parameters", ranges]
    )
    assert isinstance(config.search, RandomSearchConfig)
    assert config.search.parameters["trainer.learning_rate"] == Range(low=1e-6, high=1e-4, log=True)


def test_a_wrong_flag_of_a_sweep_is_named_without_a_kind(capsys: pytest.CaptureFixture[str]):
    assert (
        main(["sweep", "--base.trainer.learning_rate", "7", "--search.kind", "random", "--search.seed", "-1"])
        == 2
    )
    told = capsys.readouterr().err
    assert "base.trainer.learning_rate: Input should be less than or equal to 1" in told
    assert "search.seed: Input should be greater than or equal to 0" in told
