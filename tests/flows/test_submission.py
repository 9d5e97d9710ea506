"""A sweep's second job of a kind goes over the wire as one that the SDK validates whole."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from chat_finetune.compute.clusters import ensure_cluster
from chat_finetune.config.retrain import RetrainConfig
from chat_finetune.dataset import prepare_dataset
from chat_finetune.jobs.parameters import resolve_parameters
from chat_finetune.jobs.specs import pipeline_spec
from chat_finetune.refs import PipelineSpec, RunRef

if TYPE_CHECKING:
    from chat_finetune.platform import Platform

pytestmark = pytest.mark.slow


def sent(platform: "Platform", *specs: PipelineSpec) -> list[tuple[int, dict[str, Any]]]:
    """Submit with a new client: of each job how many requests it took, and the body of its own."""
    from azure.ai.ml import MLClient

    from chat_finetune.platform.jobs import Jobs

    requests: list[Any] = []
    where = platform.settings
    jobs = Jobs(
        MLClient(
            platform._credential,
            where.subscription_id,
            where.resource_group,
            where.workspace_name,
            raw_response_hook=lambda answer: requests.append(answer.http_request),
        )
    )
    told = []
    for spec in specs:
        requests.clear()
        jobs.submit(spec, platform.registry("azureml"))
        (put,) = (request for request in requests if request.method == "PUT")
        told.append((len(requests), json.loads(put.body)))
    return told


def test_the_second_job_of_a_kind_is_one_request_with_the_body_of_a_validated_one(
    platform: "Platform", make_config: Callable[..., RetrainConfig], tmp_path: Path
) -> None:
    config = make_config(endpoint={"deploy": False})
    registry = platform.registry("azureml")
    model, component = (
        registry.foundation_model("parrot", "latest"),
        registry.component("chat_completion_pipeline"),
    )
    dataset = prepare_dataset(config.data, tmp_path)
    run = RunRef(flow_run_id="wire", created=datetime.now(UTC), config_hash="12345678")
    compute = ensure_cluster(platform, config, model, {})
    spec = pipeline_spec(
        config, run, model, component, resolve_parameters(config.trainer, model, component), dataset, compute
    )
    uris = {
        f"{part}_path": platform.data.publish(f"wire-{part}", "1", dataset.splits[f"{part}_sft"].path)
        for part in ("train", "test")
    }
    first = spec.model_copy(update={**uris, "name": "wire-1"})
    second = first.model_copy(
        update={
            "name": "wire-2",
            "parameters": {**spec.parameters, "seed": 7},
            "tags": {**spec.tags, "trial": "2"},
        }
    )
    _, (requests, body) = sent(platform, first, second)
    ((all_requests, validated),) = sent(platform, second.model_copy(update={"name": "wire-3"}))
    assert body == validated
    assert body["properties"]["jobs"]["trained"]["inputs"]["seed"]["value"] == "7"
    assert requests == 1 < all_requests
