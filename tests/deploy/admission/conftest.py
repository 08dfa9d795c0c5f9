"""An API server with the deployed policies, and one project, "team-a"."""

from __future__ import annotations

import pytest

from tests.fakes.kubernetes_api.kinds import BY_PLURAL
from tests.fakes.kubernetes_api.operations import Operations
from tests.fakes.kubernetes_api.storage import Storage
from tests.fakes.kubernetes_api.users import ADMIN


@pytest.fixture
def api() -> Operations:
    operations = Operations(Storage())
    for name, labels in (("team-a", {"migctl.dev/project": "team-a"}), ("default", {}), ("migctl-system", {})):
        operations.create(ADMIN, BY_PLURAL["namespaces"], "", {"metadata": {"name": name, "labels": labels}})
    return operations
