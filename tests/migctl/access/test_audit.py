"""The files of the audit trail."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from migctl.access.audit import trail as trails
from migctl.access.audit.trail import AuditEntry, AuditTrail
from tests.fakes.control_plane import ManualClock


def entry(name: str, clock: ManualClock, message: str = "") -> AuditEntry:
    return AuditEntry(time=clock(), user="ada", verb="create", kind="workloads", status=201, name=name, message=message)


def names(trail: AuditTrail) -> list[str]:
    return [one.name or one.verb for one in trail.newest_first()]


def test_entries_come_back_newest_first_and_survive_a_restart(tmp_path: Path) -> None:
    clock = ManualClock()
    for number in range(3):
        AuditTrail(tmp_path / "audit", clock).record(entry(f"w{number}", clock))
    assert names(AuditTrail(tmp_path / "audit", clock)) == ["w2", "w1", "w0"]
    assert (tmp_path / "audit" / "audit.jsonl").stat().st_mode & 0o777 == 0o600


def test_files_are_bounded_in_size_and_number(tmp_path: Path) -> None:
    clock = ManualClock()
    trail = AuditTrail(tmp_path, clock, max_bytes=2000, max_files=3)
    for number in range(200):
        trail.record(entry(f"w{number}", clock))
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["audit.1.jsonl", "audit.2.jsonl", "audit.jsonl"]
    assert all(file.stat().st_size <= 2000 for file in files)
    kept = names(trail)
    assert kept == [f"w{number}" for number in range(199, 199 - len(kept), -1)]
    assert len(kept) > 20


def test_what_others_choose_is_cut_and_cannot_break_a_line(tmp_path: Path) -> None:
    clock = ManualClock()
    trail = AuditTrail(tmp_path, clock)
    trail.record(entry("x\n" * 10_000, clock, "\x1b[31m\u2028" * 1000))
    (read,) = trail.newest_first()
    assert len(read.name) == len(read.message) == trails.LONGEST_TEXT
    assert len((tmp_path / "audit.jsonl").read_bytes().splitlines()) == 1


def test_a_full_disk_stops_nothing_and_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, write = ManualClock(), os.write
    trail = AuditTrail(tmp_path, clock)
    trail.record(entry("before", clock))

    def full(file: int, data: bytes) -> int:
        write(file, data[:20])
        return 20

    monkeypatch.setattr(os, "write", full)
    for number in range(3):
        trail.record(entry(f"lost{number}", clock))
    assert trail.lost == 3
    monkeypatch.setattr(os, "write", write)
    trail.record(entry("after", clock))
    assert names(trail) == ["after", "lost", "before"]
    assert trail.lost == 0
    assert "3 entries" in next(one.message for one in trail.newest_first() if one.verb == "lost")


def test_long_files_are_read_from_their_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trails, "CHUNK", 7)
    clock = ManualClock()
    trail = AuditTrail(tmp_path, clock)
    for number in range(20):
        trail.record(entry(f"w{number}", clock))
    assert names(trail) == [f"w{number}" for number in range(19, -1, -1)]
