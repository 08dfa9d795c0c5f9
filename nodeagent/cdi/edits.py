"""Changes of a container, as the CDI specification has them (version 0.6.0; 0.7.0 with group ids)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class DeviceNode(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A device file. With `type`, `major` and `minor` it need not exist on the host yet."""

    path: str
    host_path: str | None = None
    type: str | None = None
    major: int | None = None
    minor: int | None = None
    permissions: str | None = None


class CdiMount(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A bind mount."""

    host_path: str
    container_path: str
    options: tuple[str, ...] = ()
    type: str | None = None


class Hook(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """An OCI hook. `timeout`: seconds."""

    hook_name: str
    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout: int | None = None


class ContainerEdits(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """`containerEdits`. `env`: "NAME=value", a later one wins."""

    env: tuple[str, ...] = ()
    device_nodes: tuple[DeviceNode, ...] = ()
    mounts: tuple[CdiMount, ...] = ()
    hooks: tuple[Hook, ...] = ()
    additional_gids: tuple[int, ...] = ()

    def __add__(self, other: ContainerEdits) -> ContainerEdits:
        variables = {line.partition("=")[0]: line for line in (*self.env, *other.env)}
        nodes = {node.path: node for node in (*self.device_nodes, *other.device_nodes)}
        return ContainerEdits(
            env=tuple(variables.values()),
            device_nodes=tuple(nodes.values()),
            mounts=tuple(dict.fromkeys((*self.mounts, *other.mounts))),
            hooks=self.hooks + other.hooks,
            additional_gids=tuple(dict.fromkeys((*self.additional_gids, *other.additional_gids))),
        )


READ_ONLY = ("ro", "nosuid", "nodev", "bind")


def environment(variables: Mapping[str, str]) -> ContainerEdits:
    """Edits that set variables."""
    return ContainerEdits(env=tuple(f"{name}={value}" for name, value in variables.items()))


def spec(kind: str, device: str, edits: ContainerEdits) -> dict[str, Any]:
    """A CDI spec with one device."""
    return {
        "cdiVersion": "0.7.0" if edits.additional_gids else "0.6.0",
        "kind": kind,
        "devices": [{"name": device, "containerEdits": msgspec.to_builtins(edits)}],
    }
