"""The rules of admission, evaluated by a real API server: every test of tests/deploy/admission is asked here too."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest

from tests.cluster.acting import ActingApi
from tests.cluster.settings import Place
from tests.deploy.admission import test_containers, test_names, test_protection, test_requests
from tests.deploy.admission.test_protection import ANA, CONTROLLER, KUBELET, MANAGER
from tests.fakes import manifests
from tests.fakes.kubernetes_api.users import KUBERNETES

MODULES: tuple[ModuleType, ...] = (test_names, test_protection, test_requests, test_containers)
pod = test_protection.pod
SURELY_REFUSED = ({"gpu-fraction": "2"}, {"gpu_fraction": "0.5"}, {"migctl.dev/placed": "x"})
"""One for each policy about pods."""


@pytest.fixture(scope="module")
def _permitted(where: Place) -> Iterator[None]:
    """The users of the tests are stopped by no role."""
    acting = ActingApi(where)
    acting.permit(ANA, CONTROLLER, KUBELET, MANAGER, KUBERNETES)
    with acting:
        for annotations in SURELY_REFUSED:
            acting.until_refused(ANA, "pods", manifests.pod("probe", annotations))
    yield
    acting.forbid()


@pytest.fixture
def api(where: Place, _permitted: None) -> Iterator[ActingApi]:
    """In place of the fake of tests/deploy/admission."""
    with ActingApi(where) as acting:
        yield acting


globals().update({name: test for module in MODULES for name, test in vars(module).items() if name.startswith("test_")})
