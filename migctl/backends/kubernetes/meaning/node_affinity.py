"""Which nodes would accept a pod, by kube-scheduler's own rules: taints, node selector, required node affinity.

kube-scheduler decides in the end: what is left out here (volumes, pod affinity, ports) makes it refuse the
node, and the allocation is released.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from migctl.backends.kubernetes.client.kinds import Expression, LabelSelector, SelectorTerm, Taint
from migctl.backends.kubernetes.client.pod_kinds import Toleration
from migctl.backends.kubernetes.meaning.records import Constraints, NodeRecord

REPELLING_EFFECTS = ("NoSchedule", "NoExecute")
UNSCHEDULABLE = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")
CORDONED = "it is cordoned"


def refusal(node: NodeRecord, constraints: Constraints) -> str:
    """Why a node does not accept a pod of these constraints, "" where it does."""
    if not selected(node.labels, constraints.selector or {}):
        wanted = sorted((constraints.selector or {}).items())
        missing = ", ".join(f"{key}={value}" for key, value in wanted if node.labels.get(key) != value)
        return f"its labels do not match the nodeSelector {missing}"
    if constraints.affinity is not None and not any(
        _term(node, term) for term in constraints.affinity.node_selector_terms
    ):
        return "its labels do not match the node affinity"
    for taint in node.taints:
        if taint.effect in REPELLING_EFFECTS and taint.key != UNSCHEDULABLE.key and not _tolerated(taint, constraints):
            return f"its taint {taint.key} is not tolerated"
    return CORDONED if cordoned(node) and not _tolerated(UNSCHEDULABLE, constraints) else ""


def cordoned(node: NodeRecord) -> bool:
    """Whether an admin keeps new pods away; the taint that Kubernetes sets for it comes and goes a moment later."""
    return node.unschedulable or any(taint.key == UNSCHEDULABLE.key for taint in node.taints)


def _tolerated(taint: Taint, constraints: Constraints) -> bool:
    return any(tolerates(toleration, taint) for toleration in constraints.tolerations or ())


def selected(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether labels have every wanted value."""
    return all(labels.get(key) == value for key, value in wanted.items())


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Whether a toleration covers a taint."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.operator == "Exists":
        return not toleration.key or toleration.key == taint.key
    return toleration.key == taint.key and toleration.value == taint.value


def matches(selector: LabelSelector | None, labels: Mapping[str, str]) -> bool:
    """Whether a label selector picks an object. No selector picks nothing, an empty one everything."""
    if selector is None:
        return False
    return selected(labels, selector.match_labels or {}) and _all(selector.match_expressions or (), labels)


def _term(node: NodeRecord, term: SelectorTerm) -> bool:
    """A term without any requirement matches nothing."""
    if not term.match_expressions and not term.match_fields:
        return False
    fields = {"metadata.name": node.name}
    return _all(term.match_expressions or (), node.labels) and _all(term.match_fields or (), fields)


def _all(expressions: Iterable[Expression], labels: Mapping[str, str]) -> bool:
    return all(_holds(expression, labels.get(expression.key)) for expression in expressions)


def _holds(expression: Expression, value: str | None) -> bool:
    values = expression.values or ()
    match expression.operator:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            return _compares(expression.operator, value, values)
    return False


def _compares(operator: str, value: str | None, values: tuple[str, ...]) -> bool:
    try:
        own, limit = int(value or ""), int(values[0])
    except (ValueError, IndexError):
        return False
    return own > limit if operator == "Gt" else own < limit
