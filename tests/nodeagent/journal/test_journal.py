"""A GPU's journal on a disk that is full, and after a crash at any byte of a write."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nodeagent.journal import records
from nodeagent.journal.journal import DamagedJournal, Journal, NotRecorded
from nodeagent.journal.records import Entry, Hold, OwnedInstance
from solver.model.cluster import Backing
from solver.model.demand import DeviceShare
from solver.model.geometry import Placement

PLACEMENT = Placement("1g.5gb", 3)
DAY: tuple[Entry, ...] = (
    records.boot("boot-1"),
    records.intend("c1", [Placement("2g.10gb", 0)], PLACEMENT),
    records.created(OwnedInstance("1g.5gb", 3, 1, 7, "MIG-1")),
    records.hold(Hold("c1", "job", DeviceShare("GPU-1", Backing.MIG, 1 / 7, 4864, "1g.5gb", 3, 1), "MIG-1", 1)),
    records.quarantine(Placement("2g.10gb", 0), "its process does not end"),
    records.desired_mig(True),
)
"""One of each kind that a journal is made of, with a transaction that has not ended."""

LONG = 2100
"""Lines: more than a journal keeps."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "GPU-1.log"


@contextmanager
def opened(path: Path) -> Iterator[Journal]:
    journal = Journal(path)
    try:
        yield journal
    finally:
        journal.close()


@contextmanager
def full_at(size: int) -> Iterator[None]:
    """No file of this process can grow beyond `size` bytes: what reaches so far is written, and no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def written(path: Path, *entries: Entry) -> bytes:
    with opened(path) as journal:
        journal.append(*entries)
    return path.read_bytes()


def test_what_was_appended_is_there_at_the_next_start(path: Path) -> None:
    with opened(path) as journal:
        journal.append(*DAY)
        record = journal.record
    assert record.intent == records.Intent("c1", (Placement("2g.10gb", 0),), PLACEMENT)
    with opened(path) as journal:
        assert journal.record == record


def test_a_line_cut_off_at_any_byte_never_was(path: Path) -> None:
    whole = written(path, *DAY[:-1])
    last = written(path, DAY[-1]).removeprefix(whole)
    for cut in range(1, len(last)):
        path.write_bytes(whole + last[:cut])
        with opened(path) as journal:
            assert (set(journal.record.holds), journal.record.desired_mig) == ({"c1"}, None)
            journal.append(records.release("c1"))
        with opened(path) as journal:
            assert journal.record.holds == {}


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b'{"op":"boot"}',
        b'{"op":"hold","claim":"c1","name":"job","share":{"backing":"unheard of"},"uuid":"","devices":1}',
        b'{"op":"made","instance":{"profile":"1g.5gb"}}',
        b'{"op":"an entry of a later version"}',
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"op":"boot","id":"a"}{"op":"boot","id":"b"}',
    ],
)
def test_a_damaged_line_is_named_and_the_file_left_as_it_is(path: Path, line: bytes) -> None:
    first, *others = written(path, *DAY).splitlines(keepends=True)
    damaged = first + line + b"\n" + b"".join(others)
    path.write_bytes(damaged)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(DamagedJournal, match=r"GPU-1\.log, line 2 is damaged .* repair the line, or remove the file"):
        Journal(path)
    assert path.read_bytes() == damaged
    assert os.listdir("/proc/self/fd") == before


def test_on_a_full_disk_nothing_is_recorded_wherever_the_room_ends(path: Path) -> None:
    more = (records.release("c1"), records.removed(PLACEMENT))
    before = written(path, *DAY)
    after = written(path, *more)
    path.write_bytes(before)
    with opened(path) as journal:
        for size in range(len(before), len(after)):
            with full_at(size), pytest.raises(NotRecorded, match="nothing was changed, free some space"):
                journal.append(*more)
            assert path.read_bytes() == before
            assert (set(journal.record.holds), set(journal.record.owned)) == ({"c1"}, {PLACEMENT})
        journal.append(*more)
    assert path.read_bytes() == after


def live(journal: Journal, lines: int) -> None:
    """Append the same changes again and again, so many lines at least."""
    for _ in range(0, lines, 1 + len(DAY)):
        journal.append(records.desired_mig(False), *DAY)


def test_a_long_journal_is_made_short_and_says_the_same(path: Path) -> None:
    with opened(path) as journal:
        live(journal, LONG)
        record = journal.record
        assert path.read_bytes().count(b"\n") < LONG / 2
        with opened(path) as again:
            assert again.record == record
        journal.append(records.release("c1"))
    with opened(path) as journal:
        assert journal.record.holds == {}


def test_a_journal_that_cannot_be_made_short_goes_on(path: Path) -> None:
    in_the_way = path.with_name(f".{path.name}.new")
    in_the_way.mkdir()
    with opened(path) as journal:
        live(journal, LONG)
        assert path.read_bytes().count(b"\n") >= LONG
        in_the_way.rmdir()
        journal.append(records.release("c1"))
        assert path.read_bytes().count(b"\n") < len(DAY)
    with opened(path) as journal:
        assert (journal.record.boot, journal.record.holds) == ("boot-1", {})
