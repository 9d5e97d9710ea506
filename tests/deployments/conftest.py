"""Azure ML on loopback, as the tests of the flows have it."""

from tests.flows.conftest import azure_environment, make_config

__all__ = ["azure_environment", "make_config"]
