"""What lies in deployments/, held to what Prefect reads; image and compose file are not built."""

import json
import re
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import prefect
import pytest
import yaml
from prefect.events.schemas.automations import AutomationCore, EventTrigger
from prefect.server.utilities.user_templates import render_user_template_sync
from prefect.settings import get_current_settings

from commands.deployments import PROJECT

FOLDER = PROJECT / "deployments"
AUTOMATIONS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "automations.yaml").read_text())
ENVIRONMENTS = sorted((FOLDER / "environments").glob("*.env.example"))
_BUNDLED = "api/collections_data/views/aggregate-worker-metadata.json"


def bundled_templates() -> dict[str, Any]:
    """The default template of every work pool type, as this version of Prefect ships them."""
    collections = json.loads(files("prefect.server").joinpath(_BUNDLED).read_text())
    return {
        kind: worker["default_base_job_configuration"]
        for workers in collections.values()
        for kind, worker in workers.items()
    }


# --- Work pools


@pytest.mark.parametrize("path", sorted((FOLDER / "work_pools").glob("*.json")), ids=lambda path: path.stem)
def test_a_work_pool_template_asks_for_what_its_worker_knows(path: Path) -> None:
    template, default = json.loads(path.read_text()), bundled_templates()[path.stem]
    declared = template["variables"]["properties"]
    assert template["job_configuration"].keys() <= default["job_configuration"].keys()
    assert declared.keys() <= default["variables"]["properties"].keys()
    used = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(template["job_configuration"])))
    assert used == declared.keys()


def test_containers_run_the_image_of_this_version_as_nobody() -> None:
    images = {
        json.loads(path.read_text())["variables"]["properties"]["image"]["default"]
        for path in (FOLDER / "work_pools").glob("*.json")
        if path.stem != "process"
    }
    assert images == {f"chat-finetune-worker:{version('chat-finetune')}"}
    dockerfile = (FOLDER / "Dockerfile").read_text()
    user = re.findall(r"^USER (\d+)$", dockerfile, re.M)[-1]
    pod = json.loads((FOLDER / "work_pools" / "kubernetes.json").read_text())["job_configuration"][
        "job_manifest"
    ]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsUser"] == int(user) > 0
    assert f"prefect:{prefect.__version__}-" in dockerfile


# --- Automations


@pytest.mark.parametrize("entry", AUTOMATIONS, ids=lambda entry: entry["name"])
def test_an_automation_is_one_that_prefect_reads(entry: dict[str, Any]) -> None:
    assert entry["trigger"].keys() <= EventTrigger.model_fields.keys()
    block = {"block_document_id": "00000000-0000-0000-0000-000000000000"}
    actions = [{**action, **(block if "subject" in action else {})} for action in entry["actions"]]
    automation = AutomationCore.model_validate({**entry, "actions": actions})
    # They act on this project's runs alone: every deployment carries the tag.
    assert automation.trigger.match_related["prefect.resource.id"] == ["prefect.tag.chat-finetune"]


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({"validated_state": {"type": "FAILED"}}, "retrain red-fox is Failed"),
        ({"said": "over budget: it has cost about 3.10 USD, of 3.00 USD"}, "retrain red-fox is over budget"),
    ],
)
def test_a_notification_says_what_became_of_the_run(payload: dict[str, Any], said: str) -> None:
    [told] = [entry for entry in AUTOMATIONS if entry["actions"][0]["type"] == "send-notification"]
    run = {"name": "red-fox", "state": {"name": "Failed"}}
    context = {"flow": {"name": "retrain"}, "flow_run": run, "event": {"payload": payload}}
    assert render_user_template_sync(told["actions"][0]["subject"], context).startswith(said)


def test_a_run_is_a_zombie_after_three_missed_heartbeats() -> None:
    zombie = next(entry for entry in AUTOMATIONS if entry["trigger"]["posture"] == "Proactive")
    assert zombie["trigger"]["within"] == 3 * get_current_settings().flows.heartbeat_frequency == 540


def test_the_automation_of_the_events_page_is_one_that_prefect_reads() -> None:
    page = (PROJECT / "docs" / "reference" / "events.md").read_text()
    [example] = re.findall(r"```yaml\n(.*?)```", page, re.S)
    entry = yaml.safe_load(example)
    assert entry["trigger"].keys() <= EventTrigger.model_fields.keys()
    trigger = AutomationCore.model_validate(entry).trigger
    endpoint = "azureml://subscriptions/1/workspaces/2/onlineEndpoints/chat"
    resource = {"prefect.resource.id": endpoint, "prefect.resource.name": "chat"}
    assert trigger.match.matches(resource)
    assert not trigger.match.matches({**resource, "prefect.resource.name": "another"})
    [event] = trigger.expect
    assert f"`{event}`" in page


# --- Environments


def test_there_is_an_environment_for_every_stage() -> None:
    assert [path.name.split(".")[0] for path in ENVIRONMENTS] == ["development", "production", "staging"]


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.name)
def test_an_environment_example_holds_no_secret(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    values = dict(line.split("=", 1) for line in lines)
    assert {"PREFECT_API_URL", "AZUREML_ARM_WORKSPACE_NAME"} <= values.keys()
    secret = {name for name in values if re.search("SECRET|KEY|PASSWORD|AUTH|NOTIFY", name)}
    assert {name for name in secret if values[name]} == set()


def test_the_compose_file_keeps_state_in_postgresql_and_redis() -> None:
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
    assert {"postgres", "redis", "migrate", "server", "services", "worker"} == services.keys()
    for name in ("server", "services"):
        assert services[name]["environment"]["PREFECT_MESSAGING_BROKER"] == "prefect_redis.messaging"
    # Without authentication Prefect hands out every block's secrets: only this machine may ask.
    assert services["server"]["ports"] == ["127.0.0.1:4200:4200"]
