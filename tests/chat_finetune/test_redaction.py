"""Secrets as Azure writes them, and the two doors that nothing passes with one."""

import io
import logging
import pickle
from collections.abc import Iterator

import pytest

from chat_finetune.errors import ServiceUnavailableError
from chat_finetune.redaction import keep_secrets_out_of_logs, redact

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJhdWQiOiJodHRwczovL20ifQ.c2lnbmF0dXJlLW9mLWl0"
KEY = "kQ3vT9xZ1bC5nM7pL0aS2dF4gH6jK8qW=="


@pytest.mark.parametrize(
    ("text", "secret", "left"),
    [
        (f"Authorization: Bearer {JWT}", JWT, "Authorization: Bearer ***"),
        (f"{{'authorization': 'bearer {KEY}'}}", KEY, "{'authorization': 'bearer ***'}"),
        (f"the token {JWT} is invalid", JWT, "the token *** is invalid"),
        (
            f"GET https://a.blob.core.windows.net/c/b?sv=2021&sig={KEY.replace('=', '%3D')}&se=2026: 403",
            KEY[:-2],
            "GET https://a.blob.core.windows.net/c/b?sv=2021&sig=***&se=2026: 403",
        ),
        (
            f"DefaultEndpointsProtocol=https;AccountKey={KEY};",
            KEY,
            "DefaultEndpointsProtocol=https;AccountKey=***;",
        ),
        (f'{{"primaryKey": "{KEY}", "name": "x"}}', KEY, '{"primaryKey": "***", "name": "x"}'),
        (f"client_secret={KEY}&scope=s", KEY, "client_secret=***&scope=s"),
        (f"SharedKey account:{KEY}", KEY, "SharedKey account:***"),
    ],
)
def test_a_secret_goes_and_what_explains_stays(text: str, secret: str, left: str) -> None:
    assert secret in text
    assert redact(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "Job retrain-0123456789abcdef failed in step chat_completion_finetune: CUDA out of memory",
        "the bearer of bad news",
        "config_hash 1a2b3c4d; https://ml.azure.com/runs/retrain-1?wsid=/subscriptions/0&tid=1",
        "endpoint_key was rotated",
    ],
)
def test_what_is_no_secret_is_left_alone(text: str) -> None:
    assert redact(text) == text


def test_an_error_holds_no_secret_even_after_pickling() -> None:
    error = ServiceUnavailableError(f"403 for https://a/b?sig={KEY}", "wait")
    assert KEY not in f"{error!s}{error!r}{error.args}"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    before = logging.getLogRecordFactory()
    keep_secrets_out_of_logs()
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("test.redaction")
    logger.addHandler(handler)
    yield stream
    logger.removeHandler(handler)
    logging.setLogRecordFactory(before)


def test_neither_message_arguments_nor_traceback_of_a_cause_reach_a_log(log: io.StringIO) -> None:
    logger = logging.getLogger("test.redaction")
    logger.error("asked with Bearer %s, %d times", JWT, 3)
    try:
        try:
            raise ValueError(f"no answer from https://a/b?sig={KEY}")
        except ValueError as cause:
            raise RuntimeError("the log could not be read") from cause
    except RuntimeError:
        logger.exception("it failed")
    assert "asked with Bearer ***, 3 times" in log.getvalue()
    assert "ValueError: no answer from https://a/b?sig=***" in log.getvalue()
    assert JWT not in log.getvalue()
    assert KEY not in log.getvalue()


def test_it_is_installed_once() -> None:
    before = logging.getLogRecordFactory()
    try:
        keep_secrets_out_of_logs()
        first = logging.getLogRecordFactory()
        keep_secrets_out_of_logs()
        assert logging.getLogRecordFactory() is first
    finally:
        logging.setLogRecordFactory(before)
