"""Fixtures of the fault tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.harness import Crew


@pytest.fixture
def crew(redis_url: str, tmp_path: Path) -> Iterator[Crew]:
    """Workers on the shared server, which no test of this fixture stops or freezes. Ended after the test."""
    with Crew(redis_url, tmp_path) as crew:
        yield crew
