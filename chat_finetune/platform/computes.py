"""Clusters, VM sizes and quota."""

from typing import Any

from azure.ai.ml import MLClient
from azure.ai.ml.entities import AmlCompute

from chat_finetune.config.retrain import ComputeConfig
from chat_finetune.errors import MissingError, PermanentError
from chat_finetune.platform.errors import azure_errors
from chat_finetune.platform.identities import user_assigned
from chat_finetune.platform.values import plain
from chat_finetune.refs import ClusterRef, UsageRef, VmSizeRef


class Computes:
    """The compute verbs of a workspace."""

    def __init__(self, client: MLClient) -> None:
        self._client = client

    def find(self, name: str) -> ClusterRef | None:
        """The cluster of that name, or None.

        Raises:
            MissingError: the name belongs to a compute that is not a cluster.
        """
        try:
            with azure_errors(f"compute {name}"):
                compute = self._client.compute.get(name)
        except MissingError:
            return None
        if not isinstance(compute, AmlCompute):
            raise MissingError(
                f"Compute {name} is a {compute.type}, not a compute cluster.",
                "Name a compute cluster, or a name that is not taken and a cluster will be created.",
            )
        return _cluster(compute)

    def create(self, config: ComputeConfig, *, spot: bool = False, tags: dict[str, str]) -> ClusterRef:
        """Create a cluster, and wait until Azure has it; nodes come when a job wants them."""
        # Tier "low_priority" means spot machines since 2026-03-31 (azure-ai-docs PR 791).
        wanted = AmlCompute(
            name=config.cluster,
            size=config.vm_size,
            tier="low_priority" if spot else "dedicated",
            min_instances=config.min_node_count,
            max_instances=config.max_node_count,
            idle_time_before_scale_down=config.idle_seconds_before_scale_down,
            identity=user_assigned(config.identity_id),
            tags=tags,
        )
        with azure_errors(f"create cluster {config.cluster} of {config.vm_size}"):
            self._client.compute.begin_create_or_update(wanted).result()
            return _cluster(self._client.compute.get(config.cluster))

    def vm_sizes(self) -> tuple[VmSizeRef, ...]:
        """Every VM size that the workspace's region offers."""
        with azure_errors("list of VM sizes"):
            return tuple(_vm_size(vars(size)) for size in self._client.compute.list_sizes())

    def usages(self) -> tuple[UsageRef, ...]:
        """Quota and use of every VM family, in vCPUs."""
        with azure_errors("list of quotas"):
            return tuple(_usage(vars(usage)) for usage in self._client.compute.list_usage())


def _cluster(compute: AmlCompute) -> ClusterRef:
    errors = compute.provisioning_errors or ()
    return ClusterRef(
        name=compute.name,
        vm_size=compute.size,
        provisioning_state=plain(compute.provisioning_state),
        tier=plain(compute.tier or "dedicated"),
        max_node_count=int(compute.max_instances or 0),
        provisioning_errors=(errors,) if isinstance(errors, str) else tuple(str(error) for error in errors),
    )


def _vm_size(fields: dict[str, Any]) -> VmSizeRef:
    prices = (_either(fields, "estimated_vm_prices", "estimatedVMPrices") or {}).get("values") or ()
    by_tier = {
        price.get("vmTier"): float(price["retailPrice"])
        for price in prices
        if price.get("osType") == "Linux" and price.get("retailPrice")
    }
    return VmSizeRef(
        name=fields["name"],
        family=_required(fields, "family"),
        gpu_count=int(_required(fields, "gpus")),
        vcpu_count=int(_required(fields, "v_cp_us", "vCPUs")),
        memory_gib=float(_required(fields, "memory_gb", "memoryGB")),
        price_per_hour=by_tier.get("Standard"),
        spot_price_per_hour=by_tier.get("Spot") or by_tier.get("LowPriority"),
    )


def _usage(fields: dict[str, Any]) -> UsageRef:
    name = fields["name"]
    return UsageRef(
        family=str(name["value"] if isinstance(name, dict) else name.value),
        used_vcpu_count=int(_required(fields, "current_value", "currentValue")),
        limit_vcpu_count=int(_required(fields, "limit")),
    )


def _either(fields: dict[str, Any], *spellings: str) -> Any:
    """The first spelling that has a value: azure-ai-ml 1.35 left some under their wire names."""
    return next((fields[name] for name in spellings if fields.get(name) is not None), None)


def _required(fields: dict[str, Any], *spellings: str) -> Any:
    value = _either(fields, *spellings)
    if value is None:
        raise PermanentError(
            f"azure-ai-ml answered without {' or '.join(spellings)}: {sorted(fields)}",
            "Install the azure-ai-ml version of constraints.txt.",
        )
    return value
