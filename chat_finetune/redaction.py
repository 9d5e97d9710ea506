"""Secrets are cut out of text at two doors: where a log record is made, and where an error is.

Both hold for whatever comes after them: terminals, files, Prefect's records, tracebacks of causes.
"""

import logging
import re
import traceback
from collections.abc import Callable

HIDDEN = "***"

_QUOTED = r"""["']?\s*[:=]\s*["']?"""
_PATTERNS = (
    # Bearer tokens and endpoint keys, in a header or as text.
    re.compile(r"(?P<keep>\bBearer\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE),
    # JSON web tokens, wherever they stand.
    re.compile(r"(?P<keep>)\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
    # The signature of a SAS; what it permits may be read.
    re.compile(r"(?P<keep>[?&;]sig=)[^&\s\"'<>]+", re.IGNORECASE),
    re.compile(r"(?P<keep>\bSharedKey\s+[^\s:]+:)[A-Za-z0-9+/=]+"),
    re.compile(
        r"(?P<keep>\b(?:account_?key|primary_?key|secondary_?key|client_?secret|access_?token|sas_?token|key1|key2)"
        rf"{_QUOTED})[^\s\"'&;,}}]{{8,}}",
        re.IGNORECASE,
    ),
)


def redact(text: str) -> str:
    """The text with every token, key and signature in it replaced by three stars."""
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\g<keep>{HIDDEN}", text)
    return text


class _Factory:
    """Makes log records without secrets, of whatever the factory before it makes."""

    def __init__(self, before: Callable[..., logging.LogRecord]) -> None:
        self._before = before

    def __call__(self, *args: object, **kwargs: object) -> logging.LogRecord:
        record = self._before(*args, **kwargs)
        record.msg, record.args = redact(record.getMessage()), ()
        if record.exc_info and record.exc_info[0] is not None:
            # A formatter takes this text where there is one, and does not look at the exception again.
            record.exc_text = redact("".join(traceback.format_exception(*record.exc_info)).rstrip())
        return record


def keep_secrets_out_of_logs() -> None:
    """From now on no logger of this process makes a record with a secret in it; once is enough."""
    before = logging.getLogRecordFactory()
    if not isinstance(before, _Factory):
        logging.setLogRecordFactory(_Factory(before))
