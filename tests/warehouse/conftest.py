"""What tests of the warehouse's front begin with."""

import pytest

from engines.warehouse import Warehouse


@pytest.fixture
def wh():
    """A warehouse in memory, empty."""
    with Warehouse() as warehouse:
        yield warehouse
