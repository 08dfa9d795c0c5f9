from pathlib import Path

import pytest

from tests.nodeagent.machines import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """One A100-40GB with MIG on, one V100."""
    return Machine(tmp_path, "a100-40gb=1,v100=1")
