"""The walkthrough's steps one after the other, with the SDK alone, as a script does them.

    python -m benchmarks.plain_script --data FOLDER --seconds 34 --tidying-seconds 2

Nothing is checked, compared, retried or attached to. The steps, and their order, are those of Microsoft's
walkthrough of chat completion; it waits as the SDK does.
"""

import argparse
import ast
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of parquet files")
    parser.add_argument("--seconds", type=int, default=0, help="how long the training takes")
    parser.add_argument("--tidying-seconds", type=int, default=0, help="how long the step after it takes")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-script-") as folder:
        run(given.data, Path(folder), given.seconds, given.tidying_seconds)


def run(source: Path, folder: Path, seconds: int, tidying_seconds: int) -> None:
    import os

    from azure.ai.ml import Input, MLClient
    from azure.ai.ml.constants import AssetTypes
    from azure.ai.ml.dsl import pipeline
    from azure.ai.ml.entities import (
        AmlCompute,
        ManagedOnlineDeployment,
        ManagedOnlineEndpoint,
        Model,
        OnlineRequestSettings,
        ProbeSettings,
    )
    from azure.core.exceptions import ResourceNotFoundError
    from azure.identity import DefaultAzureCredential

    credential = DefaultAzureCredential()
    credential.get_token("https://management.azure.com/.default")
    names = ("SUBSCRIPTION", "RESOURCEGROUP", "WORKSPACE_NAME")
    workspace = MLClient(credential, *(os.environ[f"AZUREML_ARM_{name}"] for name in names))
    registry = MLClient(credential, registry_name="azureml")
    stamp, cluster = str(int(time.time() * 1000)), "gpu-cluster"
    model = registry.models.get("rehearsal", label="latest")
    allowed = ast.literal_eval(model.tags["finetune_compute_allow_list"])
    try:
        compute = workspace.compute.get(cluster)
    except ResourceNotFoundError:
        wanted = AmlCompute(name=cluster, size="Standard_NC24ads_A100_v4", max_instances=1)
        workspace.compute.begin_create_or_update(wanted).wait()
        compute = workspace.compute.get(cluster)
    if compute.size not in allowed:
        raise SystemExit(f"{compute.size} is not allowed")
    gpu_count = next(
        size.gpus for size in workspace.compute.list_sizes() if size.name.lower() == compute.size.lower()
    )
    splits = _write(source, folder)
    component = registry.components.get(name="chat_completion_pipeline", label="latest")

    @pipeline(name=f"script-{stamp}")  # type: ignore[untyped-decorator]
    def fine_tune() -> dict[str, Any]:
        trained = component(
            mlflow_model_path=Input(type=AssetTypes.MLFLOW_MODEL, path=model.id),
            compute_model_import=cluster,
            compute_preprocess=cluster,
            compute_finetune=cluster,
            compute_model_evaluation=cluster,
            train_file_path=Input(type="uri_file", path=str(splits["train_sft"])),
            test_file_path=Input(type="uri_file", path=str(splits["test_sft"])),
            number_of_gpu_to_use_finetuning=gpu_count,
            seed=seconds,
            warmup_steps=tidying_seconds,
        )
        return {"trained_model": trained.outputs.mlflow_model_folder}

    wanted_job = fine_tune()
    wanted_job.settings.force_rerun = True
    wanted_job.settings.continue_on_step_failure = False
    job = workspace.jobs.create_or_update(wanted_job, experiment_name="chat_completion_script")
    workspace.jobs.stream(job.name)
    if "trained_model" not in workspace.jobs.get(job.name).outputs:
        raise SystemExit(f"{job.name} has no model")
    registered = workspace.models.create_or_update(
        Model(
            path=f"azureml://jobs/{job.name}/outputs/trained_model",
            type=AssetTypes.MLFLOW_MODEL,
            name="rehearsal-script",
            version=stamp,
        )
    )
    name = f"script-{stamp}"
    endpoint = ManagedOnlineEndpoint(name=name, auth_mode="key")
    workspace.begin_create_or_update(endpoint).wait()
    deployment = ManagedOnlineDeployment(
        name="demo",
        endpoint_name=name,
        model=registered.id,
        instance_type="Standard_NC24ads_A100_v4",
        instance_count=1,
        liveness_probe=ProbeSettings(initial_delay=600),
        request_settings=OnlineRequestSettings(request_timeout_ms=90_000),
    )
    workspace.online_deployments.begin_create_or_update(deployment).wait()
    endpoint.traffic = {"demo": 100}
    workspace.begin_create_or_update(endpoint).result()
    rows = splits["test_gen"].read_text("utf-8").splitlines()
    row = json.loads(random.choice(rows))  # noqa: S311 - a row to ask
    parameters = {"temperature": 0.6, "top_p": 0.9, "do_sample": True, "max_new_tokens": 200}
    question = {"input_string": row["messages"][:1], "parameters": parameters}
    request = folder / "request.json"
    request.write_text(json.dumps({"input_data": question, "params": {}}))
    workspace.online_endpoints.invoke(endpoint_name=name, deployment_name="demo", request_file=str(request))
    workspace.online_endpoints.begin_delete(name=name).wait()


def _write(source: Path, folder: Path) -> dict[str, Path]:
    from datasets import load_dataset

    splits = {}
    for split in ("train_sft", "test_sft", "train_gen", "test_gen"):
        files = [str(path) for path in sorted(source.rglob(f"{split}-*.parquet"))]
        loaded = load_dataset("parquet", data_files=files, split="train", cache_dir=str(folder / "cache"))
        splits[split] = folder / f"{split}.jsonl"
        loaded.to_json(splits[split], force_ascii=False)
    return splits


if __name__ == "__main__":
    main()
