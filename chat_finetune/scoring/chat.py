"""Talking to what is deployed: which endpoint, which of its deployments, and how much of the conversation."""

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from chat_finetune.config.chat import TalkConfig
from chat_finetune.errors import MissingError, SignInExpiredError
from chat_finetune.names import model_name
from chat_finetune.refs import DeploymentStatus, EndpointStatus
from chat_finetune.scoring.dialects import Message
from chat_finetune.scoring.scorer import Answer, Scorer
from chat_finetune.tags import expires, is_ours

if TYPE_CHECKING:
    from chat_finetune.platform import Platform

# The longest that Azure lets any deployment take (azure-ai-docs, resource-limits-capacity.md).
_REQUEST_TIMEOUT_SECONDS = 180.0
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Speaker:
    """A deployment that answers: the model behind it, and its percentage of the endpoint's requests."""

    deployment: str
    model: str
    traffic: int


class Talk:
    """Asks the deployments of one endpoint; a context manager, safe to use from several threads.

    Attributes:
        endpoint: where they stand.
        speakers: every deployment that answers, the one with the most traffic first.
    """

    def __init__(self, platform: "Platform", config: TalkConfig) -> None:
        """Look up who answers, and read the endpoint's key.

        Raises:
            MissingError: there is no such endpoint, nothing answers there, or not by the names in the config.
        """
        self._platform = platform
        self._config = config
        self.endpoint = find_endpoint(platform, config.endpoint)
        self.speakers = find_speakers(platform, self.endpoint)
        self._key = platform.endpoints.key(self.endpoint.name)
        self._scorers: dict[str, Scorer] = {}
        self._opened = ExitStack()
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def named(self) -> tuple[Speaker, ...]:
        """Those that the config names, in its order; none when it names none.

        Raises:
            MissingError: a name is not a deployment that answers.
        """
        known = {speaker.deployment: speaker for speaker in self.speakers}
        if unknown := [name for name in self._config.deployment if name not in known]:
            raise MissingError(
                f"Nothing answers as {', '.join(unknown)} on endpoint {self.endpoint.name}.",
                f"Set deployment to one of {', '.join(known)}.",
            )
        return tuple(known[name] for name in self._config.deployment)

    def ask(
        self, speaker: Speaker, messages: Sequence[Message], hear: Callable[[str], None] = lambda _: None
    ) -> Answer:
        """Ask a deployment for the next message, past the traffic rules; reads a renewed key again once.

        Raises:
            ChatFinetuneError: as `Scorer.ask`.
        """
        try:
            return self._scorer(speaker).ask(messages, hear)
        except SignInExpiredError:
            with self._guard:
                self._key = self._platform.endpoints.key(self.endpoint.name)
                self._scorers.clear()
            return self._scorer(speaker).ask(messages, hear)

    def _scorer(self, speaker: Speaker) -> Scorer:
        with self._guard:
            if speaker.deployment not in self._scorers:
                self._scorers[speaker.deployment] = self._opened.enter_context(
                    Scorer(
                        str(self.endpoint.scoring_uri),
                        self._key,
                        self._config,
                        request_timeout_seconds=_REQUEST_TIMEOUT_SECONDS,
                        deployment=speaker.deployment,
                    )
                )
            return self._scorers[speaker.deployment]


def find_endpoint(platform: "Platform", name: str | None) -> EndpointStatus:
    """The endpoint of that name, or else of ours that are kept the one that was made last.

    Raises:
        MissingError: there is none; the remedy names those that there are.
    """
    if name is not None:
        return platform.endpoints.get(name)
    every = platform.endpoints.list()
    kept = [found for found in every if is_ours(found.tags) and expires(found.tags)]
    if not kept:
        names = ", ".join(found.name for found in every)
        raise MissingError(
            "None of this workspace's endpoints was kept by a run.",
            f"Set endpoint to one of {names}."
            if every
            else "Keep one: `chat-finetune retrain --endpoint.keep`.",
        )
    return max(kept, key=lambda found: found.created_at or _LONG_AGO)


def find_speakers(platform: "Platform", endpoint: EndpointStatus) -> tuple[Speaker, ...]:
    """The deployments that answer, the one with the most traffic first.

    Raises:
        MissingError: there is none.
    """
    standing = platform.endpoints.deployments(endpoint.name)
    ready = [found for found in standing if found.provisioning_state == "Succeeded"]
    if not ready:
        raise MissingError(
            f"Nothing answers on endpoint {endpoint.name}: it has no deployment that is ready.",
            "Wait until one is, or set endpoint to another.",
        )
    speakers = [_speaker(found, endpoint) for found in ready]
    return tuple(sorted(speakers, key=lambda speaker: -speaker.traffic))


def recent(messages: Sequence[Message], max_chars: int) -> tuple[Message, ...]:
    """The end of a conversation that fits, from a user's message on; never without the last message."""
    kept_count, chars = 0, 0
    for message in reversed(messages):
        chars += len(message["content"])
        if kept_count and chars > max_chars:
            break
        kept_count += 1
    kept = tuple(messages[len(messages) - kept_count :])
    first = next((i for i, message in enumerate(kept) if message["role"] == "user"), 0)
    return kept[first:]


def _speaker(deployment: DeploymentStatus, endpoint: EndpointStatus) -> Speaker:
    name, version = model_name(deployment.model_id)
    return Speaker(
        deployment=deployment.name,
        model=f"{name}:{version}",
        traffic=endpoint.traffic.get(deployment.name, 0),
    )
