"""Azure ML on loopback, as the tests of the flows have it."""

from tests.flows.conftest import azure, azure_environment, make_config, sdk

__all__ = ["azure", "azure_environment", "make_config", "sdk"]
