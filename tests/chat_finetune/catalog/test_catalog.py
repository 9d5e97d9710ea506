"""The catalog's files are complete, dated, and agree with themselves."""

import pytest

from chat_finetune.catalog import load_catalog

CATALOG = load_catalog()
SIZES = list(CATALOG.sizes.values())
MODELS = list(CATALOG.models.values())


def test_a_name_is_found_in_any_case():
    size = CATALOG.size("STANDARD_nc24ads_a100_V4")

    assert size is not None
    assert (size.name, size.gpu_count, size.vcpu_count) == ("Standard_NC24ads_A100_v4", 1, 24)
    assert CATALOG.size("Standard_Nothing") is None
    assert CATALOG.model("phi-4") is not None


@pytest.mark.parametrize("size", SIZES, ids=lambda size: size.name)
def test_a_retired_size_names_a_replacement_that_outlives_it(size):
    if size.retired is None:
        return
    heir = CATALOG.size(size.replacement)

    assert heir is not None, size.replacement
    assert heir.retired is None or heir.retired > size.retired
    assert heir.gpu_count == size.gpu_count


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_every_size_that_a_model_names_is_a_size_with_a_gpu(model):
    named = model.finetune_computes + model.inference_computes

    assert model.finetune_computes
    for name in named:
        size = CATALOG.size(name)
        assert size is not None, name
        assert size.gpu_count > 0


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_retired_model_names_one_that_is_not(model):
    if model.finetune_retired is None:
        assert model.replacement is None
    else:
        assert CATALOG.model(model.replacement).finetune_retired is None


def test_the_defaults_of_the_configuration_are_known_and_not_retired():
    from chat_finetune.config.retrain import RetrainConfig

    config = RetrainConfig()

    assert CATALOG.model(config.model.name).finetune_retired is None
    assert CATALOG.size(config.compute.vm_size).retired is None
    assert CATALOG.size(config.endpoint.instance_type).managed_endpoint
