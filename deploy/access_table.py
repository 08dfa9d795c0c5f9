"""Writes the table of roles into docs/access.md from the one that every door asks: `python -m deploy.access_table`."""

from __future__ import annotations

from pathlib import Path

from migctl.access.rights import AUDIT, SCOPES, TABLE, Reach, Verb
from migctl.objects import KINDS, Role

PAGE = Path(__file__).parent.parent / "docs" / "access.md"
BEGIN = "<!-- roles: written by python -m deploy.access_table -->\n"
END = "<!-- end of roles -->\n"


def table() -> str:
    """One row per kind, one column per role."""
    roles = list(reversed(Role))
    lines = [
        "| | " + " | ".join(roles) + " |",
        "|---" * (len(roles) + 1) + "|",
        "| given | " + " | ".join(_scopes(role) for role in roles) + " |",
    ]
    lines += [
        f"| {plural} | " + " | ".join(_rights(role, plural) for role in roles) + " |" for plural in (*KINDS, AUDIT)
    ]
    return "\n".join(lines) + "\n"


def page() -> str:
    """The page with the table in it."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


def _scopes(role: Role) -> str:
    return ", ".join(scope for scope in ("everything", "department", "project") if scope in SCOPES[role])


def _rights(role: Role, plural: str) -> str:
    rights = TABLE[role].get(plural, {})
    told = [
        f"{verb} own" if rights[verb] is Reach.OWN else str(verb)
        for verb in Verb
        if rights.get(verb, Reach.NOTHING) is not Reach.NOTHING
    ]
    return ", ".join(told) or "-"


if __name__ == "__main__":
    PAGE.write_text(page())
