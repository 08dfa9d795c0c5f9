"""Judges of CDI specs: the published schema, and the library of the container runtimes by its own command `cdi`."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from tests.limits import WAIT_S

SCHEMA = Path(__file__).parent / "schema"
COMMAND = shutil.which("cdi")
_CONTAINER = {"ociVersion": "1.0.2", "process": {"env": ["PATH=/bin"]}}


def validate(directory: Path) -> None:
    """Raises ValidationError where a spec of the directory is not what the specification asks for."""
    for path in directory.glob("*.json"):
        _validator().validate(json.loads(path.read_text()))


def injected(directory: Path, device: str) -> dict[str, Any]:
    """What containerd, CRI-O and Podman make of an empty container that gets a device; needs COMMAND."""
    assert COMMAND is not None
    container = directory / "container.oci"
    container.write_text(json.dumps(_CONTAINER))
    command = [COMMAND, "--spec-dirs", str(directory), "inject", "--output", "json", str(container), device]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S)
    assert done.returncode == 0, done.stdout + done.stderr
    made: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
    return made


def _validator() -> Draft7Validator:
    schema, defs = (json.loads((SCHEMA / name).read_text()) for name in ("schema.json", "defs.json"))
    resource: Resource[Any] = Resource.from_contents(defs, default_specification=DRAFT7)
    return Draft7Validator(schema, registry=Registry().with_resource("defs.json", resource))
