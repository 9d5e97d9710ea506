"""What an instance is doing, for people."""

from pathlib import Path

from azureml_local.instance import facts, is_running
from azureml_local.models import State

_ENDED = ("Completed", "Failed", "Canceled")


def report(root: Path) -> str:
    """A few lines: the instance, its jobs that have not ended, its endpoints with their deployments."""
    state = State(root)
    try:
        return "\n".join([_instance(root), *_jobs(state), *_endpoints(state)])
    finally:
        state.close()


def _instance(root: Path) -> str:
    found = facts(root)
    if found is None or not is_running(found):
        return f"not running, state in {root}"
    return f"running, pid {found['pid']}, proxy http://127.0.0.1:{found['proxy_port']}, state in {root}"


def _jobs(state: State) -> list[str]:
    runs = state.all("runs")
    active = [(name, run) for name, run in runs if run.get("status") not in _ENDED]
    lines = [f"  {name}  {run.get('status')}  {_process(run)}".rstrip() for name, run in active]
    return [f"jobs: {len(runs)}, of them not ended: {len(active)}", *lines]


def _endpoints(state: State) -> list[str]:
    endpoints, deployments = state.all("endpoints"), state.all("deployments")
    lines = [
        f"  {key}  {deployment['properties'].get('provisioningState')}  {_process(deployment)}".rstrip()
        for key, deployment in deployments
    ]
    return [f"endpoints: {len(endpoints)}, endpoint deployments: {len(deployments)}", *lines]


def _process(document: dict[str, object]) -> str:
    pid = document.get("pid")
    return f"pid {pid}" if pid else ""
