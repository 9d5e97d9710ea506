"""May this machine tune or serve this model, today, here, and does the quota cover it?

Pure functions over what Azure ML told (`refs.py`) and what it does not tell (`catalog.py`). Every
refusal names what to use instead. `today` is an argument, so that a dated world can be judged.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from difflib import get_close_matches

from chat_finetune.catalog import Catalog
from chat_finetune.errors import ComputeNotSuitableError, QuotaError
from chat_finetune.models.foundation_model import VERB, AllowList, Purpose, allow_list, check_model
from chat_finetune.refs import ClusterRef, FoundationModelRef, UsageRef, VmSizeRef

_USE_ONE: Mapping[Purpose, str] = {
    "finetune": "Use a cluster of one of these sizes (compute.cluster, compute.vm_size)",
    "inference": "Set endpoint.instance_type to one of these sizes",
}
# The walkthrough's sizes for those without a GPU quota.
_WITHOUT_GPUS = (
    " Without GPUs, a small model trains with trainer.kind command_job and compute.vm_size Standard_E16s_v3, "
    "and is served with endpoint.instance_type Standard_E4s_v3."
)
_TOTAL_FAMILY = "Total Cluster Dedicated Regional vCPUs"


def check_finetune_size(
    size_name: str, model: FoundationModelRef, sizes: Sequence[VmSizeRef], today: date, catalog: Catalog
) -> VmSizeRef:
    """The size as the region offers it, when it may fine-tune the model.

    Without any allow list the walkthrough's rule holds: all GPUs but K80.

    Raises:
        ConfigError: the model is retired, or its allow list cannot be read.
        ComputeNotSuitableError: the size is retired, not offered, without a GPU, or not allowed.
    """
    check_model(model, "finetune", today, catalog)
    allowed = allow_list(model, "finetune", catalog)
    instead = _instead("finetune", allowed, sizes, today, catalog)
    _refuse_retired(size_name, today, catalog, instead)
    facts = catalog.size(size_name)
    if allowed.source == "none" and facts and not facts.fine_tunes_chat:
        raise ComputeNotSuitableError(
            f"VM size {facts.name} has {facts.gpu} GPUs, which cannot fine-tune chat models.", instead
        )
    size = _offered(size_name, sizes, instead)
    if size.gpu_count == 0:
        raise ComputeNotSuitableError(f"VM size {size.name} has no GPU; fine-tuning needs one.", instead)
    _refuse_not_allowed(size, model, "finetune", allowed, catalog, instead)
    return size


def check_own_code_size(
    size_name: str, sizes: Sequence[VmSizeRef], today: date, catalog: Catalog, *, needs_gpu: bool
) -> VmSizeRef:
    """The size as the region offers it; this project's own training code runs on CPUs too, but for QLoRA.

    Raises:
        ComputeNotSuitableError: the size is retired, not offered, or without the GPU that it needs.
    """
    instead = _instead("finetune", AllowList("none", ()), sizes, today, catalog)
    _refuse_retired(size_name, today, catalog, instead)
    size = _offered(size_name, sizes, instead)
    if needs_gpu and size.gpu_count == 0:
        raise ComputeNotSuitableError(
            f"VM size {size.name} has no GPU; 4-bit weights need one.",
            f"{instead} Or set trainer.method to lora.",
        )
    return size


def check_inference_size(
    size_name: str, model: FoundationModelRef, sizes: Sequence[VmSizeRef], today: date, catalog: Catalog
) -> VmSizeRef:
    """The size as the region offers it, when a managed endpoint may serve the model with it.

    Small models may be served without a GPU, where the model's list says so or there is no list.

    Raises:
        ConfigError: the model is retired, or its allow list cannot be read.
        ComputeNotSuitableError: the size is retired, not offered, not for endpoints, or not allowed.
    """
    check_model(model, "inference", today, catalog)
    allowed = allow_list(model, "inference", catalog)
    instead = _instead("inference", allowed, sizes, today, catalog)
    _refuse_retired(size_name, today, catalog, instead)
    size = _offered(size_name, sizes, instead)
    facts = catalog.size(size.name)
    if facts and not facts.managed_endpoint:
        raise ComputeNotSuitableError(f"VM size {size.name} is not for managed online endpoints.", instead)
    _refuse_not_allowed(size, model, "inference", allowed, catalog, instead)
    return size


def check_cluster(cluster: ClusterRef) -> None:
    """Refuse a cluster that will not run a job.

    Raises:
        ComputeNotSuitableError: its provisioning failed or was canceled, or it is being deleted.
    """
    if cluster.provisioning_state.lower() not in {"failed", "canceled", "deleting"}:
        return
    told = "".join(f" {error}" for error in cluster.provisioning_errors)
    raise ComputeNotSuitableError(
        f"Compute cluster {cluster.name} is in state {cluster.provisioning_state}.{told}",
        "Delete the cluster and run again, or set compute.cluster to another name.",
    )


def check_node_count(wanted: int, cluster: str, most: int) -> None:
    """Refuse a job that would wait for ever, since its cluster has fewer nodes than it takes.

    Raises:
        ComputeNotSuitableError: the cluster cannot grow to that many nodes.
    """
    if wanted > most:
        raise ComputeNotSuitableError(
            f"A job is to train on {wanted} nodes (compute.node_count), and compute cluster {cluster} "
            f"grows to {most}.",
            "Lower compute.node_count; or raise compute.max_node_count for a cluster that is created, or the "
            "maximum of the one that is there.",
        )


def check_quota(
    size: VmSizeRef, count: int, usages: Sequence[UsageRef], purpose: Purpose, catalog: Catalog
) -> None:
    """Refuse more dedicated machines than the subscription's quota covers, in vCPUs.

    For machines that do not exist yet; spot machines have a quota of their own. Endpoints need
    ceil(1.2 × instances), except on sizes that are exempt (azure-ai-docs, how-to-manage-quotas.md).
    A family that the service does not list counts as zero for GPUs, whose quota starts at zero, and
    is left to Azure for others. A negative limit is no limit.

    Raises:
        QuotaError: the family's quota, or the region's total, is too small.
    """
    facts = catalog.size(size.name)
    reserved = purpose == "inference" and not (facts and facts.reserve_exempt)
    needed = size.vcpu_count * (-(-count * 12 // 10) if reserved else count)
    what = f"{count} × {size.name} to {VERB[purpose]} needs {needed} vCPUs"
    if reserved:
        what += ", of them 20 % for upgrades"
    by_family = {family_key(usage.family): usage for usage in usages}
    family = by_family.get(family_key(size.family))
    if family is None and size.gpu_count > 0:
        family = UsageRef(family=size.family, used_vcpu_count=0, limit_vcpu_count=0)
    for usage in (family, by_family.get(family_key(_TOTAL_FAMILY))):
        if usage is None or usage.limit_vcpu_count < 0:
            continue
        if usage.used_vcpu_count + needed > usage.limit_vcpu_count:
            no_gpus = usage is family and size.gpu_count > 0 and usage.limit_vcpu_count < size.vcpu_count
            raise QuotaError(
                f"{what}; of quota {usage.family}, {usage.used_vcpu_count} of "
                f"{usage.limit_vcpu_count} vCPUs are used.",
                f"Ask for {usage.used_vcpu_count + needed} vCPUs of {usage.family} (Azure ML studio, "
                "Quota, the workspace's region), or use fewer or smaller machines."
                + (_WITHOUT_GPUS if no_gpus else ""),
            )


def _refuse_retired(size_name: str, today: date, catalog: Catalog, instead: str) -> None:
    facts = catalog.size(size_name)
    if facts is None or facts.retired is None or today < facts.retired:
        return
    heir = f" Azure's replacement is {facts.replacement}." if facts.replacement else ""
    raise ComputeNotSuitableError(f"VM size {facts.name} was retired on {facts.retired}.{heir}", instead)


def _offered(size_name: str, sizes: Sequence[VmSizeRef], instead: str) -> VmSizeRef:
    by_name = {size.name.lower(): size for size in sizes}
    if size := by_name.get(size_name.lower()):
        return size
    near = [by_name[name].name for name in get_close_matches(size_name.lower(), by_name, n=3)]
    hint = f" The nearest names there are {', '.join(near)}." if near else ""
    raise ComputeNotSuitableError(
        f"VM size {size_name} is not offered in the workspace's region.{hint}", instead
    )


def _refuse_not_allowed(
    size: VmSizeRef,
    model: FoundationModelRef,
    purpose: Purpose,
    allowed: AllowList,
    catalog: Catalog,
    instead: str,
) -> None:
    if allowed.allows(size.name):
        return
    facts = catalog.model(model.name)
    least = ""
    if purpose == "finetune" and facts and facts.finetune_min_sku:
        vcpus, gpus, memory, _disk = facts.finetune_min_sku.split("|")
        least = f" It takes at least {vcpus} vCPUs, {gpus} GPUs and {memory} GiB of memory."
    raise ComputeNotSuitableError(
        f"VM size {size.name} is not on the list of sizes that may {VERB[purpose]} {model.name} "
        f"(from: {allowed.source}).{least}",
        instead,
    )


def _instead(
    purpose: Purpose, allowed: AllowList, sizes: Sequence[VmSizeRef], today: date, catalog: Catalog
) -> str:
    """What to use: up to five sizes of the region that pass every rule, the smallest first."""

    def usable(size: VmSizeRef) -> bool:
        facts = catalog.size(size.name)
        if facts and facts.retired and today >= facts.retired:
            return False
        if purpose == "inference":
            return allowed.allows(size.name) and (facts is None or facts.managed_endpoint)
        tunes = size.gpu_count > 0 and (facts is None or facts.fine_tunes_chat)
        return allowed.allows(size.name) and tunes

    names = [s.name for s in sorted(sizes, key=lambda s: (s.gpu_count, s.vcpu_count)) if usable(s)]
    if names:
        return f"{_USE_ONE[purpose]}: {', '.join(names[:5])}."
    return "The workspace's region offers no size for this model: use a workspace of another region."


def family_key(family: str) -> str:
    """One spelling for `standardNDSv2Family` and `Standard NDSv2 Family Cluster Dedicated vCPUs`."""
    key = re.sub(r"[\s_]", "", family).lower()
    return key.removesuffix("clusterdedicatedvcpus").removesuffix("family")
