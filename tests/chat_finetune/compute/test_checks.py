"""Which machines are refused, and what is said instead."""

from datetime import date

import pytest

from chat_finetune.catalog import load_catalog
from chat_finetune.compute.checks import (
    check_cluster,
    check_finetune_size,
    check_inference_size,
    check_node_count,
    check_quota,
)
from chat_finetune.errors import ComputeNotSuitableError, ConfigError, QuotaError
from chat_finetune.refs import ClusterRef, FoundationModelRef, UsageRef, VmSizeRef

CATALOG = load_catalog()
TODAY = date(2026, 11, 22)
THEN = date(2024, 6, 1)


def a_size(name, family="standardNDSv2Family", gpus=1, vcpus=24):
    return VmSizeRef(name=name, family=family, gpu_count=gpus, vcpu_count=vcpus, memory_gib=220)


A100 = a_size("Standard_NC24ads_A100_v4", "StandardNCADSA100v4Family")
A100_4 = a_size("Standard_NC96ads_A100_v4", "StandardNCADSA100v4Family", 4, 96)
V100_8 = a_size("Standard_ND40rs_v2", gpus=8, vcpus=40)
V100_4 = a_size("Standard_NC24rs_v3", "standardNCSv3Family", 4, 24)
T4 = a_size("Standard_NC4as_T4_v3", "standard NCASv3_T4 Family", 1, 4)
K80 = a_size("Standard_NC6", "standardNCFamily", 1, 6)
CPU = a_size("Standard_E4s_v3", "standardESv3Family", 0, 4)
REGION = (A100_4, A100, V100_8, T4, CPU)


def a_model(name="Phi-4", **fields):
    return FoundationModelRef(id=name, name=name, version="8", **fields)


def refused(size_name, model=None, sizes=REGION, today=TODAY, check=check_finetune_size):
    with pytest.raises(ComputeNotSuitableError) as error:
        check(size_name, model or a_model(), sizes, today, CATALOG)
    return error.value


def test_an_allowed_size_is_returned_as_the_region_spells_it():
    assert check_finetune_size("standard_nc24ADS_a100_v4", a_model(), REGION, TODAY, CATALOG) == A100


def test_a_retired_size_is_refused_with_its_replacement_even_where_an_old_list_allows_it():
    model = a_model("Old-1B", tags={"finetune_compute_allow_list": "['Standard_NC24rs_v3']"})

    error = refused("Standard_NC24rs_v3", model, (*REGION, V100_4))

    assert "was retired on 2025-09-30" in error.message
    assert "replacement is Standard_NC96ads_A100_v4" in error.message


def test_a_size_may_be_used_until_the_day_it_is_retired():
    model = a_model("Old-1B", tags={"finetune_compute_allow_list": "['Standard_NC24rs_v3']"})
    sizes = (*REGION, V100_4)

    assert check_finetune_size("Standard_NC24rs_v3", model, sizes, date(2025, 9, 29), CATALOG) == V100_4
    refused("Standard_NC24rs_v3", model, sizes, date(2025, 9, 30))


def test_a_size_off_the_list_is_refused_with_those_on_it_that_the_region_has_smallest_first():
    error = refused("Standard_ND40rs_v2")

    assert "not on the list of sizes that may fine-tune Phi-4 (from: catalog)" in error.message
    assert "at least 24 vCPUs, 1 GPUs and 220 GiB" in error.message
    assert error.remedy.endswith("Standard_NC24ads_A100_v4, Standard_NC96ads_A100_v4.")


def test_the_walkthroughs_world_of_2024_accepts_the_walkthroughs_size():
    model = a_model(
        "Phi-3-mini-4k-instruct",
        tags={"finetune_compute_allow_list": "['Standard_ND40rs_v2', 'Standard_NC24ads_A100_v4']"},
    )

    assert check_finetune_size("Standard_ND40rs_v2", model, REGION, THEN, CATALOG) == V100_8
    with pytest.raises(ConfigError, match="Phi-3-mini-4k-instruct version 8 was retired"):
        check_finetune_size("Standard_ND40rs_v2", model, REGION, TODAY, CATALOG)


def test_a_misspelled_size_is_answered_with_the_nearest_names():
    error = refused("Standard_NC24ads_A100v4")

    assert "nearest names there are Standard_NC24ads_A100_v4" in error.message


def test_a_size_without_a_gpu_cannot_tune():
    error = refused("Standard_E4s_v3")

    assert error.message == "VM size Standard_E4s_v3 has no GPU; fine-tuning needs one."
    assert "Standard_NC24ads_A100_v4" in error.remedy


@pytest.mark.parametrize("size_name", ["Standard_NC6", "standard_nc12", "Standard_NC24", "Standard_NC24r"])
def test_without_a_list_k80_is_refused(size_name):
    error = refused(size_name, a_model("Unknown-1B"), (*REGION, K80), THEN)

    assert "has K80 GPUs" in error.message


def test_without_a_list_any_other_gpu_is_accepted_and_k80_never_suggested():
    model = a_model("Unknown-1B")
    sizes = (*REGION, K80)

    assert check_finetune_size("Standard_NC4as_T4_v3", model, sizes, TODAY, CATALOG) == T4
    assert "Standard_NC6" not in refused("Standard_E4s_v3", model, sizes).remedy


def test_a_region_that_has_nothing_for_the_model_says_so():
    error = refused("Standard_NC4as_T4_v3", sizes=(T4, CPU))

    assert "another region" in error.remedy


def test_a_small_model_may_be_served_without_a_gpu():
    listed = a_model("Tiny-1B", tags={"inference_compute_allow_list": "['Standard_E4s_v3']"})

    assert check_inference_size("Standard_E4s_v3", listed, REGION, TODAY, CATALOG) == CPU
    assert check_inference_size("Standard_E4s_v3", a_model("Any-1B"), REGION, TODAY, CATALOG) == CPU


def test_a_size_off_the_inference_list_is_refused():
    error = refused("Standard_E4s_v3", check=check_inference_size)

    assert "may serve Phi-4" in error.message
    assert error.remedy.startswith("Set endpoint.instance_type")


def test_a_size_that_endpoints_never_had_is_refused():
    error = refused(
        "Standard_NC24rs_v3", a_model("Any-1B"), (*REGION, V100_4), THEN, check=check_inference_size
    )

    assert "not for managed online endpoints" in error.message
    assert "Standard_NC24rs_v3" not in error.remedy


def a_cluster(state, *errors):
    return ClusterRef(
        name="gpu-cluster",
        vm_size=A100.name,
        provisioning_state=state,
        tier="dedicated",
        max_node_count=1,
        provisioning_errors=errors,
    )


@pytest.mark.parametrize("state", ["Failed", "failed", "Canceled", "Deleting"])
def test_a_cluster_that_will_not_run_jobs_is_refused_with_what_azure_said(state):
    with pytest.raises(ComputeNotSuitableError) as error:
        check_cluster(a_cluster(state, "SubnetIsFull: no address is left."))

    assert error.value.message == (
        f"Compute cluster gpu-cluster is in state {state}. SubnetIsFull: no address is left."
    )
    assert "compute.cluster" in error.value.remedy


@pytest.mark.parametrize("state", ["Succeeded", "Creating", "Updating"])
def test_a_cluster_that_is_or_comes_up_is_accepted(state):
    check_cluster(a_cluster(state))


def test_more_nodes_than_the_cluster_has_are_refused():
    check_node_count(2, "gpu-cluster", 2)
    with pytest.raises(ComputeNotSuitableError, match="grows to 2") as error:
        check_node_count(3, "gpu-cluster", 2)
    assert "compute.max_node_count" in error.value.remedy


def usage(family, used, limit):
    return UsageRef(family=family, used_vcpu_count=used, limit_vcpu_count=limit)


def test_quota_that_is_just_enough_is_enough():
    check_quota(A100, 2, [usage(A100.family, 24, 72)], "finetune", CATALOG)


def test_quota_that_is_short_is_told_in_vcpus():
    with pytest.raises(QuotaError) as error:
        check_quota(A100, 2, [usage(A100.family, 25, 72)], "finetune", CATALOG)

    assert error.value.message == (
        "2 × Standard_NC24ads_A100_v4 to fine-tune needs 48 vCPUs; "
        "of quota StandardNCADSA100v4Family, 25 of 72 vCPUs are used."
    )
    assert "Ask for 73 vCPUs of StandardNCADSA100v4Family" in error.value.remedy
    assert "Without GPUs" not in error.value.remedy, "there is quota for some"


@pytest.mark.parametrize(
    ("size", "spelling"),
    [
        (A100, "Standard NCADSA100v4 Family Cluster Dedicated vCPUs"),
        (T4, "Standard NCASv3_T4 Family Cluster Dedicated vCPUs"),
        (T4, "standardNCASv3_T4Family"),
    ],
)
def test_a_family_is_known_in_each_spelling_that_azure_uses(size, spelling):
    check_quota(size, 1, [usage(spelling, 0, 24)], "finetune", CATALOG)

    with pytest.raises(QuotaError):
        check_quota(size, 1, [usage(spelling, 24, 24)], "finetune", CATALOG)


@pytest.mark.parametrize(("count", "needed"), [(1, 8), (3, 16), (5, 24), (10, 48)])
def test_endpoints_reserve_a_fifth_more_machines_rounded_up(count, needed):
    check_quota(T4, count, [usage(T4.family, 0, needed)], "inference", CATALOG)

    with pytest.raises(QuotaError, match=rf"needs {needed} vCPUs, of them 20 % for upgrades"):
        check_quota(T4, count, [usage(T4.family, 0, needed - 1)], "inference", CATALOG)


def test_some_sizes_are_exempt_from_the_reserve():
    check_quota(A100, 1, [usage(A100.family, 0, 24)], "inference", CATALOG)


def test_the_regions_total_counts_too():
    usages = [usage(A100.family, 0, 100), usage("Total Cluster Dedicated Regional vCPUs", 90, 100)]

    with pytest.raises(QuotaError, match="Total Cluster Dedicated Regional vCPUs, 90 of 100"):
        check_quota(A100, 1, usages, "finetune", CATALOG)


def test_a_negative_limit_is_none():
    check_quota(A100, 1, [usage(A100.family, 500, -1)], "finetune", CATALOG)


@pytest.mark.parametrize("purpose", ["finetune", "inference"])
def test_a_gpu_family_that_is_not_listed_has_no_quota_and_cpus_are_offered(purpose):
    with pytest.raises(QuotaError, match="0 of 0 vCPUs") as error:
        check_quota(A100, 1, [usage("standardNDSv2Family", 0, 100)], purpose, CATALOG)

    assert "trainer.kind command_job and compute.vm_size Standard_E16s_v3" in error.value.remedy
    assert "endpoint.instance_type Standard_E4s_v3" in error.value.remedy


def test_who_lacks_cpus_is_not_offered_cpus():
    with pytest.raises(QuotaError) as error:
        check_quota(CPU, 1, [usage(CPU.family, 0, 0)], "inference", CATALOG)

    assert "Without GPUs" not in error.value.remedy


def test_a_cpu_family_that_is_not_listed_is_left_to_azure():
    check_quota(CPU, 1, [usage("standardNDSv2Family", 0, 100)], "inference", CATALOG)
