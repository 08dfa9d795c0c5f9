"""Builds the fraction libraries into a wheel for Linux. An editable install needs no compiler; `make shim` does."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

WITHOUT = "MIGCTL_WITHOUT_SHIM"


class ShimBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Makes the wheel one of this platform: nothing in it depends on the Python version."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable" or sys.platform != "linux" or os.environ.get(WITHOUT):
            return
        builder = _builder(Path(self.root))
        try:
            built = builder.build_all(Path(self.root) / "build" / "shim")
        except builder.BuildError as error:
            self.app.abort(f"{error}\nset {WITHOUT}=1 to build a wheel without software fractions")
        for path in built:
            build_data["force_include"][str(path)] = f"nodeagent/shim/lib/{path.name}"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-linux_{platform.machine()}"


def _builder(root: Path) -> Any:
    """nodeagent/shim/build.py by its path: the package's dependencies are not here."""
    spec = importlib.util.spec_from_file_location("shim_build", root / "nodeagent" / "shim" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
