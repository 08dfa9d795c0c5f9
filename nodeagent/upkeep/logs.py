"""The agent's events as structured log lines."""

from __future__ import annotations

import structlog

from nodeagent.gpu.events import AgentEvent, EventKind

_WARNINGS = {
    EventKind.RECLAIMED,
    EventKind.REFUSED,
    EventKind.SETTLED,
    EventKind.QUARANTINED,
    EventKind.FENCED,
    EventKind.OVERSTEPPED,
    EventKind.STOPPED,
    EventKind.FAULTY,
}

_log = structlog.get_logger("nodeagent")


def observer(event: AgentEvent) -> None:
    """Write one line per event; fields that say nothing are left out."""
    fields = {"gpu": event.gpu, "claim": event.claim, "detail": event.detail, "text": event.text}
    said: dict[str, object] = {name: value for name, value in fields.items() if value}
    if event.seconds:
        said["ms"] = round(event.seconds * 1000, 1)
    write = _log.warning if event.what in _WARNINGS else _log.info
    write(event.what.value, **said)
