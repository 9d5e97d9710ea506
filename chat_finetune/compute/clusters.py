"""The cluster that trains: found or created, after every check that costs nothing."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from chat_finetune.catalog import load_catalog
from chat_finetune.compute.checks import (
    check_cluster,
    check_finetune_size,
    check_inference_size,
    check_node_count,
    check_own_code_size,
    check_quota,
)
from chat_finetune.config.retrain import ComputeConfig, RetrainConfig
from chat_finetune.errors import QuotaError
from chat_finetune.models.foundation_model import allow_list
from chat_finetune.refs import ClusterRef, ComputeRef, FoundationModelRef, UsageRef, VmSizeRef

if TYPE_CHECKING:
    from chat_finetune.platform import Platform


@dataclass(frozen=True)
class CheckedCompute:
    """Where to train and to serve, after every check; `existing` is the cluster if there is one."""

    existing: ClusterRef | None
    size: VmSizeRef
    serving: VmSizeRef | None
    usages: tuple[UsageRef, ...]
    allow_list_source: str


def ensure_cluster(
    platform: "Platform", config: RetrainConfig, model: FoundationModelRef, tags: dict[str, str]
) -> ComputeRef:
    """Check where to train and where to serve, then take the cluster or create it.

    Raises:
        ComputeNotSuitableError: a VM size or the cluster cannot do it.
        QuotaError: the quota does not cover it.
    """
    checked = check_compute(platform, config, model)
    cluster = checked.existing or create_cluster(platform, config.compute, checked, tags)
    return compute_ref(checked, cluster, config.compute.node_count)


def check_compute(platform: "Platform", config: RetrainConfig, model: FoundationModelRef) -> CheckedCompute:
    """Check where to train and where to serve; nothing is created.

    Serving is checked here too, since a refusal after hours of training comes too late.

    Raises:
        ComputeNotSuitableError: a VM size or the cluster cannot do it.
        QuotaError: the quota does not cover the endpoint.
    """
    catalog, today = load_catalog(), datetime.now(UTC).date()
    sizes, usages = platform.computes.vm_sizes(), platform.computes.usages()
    serving = None
    if config.endpoint.deploy:
        serving = check_inference_size(config.endpoint.instance_type, model, sizes, today, catalog)
        check_quota(serving, config.endpoint.instance_count, usages, "inference", catalog)
    existing = platform.computes.find(config.compute.cluster)
    wanted = existing.vm_size if existing else config.compute.vm_size
    if existing:
        check_cluster(existing)
    most = existing.max_node_count if existing else config.compute.max_node_count
    check_node_count(config.compute.node_count, config.compute.cluster, most)
    if config.trainer.kind == "command_job":
        needs_gpu = config.trainer.method == "qlora"
        size = check_own_code_size(wanted, sizes, today, catalog, needs_gpu=needs_gpu)
        return CheckedCompute(existing, size, serving, usages, "none")
    size = check_finetune_size(wanted, model, sizes, today, catalog)
    return CheckedCompute(existing, size, serving, usages, allow_list(model, "finetune", catalog).source)


def compute_ref(checked: CheckedCompute, cluster: ClusterRef, node_count: int) -> ComputeRef:
    """The cluster as a run takes it, with that many nodes for a job.

    Raises:
        ComputeNotSuitableError: the cluster will not run a job.
    """
    check_cluster(cluster)
    spot = cluster.tier.lower() not in ("dedicated", "none")
    size, serving = checked.size, checked.serving
    return ComputeRef(
        cluster=cluster.name,
        vm_size=size.name,
        gpu_count=size.gpu_count,
        node_count=node_count,
        created=checked.existing is None,
        tier=cluster.tier,
        price_per_hour=size.spot_price_per_hour if spot else size.price_per_hour,
        serving_price_per_hour=serving.price_per_hour if serving else None,
        allow_list_source=checked.allow_list_source,
    )


def create_cluster(
    platform: "Platform", config: ComputeConfig, checked: CheckedCompute, tags: dict[str, str]
) -> ClusterRef:
    """Dedicated first; spot only when it is allowed and quota, nothing else, refused dedicated.

    Raises:
        QuotaError: the quota does not cover the cluster's most nodes.
    """
    try:
        check_quota(checked.size, config.max_node_count, checked.usages, "finetune", load_catalog())
        return platform.computes.create(config, tags=tags)
    except QuotaError:
        if not config.allow_spot:
            raise
    return platform.computes.create(config, spot=True, tags=tags)
