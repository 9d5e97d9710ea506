"""Long-running operations over the wire: how far they are."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.errors import ServiceError
from azureml_local.lifecycle import Operation
from azureml_local.service import Service


async def get_status(service: Service, request: Request) -> Response:
    """Get the status of a long-running operation (Azure-AsyncOperation)."""
    operation = _known(service, request)
    body = {"id": request.url.path, "name": operation.id, "status": operation.status}
    error = {} if operation.error is None else {"error": operation.error}
    return JSONResponse(body | error, headers=dict(operation.poll_headers))


async def get_result(service: Service, request: Request) -> Response:
    """Get the result of a long-running operation (Location): 202 until there is one."""
    operation = _known(service, request)
    if operation.error is not None:
        return JSONResponse({"error": operation.error}, 409)
    return Response(b"", 202 if operation.status == "InProgress" else 200, dict(operation.poll_headers))


def _known(service: Service, request: Request) -> Operation:
    operation = service.operations.get(request.path_params["operation"])
    if operation is None:
        raise ServiceError(404, "NotFound", f"Operation {request.path_params['operation']} was not found.")
    return operation
