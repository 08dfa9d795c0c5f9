"""The output of several pods as one stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from migctl.backends.pod_logs import LONGEST_LINE, joined

pytestmark = pytest.mark.anyio


async def pieces(*given: bytes) -> AsyncGenerator[bytes, None]:
    for piece in given:
        yield piece


@pytest.mark.parametrize("follow", [False, True])
async def test_one_pods_output_is_left_as_it_is(follow: bool) -> None:
    assert [piece async for piece in joined({"a": pieces(b"x\ny", b"\xff")}, follow)] == [b"x\ny", b"\xff"]


@pytest.mark.parametrize("follow", [False, True])
async def test_several_pods_lines_come_whole_after_their_names(follow: bool) -> None:
    written = {"a-0": pieces(b"one\ntw", b"o\nthree"), "a-1": pieces(b"x\n")}
    lines = [line async for line in joined(written, follow)]
    assert sorted(lines) == [b"[a-0] one\n", b"[a-0] three\n", b"[a-0] two\n", b"[a-1] x\n"]
    assert follow or lines[-1] == b"[a-1] x\n"


async def test_a_line_without_an_end_is_not_kept_for_ever() -> None:
    endless = pieces(*[b"y" * 1000] * 200)
    lines = [line async for line in joined({"a": endless, "b": pieces()}, follow=False)]
    assert max(map(len, lines)) < 2 * LONGEST_LINE
    assert sum(line.count(b"y") for line in lines) == 200_000
