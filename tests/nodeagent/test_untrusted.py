"""Files and folders that others can write: nothing in their place hangs, fills the memory or is followed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nodeagent import procfs, untrusted
from nodeagent.contract import limits_file
from nodeagent.shim import limits, region
from nodeagent.untrusted import Untrusted
from tests.nodeagent.hostile_files import ATTACKS

READERS: dict[str, Callable[[Path], object]] = {
    "region": region.holders,
    "limits of the libraries": limits.read,
    "limits file": limits_file.read,
    "any": lambda path: untrusted.read(path, 100),
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("reader", READERS)
def test_no_reader_hangs_follows_or_takes_too_much(reader: str, attack: str, tmp_path: Path) -> None:
    ATTACKS[attack](tmp_path / "file")
    with pytest.raises(Untrusted):
        READERS[reader](tmp_path / "file")


@pytest.mark.parametrize("attack", sorted(set(ATTACKS) - {"sparse"}))
def test_nothing_is_written_through_what_others_made(attack: str, tmp_path: Path) -> None:
    ATTACKS[attack](tmp_path / "region")
    with pytest.raises(Untrusted):
        region.set_context(tmp_path / "region", "GPU-1", 1)
    assert not (tmp_path / "secret").exists() or (tmp_path / "secret").read_bytes() == b"secret"


def test_a_file_as_it_should_be_is_read_up_to_its_limit(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert untrusted.read(tmp_path / "file", 5) == b"12345"
    with pytest.raises(Untrusted, match="more than 4"):
        untrusted.read(tmp_path / "file", 4)
    with pytest.raises(FileNotFoundError):
        untrusted.read(tmp_path / "none", 5)


def test_a_process_s_environment_is_read_up_to_a_limit() -> None:
    assert procfs.variable(os.getpid(), "PATH") == os.environ["PATH"]


def test_a_folder_of_our_own_is_made_and_found_again(tmp_path: Path) -> None:
    for _ in range(2):
        assert untrusted.private_folder(tmp_path / "runs").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_can_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs").chmod(0o777)
    with pytest.raises(Untrusted, match="can be written by others"):
        untrusted.private_folder(tmp_path / "runs")


def test_a_folder_below_one_that_others_can_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(Untrusted, match="could replace"):
        untrusted.private_folder(tmp_path / "open" / "runs")
    (tmp_path / "open").chmod(0o1777)
    untrusted.private_folder(tmp_path / "open" / "runs")


def test_a_link_in_the_folder_s_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "runs").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Untrusted, match="link"):
        untrusted.private_folder(tmp_path / "runs")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's folder")
@pytest.mark.parametrize("whose", ["runs", "."])
def test_another_user_s_folder_is_refused(whose: str, tmp_path: Path) -> None:
    base = tmp_path / "base"
    (base / "runs").mkdir(parents=True, mode=0o700)
    os.chown(base / whose, 65534, 65534)
    with pytest.raises(Untrusted, match="belongs to user 65534"):
        untrusted.private_folder(base / "runs")
