"""An API server that holds one large cluster: `python -m tests.bench.kube.server GPUS PODS EVENTS`.

It tells its address on stdout. Pages are made while they are sent. Watches are silent, but the one of pods sends
EVENTS changes, as fast as they are taken.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator

import msgspec
from aiohttp import web

from tests.bench.kube import objects

VERSION = 10_000_000
BATCH = 64


class LargeCluster:
    """Its first pods ask for GPUs, two for each GPU; the others stand beside."""

    def __init__(self, gpus: int, pods: int, events: int) -> None:
        self.nodes = gpus // objects.EACH
        self.pods, self.gpu_pods, self.events = pods, min(pods, gpus * len(objects.SHARES)), events
        self.kinds: dict[str, tuple[int, Callable[[int], bytes]]] = {
            "pods": (pods, self.pod),
            "resourceclaims": (self.gpu_pods, self.claim),
            "nodes": (self.nodes, lambda i: msgspec.json.encode(objects.node(f"node-{i:05}", i + 1))),
            "gpunodes": (self.nodes, lambda i: msgspec.json.encode(objects.gpu_node(f"node-{i:05}", i + 1))),
            "projects": (objects.PROJECTS, lambda i: msgspec.json.encode(objects.project(f"team-{i}", i + 1))),
        }

    def pod(self, i: int, version: int | None = None) -> bytes:
        gpu = i < self.gpu_pods
        return objects.filled(
            objects.pod(gpu=gpu),
            name=f"training-{i}",
            namespace=f"team-{i % objects.PROJECTS}",
            uid=f"pod-{i:032}",
            version=version or i + 1,
            node=f"node-{(i // len(objects.SHARES) // objects.EACH if gpu else i) % self.nodes:05}",
            claim=f"training-{i}-migctl",
        )

    def claim(self, i: int) -> bytes:
        gpu = i // len(objects.SHARES)
        node = f"node-{gpu // objects.EACH:05}"
        return objects.filled(
            objects.claim(i % len(objects.SHARES)),
            name=f"training-{i}-migctl",
            namespace=f"team-{i % objects.PROJECTS}",
            uid=f"claim-{i:030}",
            version=i + 1,
            node=node,
            gpu=f"GPU-{node}-{gpu % objects.EACH}",
            pod=f"training-{i}",
            pod_uid=f"pod-{i:032}",
        )

    def page(self, plural: str, start: int, limit: int) -> bytes:
        count, make = self.kinds.get(plural, (0, bytes))
        end = min(count, start + limit)
        more = {"continue": str(end)} if end < count else {}
        head = msgspec.json.encode({"resourceVersion": str(VERSION), **more})
        return b'{"metadata":' + head + b',"items":[' + b",".join(map(make, range(start, end))) + b"]}"

    def changes(self) -> Iterator[bytes]:
        """Events in batches, as a busy server sends them."""
        for start in range(0, self.events, BATCH):
            events = range(start, min(self.events, start + BATCH))
            yield b"".join(
                b'{"type":"MODIFIED","object":' + self.pod(i % self.pods, VERSION + i + 1) + b"}\n" for i in events
            )

    async def answer(self, request: web.Request) -> web.StreamResponse:
        plural = request.path.rsplit("/", 1)[-1]
        if request.method != "GET" or plural == "migctl-controller":
            raise web.HTTPForbidden(text='{"kind":"Status","message":"this cluster does not change","code":403}')
        if "watch" not in request.query:
            start, limit = int(request.query.get("continue", 0)), int(request.query["limit"])
            return web.Response(body=self.page(plural, start, limit), content_type="application/json")
        response = web.StreamResponse()
        await response.prepare(request)
        if plural == "pods":
            for batch in self.changes():
                await response.write(batch)
        await asyncio.sleep(3600)
        return response


async def serve(cluster: LargeCluster) -> None:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", cluster.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    print(f"http://{host}:{port}", flush=True)
    await asyncio.sleep(3600)


if __name__ == "__main__":
    asyncio.run(serve(LargeCluster(*map(int, sys.argv[1:]))))
