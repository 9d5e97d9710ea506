"""A refusal, wherever it is found out."""

from collections.abc import Mapping
from typing import Any


class ServiceError(Exception):
    """A refusal in Azure's words: HTTP status, code and message, rendered as Azure's error envelope."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        target: str | None = None,
        details: tuple[dict[str, Any], ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message
        self.target = target
        self.details = details
        self.headers = dict(headers or {})

    def envelope(self) -> dict[str, Any]:
        """What stands under ``"error"``, in an answer as in a failed operation."""
        return {
            "code": self.code,
            "message": self.message,
            "target": self.target,
            "details": list(self.details),
        }
