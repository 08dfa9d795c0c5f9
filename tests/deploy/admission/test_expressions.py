"""The CEL of the deployed policies is what the tests evaluate, and all of it compiles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes import manifests
from tests.fakes.kubernetes_api.admission.expressions import BadExpression, compiled, evaluate
from tests.fakes.kubernetes_api.admission.policies import deployed
from tests.fakes.kubernetes_api.errors import Refused
from tests.fakes.kubernetes_api.kinds import BY_PLURAL
from tests.fakes.kubernetes_api.operations import Operations
from tests.fakes.kubernetes_api.users import User

ANA = User("ana")


def expressions(part: Any) -> Iterator[str]:
    """All expressions of a policy, wherever they stand."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key in ("expression", "messageExpression"):
                yield value
            else:
                yield from expressions(value)
    elif isinstance(part, list):
        for item in part:
            yield from expressions(item)


@pytest.mark.parametrize("policy", deployed(), ids=lambda policy: policy.name)
def test_every_expression_of_the_deployed_policies_compiles(policy: Any) -> None:
    found = list(expressions(policy.spec))
    assert found
    for expression in found:
        compiled(expression)


@pytest.mark.parametrize("wrong", ["object.spec..x", "nobody.knows", 'nofunction("a")'])
def test_what_is_no_expression_is_an_error_and_no_answer(wrong: str) -> None:
    with pytest.raises(BadExpression):
        evaluate(wrong, {"object": {"spec": {}}})


def test_devices_without_a_part_are_refused_by_the_policys_own_words(api: Operations) -> None:
    """The policies were once said again in Python, and that had drifted: it let this pass."""
    pod = manifests.pod("devices-alone", {"gpu-fraction-num-devices": "2"})
    with pytest.raises(Refused, match="says on how many GPUs a part is wanted"):
        api.create(ANA, BY_PLURAL["pods"], "team-a", pod)
