"""Every deployment of prefect.yaml, without a server: `deploy --all` stops at the first bad one."""

import asyncio
import inspect
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from prefect.cli.deploy._models import (
    ConcurrencyLimitSpec,
    DeploymentConfig,
    RawScheduleConfig,
    WorkPoolConfig,
)
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.server.schemas.schedules import CronSchedule
from prefect.utilities.callables import parameter_schema

from chat_finetune.catalog import load_catalog
from chat_finetune.config.retrain import RetrainConfig
from commands.deployments import PREFECT_FILE, PROJECT, WORK_POOL, declared, load_document

DEPLOYMENTS: list[dict[str, Any]] = load_document()["deployments"]
SCHEDULED = [(entry["name"], item) for entry in DEPLOYMENTS for item in entry.get("schedules", ())]

each_deployment = pytest.mark.parametrize("entry", DEPLOYMENTS, ids=lambda entry: entry["name"])


def flow_of(entry: dict[str, Any]) -> Flow[..., Any]:
    flow: Flow[..., Any] = load_flow_from_entrypoint(entry["entrypoint"], use_placeholder_flow=False)
    return flow


def test_the_deployments_that_operations_count_on_are_there() -> None:
    assert {"nightly", "manual"} <= {entry["name"] for entry in DEPLOYMENTS}


def test_names_and_slugs_are_unique() -> None:
    for names in ([entry["name"] for entry in DEPLOYMENTS], [item["slug"] for _, item in SCHEDULED]):
        assert len(names) == len(set(names))


@each_deployment
def test_every_key_is_one_that_prefect_reads(entry: dict[str, Any]) -> None:
    """Prefect ignores what it does not know: a misspelt concurrency limit would be none."""
    assert entry.keys() <= DeploymentConfig.model_fields.keys()
    assert entry["work_pool"].keys() <= WorkPoolConfig.model_fields.keys()
    assert entry.get("concurrency_limit", {}).keys() <= ConcurrencyLimitSpec.model_fields.keys()
    DeploymentConfig.model_validate(entry)


@each_deployment
def test_the_entry_point_is_a_module_that_holds_a_flow(entry: dict[str, Any]) -> None:
    module, _, name = entry["entrypoint"].rpartition(".")
    assert re.fullmatch(r"flows(\.\w+)+", module)
    assert flow_of(entry).fn.__name__ == name


@each_deployment
def test_the_parameters_are_the_ones_that_the_flow_takes(entry: dict[str, Any]) -> None:
    flow = flow_of(entry)
    # The server accepts parameters that the flow does not have.
    assert entry["parameters"].keys() == inspect.signature(flow.fn).parameters.keys()
    flow.validate_parameters(entry["parameters"])


@each_deployment
def test_the_work_pool_has_a_template_for_every_infrastructure(entry: dict[str, Any]) -> None:
    assert entry["work_pool"]["name"] == WORK_POOL
    templates = {path.stem for path in (PROJECT / "deployments" / "work_pools").glob("*.json")}
    assert templates == {"process", "docker", "kubernetes", "azure-container-instance"}


@pytest.mark.parametrize("item", [item for _, item in SCHEDULED], ids=lambda item: item["slug"])
def test_the_schedule_is_one(item: dict[str, Any]) -> None:
    RawScheduleConfig.model_validate(item)
    assert item["active"], "else a deployment leaves paused what was paused by hand"
    ZoneInfo(item["timezone"])
    CronSchedule(cron=item["cron"], timezone=item["timezone"])


def test_no_two_schedules_fall_into_one_minute() -> None:
    """Prefect runs two that do once."""
    start = datetime(2027, 1, 1, tzinfo=UTC)
    taken: dict[datetime, str] = {}
    for _, item in SCHEDULED:
        schedule = CronSchedule(cron=item["cron"], timezone=item["timezone"])
        dates = asyncio.run(schedule.get_dates(n=3_000, start=start, end=start + timedelta(days=31)))
        assert dates
        for date in dates:
            assert taken.setdefault(date, item["slug"]) == item["slug"]


def test_a_nightly_does_not_join_one_that_still_runs() -> None:
    nightly = next(deployment for deployment in declared(load_document()) if deployment.name == "nightly")
    assert (nightly.concurrency_limit, nightly.collision_strategy) == (1, "CANCEL_NEW")


def test_a_run_works_in_the_workers_folder() -> None:
    """No `pull` would write this machine's folder into the deployment, an empty one copy it for each run."""
    (step,) = yaml.safe_load(PREFECT_FILE.read_text())["pull"]
    assert step == {"prefect.deployments.steps.set_working_directory": {"directory": "."}}


# --- A config laid over


def test_a_config_is_laid_over_the_retrain_deployments_alone(tmp_path: Path) -> None:
    file = tmp_path / "prefect.yaml"
    base = {"work_pool": {"name": "chat-finetune"}}
    retrain = {**base, "name": "a", "entrypoint": "flows.retrain.retrain"}
    other = {**base, "name": "b", "entrypoint": "flows.reap.reap", "parameters": {"config": {}}}
    own = {"data": {"percent": 1, "rows": 5}, "endpoint": {"keep": True}}
    file.write_text(yaml.safe_dump({"deployments": [{**retrain, "parameters": {"config": own}}, other]}))

    laid = load_document({"data": {"percent": 50}, "model": {"name": "Phi-4"}}, file)["deployments"]

    assert laid[0]["parameters"]["config"] == {
        "data": {"percent": 50, "rows": 5}, "endpoint": {"keep": True}, "model": {"name": "Phi-4"},
    }  # fmt: skip
    assert laid[1]["parameters"] == {"config": {}}


def test_differences_are_named() -> None:
    nightly, manual = list(declared(load_document()))[:2]
    assert nightly.differences(nightly) == ()
    different = ("name", "parameters", "schedules", "concurrency limit", "collision strategy")
    assert nightly.differences(manual) == different


# --- The form


def test_the_form_explains_and_bounds_every_field() -> None:
    """What the UI draws, from the schema as it is deployed: groups in order, each field with its help."""
    manual = next(entry for entry in DEPLOYMENTS if entry["name"] == "manual")
    schema = parameter_schema(flow_of(manual)).model_dump(exclude_unset=True)
    definitions = schema["definitions"]
    groups = definitions["RetrainConfig"]["properties"]
    assert list(groups) == list(RetrainConfig.model_fields)
    assert [group["position"] for group in groups.values()] == list(range(len(groups)))
    for name, definition in definitions.items():
        for key, field in definition["properties"].items():
            where = f"{name}.{key}"
            # A group is explained by itself where it is not by the field that holds it.
            group = definitions.get(field.get("$ref", "").rpartition("/")[2], {})
            assert field.get("description") or group.get("description"), where
            assert "default" in field, where
            assert "title" in field or "$ref" in field or "allOf" in field, where
            for variant in field.get("anyOf", [field]):
                if variant.get("type") in {"integer", "number"}:
                    assert {"minimum", "exclusiveMinimum"} & variant.keys(), where
    optimizer = definitions["RegistryPipelineConfig"]["properties"]["lr_scheduler_type"]
    assert "cosine" in optimizer["enum"], "a drop-down"
    size = definitions["ComputeConfig"]["properties"]["vm_size"]
    assert [choice["title"] for choice in size["anyOf"]] == ["From the catalog", "Any other"]
    assert size["anyOf"][0]["enum"] == load_catalog().training_sizes
    trainers = [choice["$ref"].rpartition("/")[2] for choice in groups["trainer"]["anyOf"]]
    assert [definitions[name]["title"] for name in trainers] == ["Registry pipeline", "Command job"]
