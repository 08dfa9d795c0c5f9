"""Whether `make coverage` has covered enough of each file that pyproject.toml names: lines, and branches too."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from coverage import Coverage

LEAST_PERCENT = 95.0


def short(report: Path) -> Iterator[str]:
    """What is covered too little, by a report of coverage as JSON."""
    for name, file in json.loads(report.read_text())["files"].items():
        for what in ("statements", "branches"):
            percent = file["summary"][f"percent_{what}_covered"]
            if percent < LEAST_PERCENT:
                yield f"{name}: {percent:.1f} % of its {what}, less than {LEAST_PERCENT:g} %"


def main() -> int:
    """Show what the last run covered; 1 where a file is covered too little."""
    run = Coverage()
    run.load()
    run.report()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "coverage.json"
        run.json_report(outfile=str(report))
        missing = list(short(report))
    print("\n".join(missing) or "each is covered")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
