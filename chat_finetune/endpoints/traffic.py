"""Which deployment of an endpoint answers, and which answered before: noted on the endpoint itself.

A process that dies between the shift of traffic and its proof leaves the note behind, so that whoever
cleans up after it can move the requests back.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from chat_finetune.refs import EndpointStatus

if TYPE_CHECKING:
    from chat_finetune.platform import Platform

_NOTE = "traffic_before"
_PERCENTAGES = TypeAdapter(dict[str, int])


def shift_to(platform: "Platform", endpoint: EndpointStatus, deployment: str) -> None:
    """Send all requests to the deployment, and note in the same request who has answered them so far."""
    others = {name: 0 for name in endpoint.traffic if name != deployment}
    noted = _PERCENTAGES.dump_json(served_before(endpoint, deployment)).decode()
    platform.endpoints.set_traffic(endpoint.name, {**others, deployment: 100}, tags={_NOTE: noted})


def take_back(platform: "Platform", endpoint: EndpointStatus, deployment: str) -> None:
    """Send no request to the deployment; if it has been getting any, those before it get them again."""
    if not endpoint.traffic.get(deployment):
        return
    standing = {found.name for found in platform.endpoints.deployments(endpoint.name)} - {deployment}
    back = whole(served_before(endpoint, deployment), standing)
    platform.endpoints.set_traffic(
        endpoint.name, {**dict.fromkeys(standing, 0), deployment: 0, **back}, tags={}
    )


def served_before(endpoint: EndpointStatus, deployment: str) -> dict[str, int]:
    """Percent of the requests that others get, or got before they were shifted to the deployment."""
    if not endpoint.traffic.get(deployment):
        return {name: percent for name, percent in endpoint.traffic.items() if percent}
    try:
        noted = _PERCENTAGES.validate_json(endpoint.tags.get(_NOTE, "{}"))
    except ValidationError:  # a tag can be edited by anybody
        return {}
    return {name: percent for name, percent in noted.items() if name != deployment and 0 < percent <= 100}


def whole(wanted: Mapping[str, int], standing: Iterable[str]) -> dict[str, int]:
    """The shares of those that still stand; all of it goes to the largest where 100 % are not reached."""
    left = {name: percent for name, percent in wanted.items() if name in set(standing)}
    if not left or sum(left.values()) == 100:
        return left
    return {max(left, key=lambda name: left[name]): 100}
