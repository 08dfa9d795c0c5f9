"""Calls of the client library `runapy`, in the environment that has it: `python library.py URL CLIENT`.

Reads a list of calls from each line, makes them with the library's synchronous, threaded or asynchronous client, and
writes a list of outcomes. A call is {"api", "method", "arguments"}; an argument that is a model of the library is
{"model": its name, "value": its JSON}.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any

Call = dict[str, Any]
runai: Any = importlib.import_module("runai")
clients: Any = importlib.import_module("runai.api_client")


def configuration(url: str) -> Any:
    """How the library is set up; it waits less between attempts than it would."""
    return runai.Configuration(
        client_id=os.environ["COMPAT_ID"],
        client_secret=os.environ["COMPAT_SECRET"],
        runai_base_url=url,
        retry_backoff_factor=0.01,
    )


def argument(value: Any) -> Any:
    """What is passed to the library."""
    if isinstance(value, list):
        return [argument(one) for one in value]
    if isinstance(value, dict) and set(value) == {"model", "value"}:
        return getattr(runai.models, value["model"]).model_validate(value["value"])
    return value


def made(client: Any, call: Call) -> Any:
    """The result of the library's method: an answer, or what will have one."""
    api = getattr(runai.api, call["api"])(client)
    return getattr(api, call["method"])(**{name: argument(value) for name, value in call["arguments"].items()})


def outcome(answer: Callable[[], Any]) -> dict[str, Any]:
    """The answer, or the error that the library raises."""
    try:
        given = answer()
    except Exception as error:  # each is an outcome
        return refused(error)
    return {"status": given.status_code, "data": given.data}


def refused(error: Exception) -> dict[str, Any]:
    """An error of the library."""
    return {"error": type(error).__name__, "status": getattr(error, "status", None), "text": str(error)[:2000]}


def synchronous(url: str, calls: list[Call]) -> list[dict[str, Any]]:
    """One after another."""
    with clients.ApiClient(configuration(url)) as client:
        return [outcome(lambda call=call: made(client, call)) for call in calls]  # type: ignore[misc]


def threaded(url: str, calls: list[Call]) -> list[dict[str, Any]]:
    """All at once, in threads of the library."""
    client = clients.ThreadedApiClient(configuration(url))
    try:
        started = [made(client, call) for call in calls]
        return [outcome(result.get) for result in started]
    finally:
        client.close()


def asynchronous(url: str, calls: list[Call]) -> list[dict[str, Any]]:
    """All at once, on a loop."""

    async def one(client: Any, call: Call) -> dict[str, Any]:
        try:
            given = await made(client, call)
        except Exception as error:  # each is an outcome
            return refused(error)
        return {"status": given.status_code, "data": given.data}

    async def together() -> list[dict[str, Any]]:
        async with clients.AsyncApiClient(configuration(url)) as client:
            return list(await asyncio.gather(*(one(client, call) for call in calls)))

    return asyncio.run(together())


CLIENTS = {"synchronous": synchronous, "threaded": threaded, "asynchronous": asynchronous}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(CLIENTS[sys.argv[2]](sys.argv[1], json.loads(line))), flush=True)
