"""Which LND is too old, and which has a fault that its operator has to hear of."""

from __future__ import annotations

import pytest

from lightning.versions import FAULTS, LOWEST_LND_VERSION, faults_of, is_supported


@pytest.mark.parametrize(
    "version", ["0.21.0-beta", "0.21.3-beta commit=v0.21.3-beta", "0.22.1", "1.0.0-beta.rc1", "v0.21.0"]
)
def test_a_new_enough_node_is_supported(version):
    assert is_supported(version)


@pytest.mark.parametrize("version", ["0.20.3-beta", "0.9.99", "", "unknown", "0.21"])
def test_an_old_or_unknown_node_is_not(version):
    assert not is_supported(version)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_a_fault_is_told_of_the_last_version_that_has_it_and_not_of_the_one_that_mends_it(fault):
    major, minor, patch = fault.mended_in
    assert fault in faults_of(f"{major}.{minor}.{patch - 1}-beta commit=v{major}.{minor}.{patch - 1}-beta")
    assert fault not in faults_of(f"{major}.{minor}.{patch}-beta commit=v{major}.{minor}.{patch}-beta")


def test_numbers_are_compared_and_not_letters():
    assert len(faults_of("0.21.2-beta")) == len(FAULTS)
    assert faults_of("0.21.10-beta") == faults_of("0.22.0-beta") == faults_of("1.0.0") == ()


def test_of_a_version_without_a_number_everything_is_feared():
    assert faults_of("unknown") == FAULTS


def test_only_versions_that_we_work_with_are_in_the_table():
    """Of an older one it is enough to say that it is too old."""
    assert all(fault.mended_in > LOWEST_LND_VERSION for fault in FAULTS)
    assert list(FAULTS) == sorted(FAULTS, key=lambda fault: fault.mended_in)
