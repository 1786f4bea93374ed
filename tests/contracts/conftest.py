"""Attentive's own schemas, where they are at hand."""

import pytest

from tests.contracts.attentive_contract import VENDOR, VENDOR_FILES, Contract, vendor_folder


@pytest.fixture(scope="session")
def vendor() -> Contract:
    """The lenient contract; a test that wants it is skipped elsewhere."""
    if (folder := vendor_folder()) is None:
        pytest.skip(f"{VENDOR} does not name a folder with {' and '.join(VENDOR_FILES)}")
    return Contract.vendor(folder)
