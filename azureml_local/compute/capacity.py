"""VM sizes, usages and quotas of the region, as of the day."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.compute.sizes import Size, sizes
from azureml_local.responses import LOCATION, listing
from azureml_local.service import Service

_LOW_PRIORITY = "TotalLowPriorityCores"


async def list_sizes(service: Service, request: Request) -> Response:
    """List the VM sizes of the day, retired ones left out."""
    offered = [_size(size) for size in sizes().values() if not size.is_retired(service.as_of)]
    # The first api-versions called the list after the compute type.
    key = "amlCompute" if request.query_params.get("api-version", "") < "2020-09" else "value"
    return JSONResponse({key: offered})


async def list_usages(service: Service, request: Request) -> Response:
    """List the vCPUs in use and allowed, by VM family."""
    return listing([_usage(service, request, family) for family in _families(service)])


async def list_quotas(service: Service, request: Request) -> Response:
    """List the vCPUs allowed, by VM family."""
    usages = [_usage(service, request, family) for family in _families(service)]
    return listing([{key: usage[key] for key in ("id", "name", "limit", "unit", "type")} for usage in usages])


def _families(service: Service) -> list[str]:
    offered = dict.fromkeys(size.family for size in sizes().values() if not size.is_retired(service.as_of))
    return [*offered, _LOW_PRIORITY]


def _usage(service: Service, request: Request, family: str) -> dict[str, Any]:
    in_use = 0
    for _, compute in service.state.all("computes"):
        settings = compute["properties"]["properties"]
        size = sizes()[settings["vmSize"].lower()]
        low_priority = settings["vmPriority"].lower() == "lowpriority"
        if family == (_LOW_PRIORITY if low_priority else size.family):
            in_use += size.vcpu_count * int(settings.get("currentNodeCount") or 0)
    subscription = request.path_params["subscription"]
    provider = (
        f"/subscriptions/{subscription}/providers/Microsoft.MachineLearningServices/locations/{LOCATION}"
    )
    return {
        "id": f"{provider}/vmFamily/{family}/usages",
        "type": "Microsoft.MachineLearningServices/vmFamily/usages",
        "amlWorkspaceLocation": LOCATION,
        "unit": "Count",
        "currentValue": in_use,
        "limit": service.quota.low_priority if family == _LOW_PRIORITY else service.quota.limit(family),
        "name": {"value": family, "localizedValue": family},
    }


def _size(size: Size) -> dict[str, Any]:
    tiers = {"Standard": size.price_usd_per_hour, "LowPriority": round(size.price_usd_per_hour * 0.2, 4)}
    values = [{"retailPrice": price, "osType": "Linux", "vmTier": tier} for tier, price in tiers.items()]
    return {
        "name": size.name,
        "family": size.family,
        "vCPUs": size.vcpu_count,
        "gpus": size.gpu_count,
        "memoryGB": float(size.memory_gib),
        "osVhdSizeMB": 1_047_552,
        "maxResourceVolumeMB": size.memory_gib * 2 * 1024,
        "lowPriorityCapable": True,
        "premiumIO": "s_" in size.name,
        "estimatedVMPrices": {"billingCurrency": "USD", "unitOfMeasure": "OneHour", "values": values},
        "supportedComputeTypes": ["AmlCompute", "ComputeInstance"],
    }
