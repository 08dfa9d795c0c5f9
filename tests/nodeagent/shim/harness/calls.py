"""Names for the driver calls that tests make: each returns the result code, outs are in `program.last_out`."""

from __future__ import annotations

import struct

from tests.nodeagent.shim.harness.machine import MIB, Program

UNTOUCHED = 0xFEEDFACECAFEBEEF
PER_THREAD = 2
DEVICE, HOST = 1, 2
UINT8, FLOAT = 0x01, 0x20
LAYERED, SPARSE = 0x01, 0x40
CHUNK = 32 * MIB  # a pool's unit of growth
RESERVED = 5  # pool attribute


def flat(width: int, height: int = 0, form: int = UINT8, channels: int = 1) -> dict[str, str]:
    """A CUDA_ARRAY_DESCRIPTOR."""
    return {"bytes": struct.pack("=QQiI", width, height, form, channels).hex()}


def flat_v1(width: int, height: int = 0, form: int = UINT8, channels: int = 1) -> dict[str, str]:
    return {"bytes": struct.pack("=IIiI", width, height, form, channels).hex()}


def solid(w: int, h: int = 0, d: int = 0, form: int = UINT8, channels: int = 1, flags: int = 0) -> dict[str, str]:
    """A CUDA_ARRAY3D_DESCRIPTOR."""
    return {"bytes": struct.pack("=QQQiIIi", w, h, d, form, channels, flags, 0).hex()}


def solid_v1(w: int, h: int = 0, d: int = 0, form: int = UINT8, channels: int = 1, flags: int = 0) -> dict[str, str]:
    return {"bytes": struct.pack("=IIIiII", w, h, d, form, channels, flags).hex()}


def where(device: int, kind: int = DEVICE) -> dict[str, str]:
    """A CUmemAllocationProp or CUmemPoolProps: pinned memory of a device."""
    return {"bytes": struct.pack("=iiii72x", 1, 0, kind, device).hex()}


def create(program: Program, size: int, device: int = 0, kind: int = DEVICE) -> int:
    return program.call("cuMemCreate", "out", size, where(device, kind), 0)


def make_pool(program: Program, device: int = 0, kind: int = DEVICE) -> int:
    return program.ok("cuMemPoolCreate", "out", where(device, kind))


def reserved(program: Program, pool: int) -> int:
    return program.ok("cuMemPoolGetAttribute", pool, RESERVED, "out")


def free_and_total(program: Program) -> tuple[int, int]:
    """CuMemGetInfo."""
    program.ok("cuMemGetInfo_v2", "out", "out")
    free, total = program.last_out
    return free, total
