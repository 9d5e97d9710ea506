"""What an instance is doing, for people; and the processes it may have left, whether it runs or not."""

from collections.abc import Iterator
from pathlib import Path

from azureml_local import supervisor
from azureml_local.instance import facts, is_running
from azureml_local.models import State

_ENDED = ("Completed", "Failed", "Canceled")
# Where supervised processes have their folders: jobs, containers of deployments, the tracking server.
_SUPERVISED = ("jobs/*/lock", "deployments/*/*/*/lock", "mlflow/*/lock")


def report(root: Path) -> str:
    """A few lines: the instance, jobs that have not ended, endpoint deployments, processes."""
    state = State(root)
    try:
        return "\n".join([_instance(root), *_jobs(state), *_deployments(state), *_processes(root)])
    finally:
        state.close()


def supervised(root: Path) -> Iterator[Path]:
    """The folders whose process is alive now, of a running instance or of one that is gone."""
    locks = {lock.resolve() for pattern in _SUPERVISED for lock in root.glob(pattern)}
    return (lock.parent for lock in sorted(locks) if supervisor.is_alive(lock.parent))


def _instance(root: Path) -> str:
    found = facts(root)
    if found is None or not is_running(found):
        return f"not running, state in {root}"
    return f"running, pid {found['pid']}, proxy http://127.0.0.1:{found['proxy_port']}, state in {root}"


def _jobs(state: State) -> list[str]:
    runs = [run for _, run in state.all("runs")]
    active = [run for run in runs if run["status"] not in _ENDED]
    lines = [f"  {run['runId']}  {run['displayName']}  {run['status']}" for run in active]
    return [f"jobs and steps: {len(runs)}, of them not ended: {len(active)}", *lines]


def _deployments(state: State) -> list[str]:
    traffic = {
        f"{key}/{name}".lower(): percent
        for key, endpoint in state.all("endpoints")
        for name, percent in (endpoint["properties"].get("traffic") or {}).items()
    }
    deployments = state.all("deployments")
    lines = [
        f"  {key}  {deployment['properties']['provisioningState']}  traffic {traffic.get(key, 0)} %"
        for key, deployment in deployments
    ]
    return [f"endpoints: {len(state.all('endpoints'))}, deployments: {len(deployments)}", *lines]


def _processes(root: Path) -> list[str]:
    folders = list(supervised(root))
    lines = [
        f"  pid {(folder / 'lock').read_text()}  {folder.relative_to(root.resolve())}" for folder in folders
    ]
    return [f"processes: {len(folders)}", *lines]
