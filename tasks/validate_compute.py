"""Can it train, and can it serve? Asked before a cent is spent."""

from prefect import get_run_logger, task

from chat_finetune.compute.clusters import ensure_cluster
from chat_finetune.config.retrain import RetrainConfig
from chat_finetune.endpoints.roles import check_serving_identity
from chat_finetune.refs import ComputeRef, FoundationModelRef, RunRef
from chat_finetune.tags import tags_of
from tasks._results import KEPT
from tasks._retries import RETRIES
from tasks._workspace import connect


@task(task_run_name="validate cluster {config.compute.cluster}", **KEPT, **RETRIES)
def validate_compute(config: RetrainConfig, run: RunRef, model: FoundationModelRef) -> ComputeRef:
    """Check the endpoint's identity, VM sizes, quota and cluster; create the cluster if it is missing."""
    with connect() as platform:
        check_serving_identity(platform, config.endpoint)
        compute = ensure_cluster(platform, config, model, tags_of(run))
    get_run_logger().info(
        "%s: %s with %d GPU a node, allowed by the model's %s",
        compute.cluster,
        compute.vm_size,
        compute.gpu_count,
        compute.allow_list_source,
    )
    return compute
