"""Many jobs at once, over REST: the SDK lists one page after the other into objects that take longer to make.

Routes and fields: the SDK's own (azure-ai-ml 1.35.2, `jobs.list`, `jobs.begin_cancel`; run history's PATCH).
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx

from chat_finetune.platform.errors import azure_errors
from chat_finetune.refs import JobStatus

_LIST_VERSION = "2024-01-01-preview"
_CANCEL_VERSION = "2023-04-01-preview"


class Listing:
    """The jobs that carry a tag, asked for and cancelled without waiting for each.

    Args:
        http: a client whose base is `https://management.azure.com<workspace id>`.
        history: `https://<region>.api.azureml.ms/history/v1.0<workspace id>`.
        token: gives a bearer token that has not expired; it may block.
    """

    def __init__(self, http: httpx.AsyncClient, history: str, token: Callable[[], str]) -> None:
        self._http = http
        self._history = history
        self._token = token

    async def pages(self, tag: str) -> AsyncIterator[tuple[JobStatus, ...]]:
        """The jobs that carry a tag of that name, page by page; the service decides how long a page is.

        Raises:
            TransientError: no answer, or too many requests.
        """
        url: str | None = "/jobs"
        query: dict[str, str] | None = {
            "api-version": _LIST_VERSION,
            "listViewType": "ActiveOnly",
            "tag": tag,
        }
        while url:
            with azure_errors(f"list of jobs with tag {tag}"):
                answer = await self._send("GET", url, params=query)
            page = answer.json()
            yield tuple(_status(job) for job in page["value"])
            url, query = page.get("nextLink"), None

    async def get(self, name: str) -> JobStatus:
        """One job, by its name."""
        with azure_errors(f"job {name}"):
            answer = await self._send("GET", f"/jobs/{name}", params={"api-version": _LIST_VERSION})
        return _status(answer.json())

    async def cancel(self, name: str) -> None:
        """Ask Azure ML to cancel a job; it has taken the request, no more. Ended jobs stay as they are."""
        with azure_errors(f"cancel job {name}"):
            await self._send("POST", f"/jobs/{name}/cancel", params={"api-version": _CANCEL_VERSION})

    async def add_tags(self, name: str, experiment: str, tags: dict[str, str]) -> None:
        """Add tags to a job, whatever its status."""
        with azure_errors(f"tag job {name}"):
            await self._send(
                "PATCH", f"{self._history}/experiments/{experiment}/runs/{name}", json={"tags": tags}
            )

    async def _send(self, method: str, url: str, **options: Any) -> httpx.Response:
        token = await asyncio.to_thread(self._token)
        headers = {"Authorization": f"Bearer {token}"}
        answer = await self._http.request(method, url, headers=headers, **options)
        return answer.raise_for_status()


def _status(job: dict[str, Any]) -> JobStatus:
    properties = job["properties"]
    studio = (properties.get("services") or {}).get("Studio") or {}
    return JobStatus(
        name=job["name"],
        display_name=properties.get("displayName") or job["name"],
        status=properties["status"],
        studio_url=studio.get("endpoint"),
        tags=properties.get("tags") or {},
        outputs=tuple(properties.get("outputs") or ()),
        created_at=(job.get("systemData") or {}).get("createdAt"),
    )
