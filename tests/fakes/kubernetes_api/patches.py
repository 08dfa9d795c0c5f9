"""The three kinds of patches an API server takes, as far as migctl uses them."""

from __future__ import annotations

from typing import Any

from tests.fakes.kubernetes_api.storage import Json, copied

APPLY = "application/apply-patch+yaml"
MERGE_KEYS = {"conditions": "type", "schedulingGates": "name", "ownerReferences": "uid"}
"""Lists of pods whose items a strategic merge patch identifies by a field."""


class BadPatch(Exception):
    pass


def apply(target: Json, patch: Any, content_type: str) -> Json:
    """The patched object. Raises BadPatch."""
    if content_type.startswith("application/json-patch+json"):
        return _json_patch(copied(target), patch)
    if content_type.startswith("application/merge-patch+json"):
        return dict(_merge(target, patch))
    if content_type.startswith("application/strategic-merge-patch+json"):
        return dict(_strategic(target, patch))
    raise BadPatch(f"unsupported media type {content_type}")


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged


def _strategic(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, list) and key in MERGE_KEYS:
            merged[key] = _merged_list(merged.get(key) or [], value, MERGE_KEYS[key])
        else:
            merged[key] = _strategic(merged.get(key), value)
    return merged


def _merged_list(items: list[Json], patches: list[Json], key: str) -> list[Json]:
    merged = [dict(item) for item in items]
    for patch in patches:
        if patch.get("$patch") == "delete":
            merged = [item for item in merged if item.get(key) != patch[key]]
            continue
        for item in merged:
            if item.get(key) == patch[key]:
                item.update(patch)
                break
        else:
            merged.append(dict(patch))
    return merged


def _json_patch(target: Json, operations: Any) -> Json:
    for operation in operations:
        *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        holder: Any = target
        for part in parents:
            holder = holder[int(part)] if isinstance(holder, list) else holder.get(part)
            if holder is None:
                raise BadPatch(f"no such path: {operation['path']}")
        _operate(holder, last, operation)
    return target


def _operate(holder: Any, last: str, operation: Json) -> None:
    index: Any = int(last) if isinstance(holder, list) and last != "-" else last
    try:
        match operation["op"]:
            case "test":
                if holder[index] != operation["value"]:
                    raise BadPatch(f"test failed at {operation['path']}")
            case "remove":
                del holder[index]
            case "add" if isinstance(holder, list):
                holder.insert(len(holder) if index == "-" else index, operation["value"])
            case "add" | "replace":
                holder[index] = operation["value"]
            case other:
                raise BadPatch(f"unknown operation {other}")
    except (KeyError, IndexError):
        raise BadPatch(f"no such path: {operation['path']}") from None
