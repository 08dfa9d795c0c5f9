"""A program that uses CUDA: it calls what it is told to, line by line. Runs with nothing but the standard library.

In: {"call": NAME or number of a resolved function, "args": [...]}, {"resolve": NAME, "version", "flags", "by"},
{"load": another library}, {"fork": [requests]}, {"spawn": [words]}, {"linger"}, {"close" or "replace": file name whose
descriptors are closed or turned to /dev/null}. Arguments: a number, null, "out" (8 bytes that
the call fills), {"bytes": hex} (a buffer), {"text": string}. Out: {"code": result, "out": [numbers], "buffers": [hex]}.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
from typing import Any

UNTOUCHED = 0xFEEDFACECAFEBEEF


class DlInfo(ctypes.Structure):
    _fields_ = (
        ("file", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
    )


class Client:
    def __init__(self, library: str, mode: int) -> None:
        self.library = ctypes.CDLL(library, mode=mode)
        self.resolved: list[Any] = []

    def serve(self, request: dict[str, Any]) -> dict[str, Any]:
        if "call" in request:
            return self.call(request["call"], request["args"])
        if "resolve" in request:
            return self.resolve(request["resolve"], request["version"], request["flags"], request["by"])
        if "load" in request:
            self.library = ctypes.CDLL(request["load"])
            return {}
        if "fork" in request:
            return self.fork(request["fork"])
        if "spawn" in request:
            return {"pid": os.posix_spawnp(request["spawn"][0], request["spawn"], os.environ)}
        if "linger" in request:
            return {"pid": linger()}
        if "replace" in request:
            (number,) = descriptors(request["replace"])
            os.dup2(os.open(os.devnull, os.O_RDONLY), number)
            return {"number": number}
        found = descriptors(request["close"])
        for number in found:
            os.close(number)
        return {"closed": len(found)}

    def call(self, function: str | int, arguments: list[Any]) -> dict[str, Any]:
        outs: list[ctypes.c_uint64] = []
        buffers: list[ctypes.Array[ctypes.c_char]] = []
        target = self.resolved[function] if isinstance(function, int) else self.library[function]
        code = target(*(self.argument(value, outs, buffers) for value in arguments))
        return {"code": code, "out": [out.value for out in outs], "buffers": [b.raw.hex() for b in buffers]}

    def argument(self, value: Any, outs: list[ctypes.c_uint64], buffers: list[ctypes.Array[ctypes.c_char]]) -> Any:
        if isinstance(value, int):
            return ctypes.c_uint64(value)
        if value == "out":
            outs.append(ctypes.c_uint64(UNTOUCHED))
            return ctypes.byref(outs[-1])
        if value is None:
            return None
        if "text" in value:
            return ctypes.c_char_p(value["text"].encode())
        content = bytes.fromhex(value["bytes"])
        buffers.append(ctypes.create_string_buffer(content, len(content)))
        return buffers[-1]

    def resolve(self, name: str, version: int, flags: int, by: str) -> dict[str, Any]:
        """By `cuGetProcAddress(_v2)`, or by dlsym. Says in which file the function lies and what it is called there."""
        pointer = ctypes.c_void_p()
        if by == "dlsym":
            pointer.value = ctypes.cast(self.library[name], ctypes.c_void_p).value
            code = 0
        else:
            more = (ctypes.byref(ctypes.c_int()),) if by.endswith("_v2") else ()
            code = self.library[by](
                name.encode(), ctypes.byref(pointer), ctypes.c_int(version), ctypes.c_uint64(flags), *more
            )
        if code or not pointer.value:
            return {"code": code}
        info = DlInfo()
        ctypes.CDLL(None).dladdr(pointer, ctypes.byref(info))
        self.resolved.append(self.library._FuncPtr(pointer.value))
        return {"code": 0, "number": len(self.resolved) - 1, "file": info.file.decode(), "name": info.name.decode()}

    def fork(self, requests: list[dict[str, Any]]) -> dict[str, Any]:
        """What a forked child gets for these requests."""
        reading, writing = os.pipe()
        if (child := os.fork()) == 0:
            os.write(writing, json.dumps([self.serve(request) for request in requests]).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            answer = json.loads(pipe.read())
        os.waitpid(child, 0)
        return {"answers": answer}


def descriptors(name: str) -> list[int]:
    """The open descriptors of a file of that name."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.path.basename(os.readlink(f"/proc/self/fd/{number}")) == name:
                found.append(int(number))
    return found


def linger() -> int:
    """A forked child that does nothing until it is killed; its pid."""
    if (child := os.fork()) == 0:
        signal.pause()
    return child


def main() -> None:
    client = Client(sys.argv[1], int(sys.argv[2]))
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(client.serve(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
