"""What a stopped instance left is brought back."""

from azureml_local.compute import computes
from azureml_local.service import Service
from azureml_local.serving import deployments, endpoints


async def recover(service: Service) -> None:
    """Bring back operations, jobs, deployments."""
    service.operations.recover(
        {
            "job.cancel": service.executor.ended,
            **computes.finishers(service),
            **endpoints.resume(service),
            **deployments.resume(service),
        }
    )
    service.executor.recover()
    for name, _ in service.state.all("computes"):
        service.nodes.settle(name)
    deployments.start_all(service)
