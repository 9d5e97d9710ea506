"""Where a model may run, by whichever place its metadata stands in this year."""

from datetime import date

import pytest

from chat_finetune.catalog import load_catalog
from chat_finetune.errors import ConfigError
from chat_finetune.models.foundation_model import allow_list, check_model
from chat_finetune.refs import FoundationModelRef

CATALOG = load_catalog()
TODAY = date(2026, 11, 22)
TAG = {"finetune_compute_allow_list": "['Standard_ND40rs_v2', 'Standard_NC24ads_A100_v4']"}
PROPERTY = {"finetune-recommended-sku": "Standard_NC48ads_A100_v4, Standard_NC96ads_A100_v4"}
METADATA = {"supportedComputes": {"finetuneComputes": ["Standard_NC40ads_H100_v5"]}}


def a_model(name="Tiny-1B", **fields):
    return FoundationModelRef(
        id=f"azureml://registries/azureml/models/{name}/versions/1", name=name, version="1", **fields
    )


@pytest.mark.parametrize(
    ("model", "source", "first"),
    [
        (a_model(tags=TAG, properties=PROPERTY, system_metadata=METADATA), "tag", "Standard_ND40rs_v2"),
        (a_model(properties=PROPERTY, system_metadata=METADATA), "property", "Standard_NC48ads_A100_v4"),
        (a_model("Phi-4", system_metadata=METADATA), "system_metadata", "Standard_NC40ads_H100_v5"),
        (a_model("Phi-4"), "catalog", "Standard_NC24ads_A100_v4"),
    ],
    ids=["tag", "property", "system metadata", "catalog"],
)
def test_the_first_place_that_has_a_list_answers(model, source, first):
    found = allow_list(model, "finetune", CATALOG)

    assert found.source == source
    assert found.sizes[0] == first
    assert found.allows(first.upper())
    assert not found.allows("Standard_NC6s_v3")


def test_inference_has_a_list_of_its_own():
    model = a_model(
        tags=TAG | {"inference_compute_allow_list": "['Standard_DS3_v2']"}, system_metadata=METADATA
    )

    assert allow_list(model, "inference", CATALOG).sizes == ("Standard_DS3_v2",)


def test_an_empty_list_says_nothing():
    model = a_model(tags={"finetune_compute_allow_list": "[]"}, properties=PROPERTY)

    assert allow_list(model, "finetune", CATALOG).source == "property"


def test_a_model_that_nobody_knows_has_no_list():
    assert allow_list(a_model(), "finetune", CATALOG).source == "none"


@pytest.mark.parametrize(
    "text",
    [
        "['Standard_ND40rs_v2'",
        "__import__('os').getcwd()",
        "[1, 2]",
        "{'a': 1}",
        "[" * 5_000,
        "-" * 19_000 + "1",
        "['" + "x" * 20_000 + "']",
        "\0",
    ],
    ids=["cut", "code", "numbers", "dict", "nested", "signs", "long", "nul"],
)
def test_a_tag_that_is_no_list_of_names_is_refused_by_name(text):
    model = a_model(tags={"finetune_compute_allow_list": text}, properties=PROPERTY)

    with pytest.raises(ConfigError, match="finetune_compute_allow_list of model Tiny-1B version 1"):
        allow_list(model, "finetune", CATALOG)


@pytest.mark.parametrize("computes", [7, {"finetuneComputes": {"a": 1}}, {"finetuneComputes": [1]}])
def test_metadata_of_another_shape_is_refused(computes):
    with pytest.raises(ConfigError, match=r"system_metadata\.supportedComputes\.finetuneComputes"):
        allow_list(a_model(system_metadata={"supportedComputes": computes}), "finetune", CATALOG)


@pytest.mark.parametrize(
    "model",
    [
        a_model("Phi-3-mini-4k-instruct"),
        a_model(tags={"FinetuneRetirementDate": "2025-08-30"}),
        a_model(system_metadata={"deprecation": {"finetuneRetirementDate": "2025-08-30T00:00:00Z"}}),
    ],
    ids=["catalog", "tag", "system metadata"],
)
def test_a_retired_model_is_refused_from_its_last_day_on(model):
    check_model(model, "finetune", date(2025, 8, 29), CATALOG)

    with pytest.raises(ConfigError, match="was retired on 2025-08-30"):
        check_model(model, "finetune", date(2025, 8, 30), CATALOG)


def test_the_refusal_of_a_retired_model_names_its_replacement():
    with pytest.raises(ConfigError) as error:
        check_model(a_model("Phi-3-mini-4k-instruct"), "inference", TODAY, CATALOG)

    assert error.value.remedy == "Set model.name to Phi-4."


def test_the_model_knows_its_retirement_better_than_the_catalog():
    model = a_model(
        "Phi-3-mini-4k-instruct", system_metadata={"deprecation": {"finetuneRetirementDate": "2030-01-01"}}
    )

    check_model(model, "finetune", TODAY, CATALOG)


def test_a_date_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="finetune retirement date"):
        check_model(a_model(tags={"FinetuneRetirementDate": "soon"}), "finetune", TODAY, CATALOG)
