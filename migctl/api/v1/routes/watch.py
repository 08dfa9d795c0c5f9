"""Changes as they happen."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse

from migctl.api.v1.errors import refusal
from migctl.api.v1.schemas.workload_specs import Text
from migctl.api.v1.service import CallersService, Door
from migctl.api.v1.watching.objects import WatchedKind
from migctl.api.v1.watching.streams import Watching

routes = APIRouter(tags=["watch"])

DEFAULT = "nodes,projects,workloads"
STREAM = {
    "description": "Server-sent events: `ready` first, then for each change {type, kind, object}.",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


@routes.get("/watch", response_class=StreamingResponse, responses={200: STREAM})
async def watch(
    request: Request,
    door: Door,
    kinds: Annotated[Text, Query(description=f"With commas between them: {', '.join(WatchedKind)}.")] = DEFAULT,
    last_event_id: Annotated[
        Text, Header(description="The id of the last event that was got: what came after it.")
    ] = "",
) -> StreamingResponse:
    """What changes of what the caller may see, on one stream, until either side ends it."""
    watching = cast("Watching", request.app.state.watching)
    return watching.open(door, _kinds(door, kinds), last_event_id, request.app.state.closing)


def _kinds(door: CallersService, sent: str) -> frozenset[WatchedKind]:
    """The kinds that are named. Raises Invalid."""
    try:
        kinds = frozenset(map(WatchedKind, (sent or DEFAULT).split(",")))
    except ValueError:
        raise refusal("kinds", f"is of {', '.join(WatchedKind)}") from None
    if WatchedKind.EVENTS in kinds and door.service.control_plane is None:
        raise refusal(
            "kinds", "events are not streamed on a cluster: it shows each caller his own", "GET /api/v1/events"
        )
    return kinds
