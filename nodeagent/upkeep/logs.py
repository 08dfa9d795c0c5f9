"""The agent's events as structured log lines."""

from __future__ import annotations

import structlog

from nodeagent.gpu.events import AgentEvent, EventKind

_WARNINGS = {
    EventKind.RECLAIMED,
    EventKind.REFUSED,
    EventKind.RECOVERED,
    EventKind.QUARANTINED,
    EventKind.FENCED,
    EventKind.OVERSTEPPED,
    EventKind.STOPPED,
    EventKind.FAULTY,
}

_log = structlog.get_logger("nodeagent")


def observer(event: AgentEvent) -> None:
    """Write one line per event; empty fields are left out."""
    fields = {"gpu": event.gpu, "claim": event.claim, "detail": event.detail, "text": event.text}
    nonempty: dict[str, object] = {name: value for name, value in fields.items() if value}
    if event.seconds:
        nonempty["ms"] = round(event.seconds * 1000, 1)
    write = _log.warning if event.kind in _WARNINGS else _log.info
    write(event.kind.value, **nonempty)
