"""Azure ML on loopback, as the tests of the flows have it, and an endpoint with two models to talk to."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from chat_finetune.config.retrain import EndpointConfig
from chat_finetune.tags import MANAGED_BY, expires_tag
from tests.flows.conftest import azure, azure_environment, platform, sdk

if TYPE_CHECKING:
    from chat_finetune.platform import Platform

__all__ = ["azure", "azure_environment", "platform", "sdk"]

# Both are in the registry of tests/flows; so is what they answer.
PARROT, MACAW = "I have not learned anything yet.", "Hold the *ring* for `5` seconds."


@pytest.fixture
def two_parrots(platform: "Platform") -> str:
    """An endpoint of ours, kept: `tuned` gets the traffic and is a macaw, `base` a parrot. Made once."""
    name = "two-parrots"
    if platform.endpoints.find(name) is None:
        tags = {"managed_by": MANAGED_BY, **expires_tag(datetime.now(UTC) + timedelta(hours=1))}
        platform.endpoints.create(name, description="", tags=tags)
        for deployment, model in (("base", "parrot"), ("tuned", "macaw")):
            platform.endpoints.create_deployment(
                name,
                deployment,
                model_id=f"azureml://registries/azureml/models/{model}/versions/1",
                config=EndpointConfig(instance_type="Standard_E4s_v3"),
                tags={},
            )
        platform.endpoints.set_traffic(name, {"tuned": 100, "base": 0}, tags={})
    return name
