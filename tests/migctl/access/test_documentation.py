"""docs/access.md tells the rights that every door asks for."""

from __future__ import annotations

from deploy import access_table


def test_the_page_shows_the_table() -> None:
    assert access_table.PAGE.read_text() == access_table.page(), "make manifests writes it anew"
