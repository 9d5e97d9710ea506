"""Where we run: the environment, else the nearest config.json."""

import json
from pathlib import Path

import pytest

from chat_finetune.errors import ConfigError
from chat_finetune.settings import for_scheduled_run, load_settings

ENVIRONMENT = {
    "AZUREML_ARM_SUBSCRIPTION": "sub",
    "AZUREML_ARM_RESOURCEGROUP": "group",
    "AZUREML_ARM_WORKSPACE_NAME": "workspace",
}
FILE = {"subscription_id": "file-sub", "resource_group": "file-group", "workspace_name": "file-workspace"}


def test_the_environment_names_the_workspace(tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps(FILE))
    found = load_settings(ENVIRONMENT, tmp_path)
    assert (found.subscription_id, found.resource_group, found.workspace_name) == (
        "sub",
        "group",
        "workspace",
    )


@pytest.mark.parametrize("place", ["config.json", ".azureml/config.json"])
def test_config_json_is_found_in_the_folders_above(tmp_path: Path, place: str):
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text(json.dumps({**FILE, "other": "kept out"}))
    (below := tmp_path / "a" / "b").mkdir(parents=True)
    assert load_settings({}, below).workspace_name == "file-workspace"


def test_a_variable_takes_the_place_of_one_field_of_the_file(tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps(FILE))
    found = load_settings({"AZUREML_ARM_WORKSPACE_NAME": "other"}, tmp_path)
    assert (found.subscription_id, found.workspace_name) == ("file-sub", "other")


def test_nothing_configured_says_what_to_set(tmp_path: Path):
    with pytest.raises(ConfigError, match="AZUREML_ARM_SUBSCRIPTION") as raised:
        load_settings({}, tmp_path)
    assert "config.json" in raised.value.remedy


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is not JSON"), ("[]", "is not a JSON object"), ('{"subscription_id": "s"}', "does not name")],
)
def test_a_broken_file_is_named(tmp_path: Path, content: str, message: str):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ConfigError, match=message):
        load_settings({}, tmp_path)


@pytest.mark.parametrize("authentication", ["az_login", "browser"])
def test_what_takes_a_person_is_refused_for_scheduled_runs(tmp_path: Path, authentication: str):
    found = load_settings(ENVIRONMENT, tmp_path).model_copy(update={"authentication": authentication})
    with pytest.raises(ConfigError, match="nobody is there when a schedule starts a run") as raised:
        for_scheduled_run(found)
    assert "managed identity" in raised.value.remedy


@pytest.mark.parametrize("authentication", ["default", "managed_identity", "service_principal"])
def test_what_takes_none_is_used_without_one(tmp_path: Path, authentication: str):
    found = load_settings(ENVIRONMENT, tmp_path).model_copy(update={"authentication": authentication})
    assert for_scheduled_run(found) == found.model_copy(update={"unattended": True})
