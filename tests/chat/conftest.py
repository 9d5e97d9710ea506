"""The endpoint with two models that the commands are tested with."""

from tests.commands.conftest import two_parrots
from tests.flows.conftest import azure, azure_environment, platform, sdk

__all__ = ["azure", "azure_environment", "platform", "sdk", "two_parrots"]
