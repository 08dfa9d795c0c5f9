"""The interactive page of the REST API, at /docs: Swagger UI, served by us, without an outside address."""

from __future__ import annotations

from importlib.resources import files

import fastapi_offline
from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from migctl.api.v1.app import PREFIX

_ASSETS = files(fastapi_offline) / "static"
_TYPES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}
_POLICY = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
"""Swagger UI sets styles of elements; it needs no other exception."""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>migctl REST API</title>
<link rel="icon" href="docs/favicon.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START = f"""SwaggerUIBundle({{
  url: ".{PREFIX}/openapi.json",
  dom_id: "#page",
  deepLinking: true,
  persistAuthorization: false,
  validatorUrl: null,
}});
"""

routes = APIRouter(include_in_schema=False)


@routes.get("/docs")
async def page() -> HTMLResponse:
    """The page."""
    return HTMLResponse(_PAGE, headers=_headers())


@routes.get("/docs/{name}")
async def asset(name: str) -> Response:
    """What the page loads."""
    if name == "start.js":
        return Response(_START, media_type="text/javascript", headers=_headers())
    if name not in _TYPES:
        raise HTTPException(404, "Not Found")
    headers = {**_headers(), "Cache-Control": "max-age=86400"}
    return Response((_ASSETS / name).read_bytes(), media_type=_TYPES[name], headers=headers)


def _headers() -> dict[str, str]:
    return {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
