"""What a run makes, as Prefect knows it: assets, with what they were made of.

`@materialize` wants an asset's key when its task is called; a model's and an endpoint's are known when the
task has made them. So a task names them itself, in the context that `@materialize` fills (Prefect 3.8.8).
"""

import re
from typing import Any

from prefect.assets import Asset, AssetProperties
from prefect.context import AssetContext

from chat_finetune.refs import EndpointRef, ModelRef

# Prefect refuses some of the others in a key.
_FORBIDDEN = re.compile(r"[^A-Za-z0-9._:/@=+,;()~*!$-]+")


def dataset_asset(name: str) -> Asset:
    """A dataset by its hub id, or by the folder's name."""
    return _asset(f"dataset://{name.strip('/')}", name)


def base_model_asset(model_id: str) -> Asset:
    """The foundation model at its version: `azureml://registries/…`, or `hf://org/name` of the hub."""
    return _asset(model_id if "://" in model_id else f"hf://{model_id}", model_id)


def model_asset(model: ModelRef) -> Asset:
    """A registered model of the workspace; its versions are one asset."""
    workspace = model.id.removeprefix("azureml:").partition("/models/")[0]
    return _asset(f"azureml:/{workspace}/models/{model.name}", model.name)


def endpoint_asset(endpoint: EndpointRef) -> Asset:
    """The endpoint, whatever is deployed there."""
    workspace = (endpoint.studio_url or "").partition("?wsid=")[2]
    return _asset(f"azureml:/{workspace}/onlineEndpoints/{endpoint.name}", endpoint.name, endpoint.studio_url)


def materialized(asset: Asset, *made_of: Asset, **metadata: Any) -> None:
    """Say that the task which runs has made this of those: told as an event when the task has completed."""
    context = AssetContext.get()
    if context is None:
        raise RuntimeError("a task is called as itself, not as its .fn")
    context.downstream_assets.add(asset)
    context.direct_asset_dependencies.update(made_of)
    context.materialized_by = "azureml"
    context.add_asset_metadata(asset.key, metadata)
    context.update_tracked_assets()


def _asset(key: str, name: str, url: str | None = None) -> Asset:
    return Asset(key=_FORBIDDEN.sub("-", key), properties=AssetProperties(name=name, url=url))
