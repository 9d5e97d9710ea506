"""Names are valid for Azure ML whatever they are made of."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_finetune.names import deployment_name, endpoint_name, job_name, model_version, registered_model_name


@given(st.text())
def test_endpoint_deployment_and_job_names_are_valid(run_id):
    for name in (endpoint_name(run_id), deployment_name(run_id)):
        assert re.fullmatch(r"[a-zA-Z][-a-zA-Z0-9]{1,30}[a-zA-Z0-9]", name)
    assert re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,254}", job_name(run_id))


@given(st.text(min_size=1), st.text(min_size=1))
def test_model_names_are_valid(model_name, source):
    assert re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,254}", registered_model_name(model_name, source))


@given(st.text(), st.text())
def test_two_runs_share_no_name(one, other):
    for name in (endpoint_name, deployment_name, job_name):
        assert (name(one) == name(other)) == (one == other)


def test_a_model_version_is_the_time_of_the_run_and_sorts_by_it():
    created = datetime(2026, 11, 22, 2, 0, 0, 123_000, tzinfo=UTC)
    assert model_version(created) == "1795312800123"
    assert model_version(created) < model_version(created + timedelta(milliseconds=1))


@pytest.mark.parametrize(
    ("model_name", "source", "expected"),
    [
        ("Phi-3-mini-4k-instruct", "HuggingFaceH4/ultrachat_200k", "Phi-3-mini-4k-instruct-ultrachat-200k"),
        ("meta/Llama-3.2-1B", "HuggingFaceH4/ultrachat_200k", "meta-Llama-3.2-1B-ultrachat-200k"),
        ("Phi-4", "some/folder/my chats/", "Phi-4-my-chats"),
        ("Phi-4", ".", "Phi-4-data"),
    ],
)
def test_a_registered_model_is_named_for_its_base_and_data(model_name, source, expected):
    assert registered_model_name(model_name, source) == expected
