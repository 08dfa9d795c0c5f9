"""Software fractions on a real NVIDIA GPU: what programs and frameworks see, get and leave to their neighbours.

Takes at most three shares of 4 GiB, by plain allocations. Skipped, and says so, without a GPU or a framework.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from migctl.embedded import one_shot
from nodeagent.journal.records import Hold
from nodeagent.nvml import LibraryMissing, Nvml
from nodeagent.shares.driver_limits import DriverLimits
from nodeagent.shim import libraries, placing
from nodeagent.shim.build import BuildError, build_all
from nodeagent.shim.libraries import Libraries, MissingLibraries
from nodeagent.shim.limits import GpuLimit
from solver.model.cluster import Backing
from solver.model.demand import DeviceShare
from tests.nodeagent.machines import at_once

MIB = 1 << 20
SHARE = 4096 * MIB
CONTEXT = 512 * MIB
STEP_OVERHEAD = 0.005

FILL = """
import ctypes
cuda = ctypes.CDLL("libcuda.so.1")
device, context, pointer = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
assert cuda.cuInit(0) == 0 and cuda.cuDeviceGet(ctypes.byref(device), 0) == 0
assert cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device) == 0
assert cuda.cuCtxSetCurrent(context) == 0
held = 0
while (code := cuda.cuMemAlloc_v2(ctypes.byref(pointer), ctypes.c_size_t(64 << 20))) == 0:
    held += 64
print(held, code)
"""

TORCH_FILL = """
import torch
held = []
try:
    while True:
        held.append(torch.empty(64 << 20, dtype=torch.uint8, device="cuda"))
except torch.OutOfMemoryError:
    print(len(held) * 64, torch.cuda.mem_get_info()[1])
"""

TORCH_STEPS = """
import statistics, sys, time, torch
model = torch.nn.Sequential(*[torch.nn.Linear(2048, 2048) for _ in range(8)]).cuda()
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
batch = torch.randn(512, 2048, device="cuda")
def step():
    optimizer.zero_grad(set_to_none=True)
    model(batch).square().mean().backward()
    optimizer.step()
if "compile" in sys.argv:
    step = torch.compile(step)
for _ in range(20):
    step()
if "graph" in sys.argv:
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        out = model(batch)
    step = graph.replay
times = []
for _ in range(20):
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(20):
        step()
    torch.cuda.synchronize()
    times.append((time.perf_counter() - start) / 20)
print(statistics.median(times))
"""

CUPY_FILL = """
import cupy
held = []
try:
    while True:
        held.append(cupy.empty(64 << 20, dtype=cupy.uint8))
except cupy.cuda.memory.OutOfMemoryError:
    print(len(held) * 64, cupy.cuda.runtime.memGetInfo()[1])
"""

JAX_LIMIT = """
import jax
jax.numpy.ones(8).block_until_ready()
print(jax.local_devices()[0].memory_stats()["bytes_limit"])
"""


@pytest.fixture(scope="module")
def gpu() -> str:
    try:
        nvml = Nvml()
    except LibraryMissing as e:
        pytest.skip(f"no NVIDIA GPU here: {e}")
    gpu_info = nvml.gpu(0)
    nvml.close()
    if gpu_info.memory_mib * MIB < 3 * SHARE:
        pytest.skip(f"{gpu_info.name} has less than three shares of {SHARE // MIB} MiB")
    return gpu_info.uuid


@pytest.fixture(scope="module")
def pair(gpu: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Libraries, Libraries]:
    """Our libraries, newly compiled, and the driver's."""
    folder = tmp_path_factory.mktemp("libraries")
    try:
        build_all(folder)
        return libraries.ours(folder), libraries.drivers()
    except (BuildError, MissingLibraries) as e:
        pytest.skip(str(e))


@pytest.fixture
def shares(gpu: str, pair: tuple[Libraries, Libraries], tmp_path: Path) -> list[dict[str, str]]:
    """The environments of three shares of the same GPU."""
    made = []
    for number in range(3):
        folder = tmp_path / f"share-{number}"
        placing.place(folder, [GpuLimit(gpu, SHARE, CONTEXT)], *pair)
        made.append({**outside(gpu), **placing.environment(folder, os.environ)})
    return made


def outside(gpu: str) -> dict[str, str]:
    return {**os.environ, "CUDA_VISIBLE_DEVICES": gpu}


def start(code: str, environment: dict[str, str], *words: str, **more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *words]
    return subprocess.Popen(command, env={**environment, **more}, stdout=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> list[str]:
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    return said.split()


def run(code: str, environment: dict[str, str], *words: str, **more: str) -> list[str]:
    return finish(start(code, environment, *words, **more))


def need(framework: str) -> None:
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed here")


def test_plain_allocations_end_at_the_share(shares: list[dict[str, str]]) -> None:
    assert run(FILL, shares[0]) == [str((SHARE - CONTEXT) // MIB), "2"]


def test_nvidia_smi_shows_the_share(shares: list[dict[str, str]], gpu: str) -> None:
    if shutil.which("nvidia-smi") is None:
        pytest.skip("there is a driver, but no nvidia-smi")
    query = ["nvidia-smi", "-i", gpu, "--query-gpu=memory.total,memory.used", "--format=csv,noheader,nounits"]
    done = subprocess.run(query, env=shares[0], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [f"{SHARE // MIB},", "0"]


def test_pynvml_shows_the_share(shares: list[dict[str, str]], gpu: str) -> None:
    code = (
        f"import pynvml as n\nn.nvmlInit()\nd = n.nvmlDeviceGetHandleByUUID({gpu!r})\n"
        "print(n.nvmlDeviceGetMemoryInfo(d).total, n.nvmlDeviceGetMemoryInfo(d, version=n.nvmlMemory_v2).total)"
    )
    assert run(code, shares[0]) == [str(SHARE)] * 2


def test_three_programs_fill_their_shares_and_none_takes_anothers(shares: list[dict[str, str]]) -> None:
    running = [start(FILL, share) for share in shares]
    assert [finish(process) for process in running] == [[str((SHARE - CONTEXT) // MIB), "2"]] * 3


@pytest.mark.parametrize("allocator", ["", "expandable_segments:True", "backend:cudaMallocAsync"])
def test_torch_runs_out_of_memory_at_the_share(shares: list[dict[str, str]], allocator: str) -> None:
    need("torch")
    more = {"PYTORCH_CUDA_ALLOC_CONF": allocator} if allocator else {}
    held, total = map(int, run(TORCH_FILL, shares[0], **more))
    assert total == SHARE
    assert SHARE - CONTEXT - 256 * MIB <= held * MIB <= SHARE - CONTEXT


@pytest.mark.parametrize("mode", ["eager", "compile", "graph"])
def test_torch_trains_beside_a_neighbour_that_fills_its_share(shares: list[dict[str, str]], mode: str) -> None:
    need("torch")
    training, greedy = start(TORCH_STEPS, shares[0], mode), start(TORCH_FILL, shares[1])
    assert int(finish(greedy)[1]) == SHARE
    assert float(finish(training)[0]) > 0


def test_a_training_step_costs_no_more_inside_a_share(
    shares: list[dict[str, str]], gpu: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Alternating runs; the noise is what runs without a share differ among themselves."""
    need("torch")
    pairs = [(float(run(TORCH_STEPS, outside(gpu))[0]), float(run(TORCH_STEPS, shares[0])[0])) for _ in range(5)]
    native = statistics.median(without for without, _ in pairs)
    overhead = statistics.median(inside / without - 1 for without, inside in pairs)
    noise = (max(without for without, _ in pairs) - min(without for without, _ in pairs)) / native
    with capsys.disabled():
        print(f"\nBENCH fraction step_ms={native * 1e3:.3f} overhead={overhead:.4%} noise={noise:.4%}")
    assert overhead <= STEP_OVERHEAD + noise


def test_cupy_runs_out_of_memory_at_the_share(shares: list[dict[str, str]]) -> None:
    need("cupy")
    held, total = map(int, run(CUPY_FILL, shares[0]))
    assert total == SHARE
    assert held * MIB <= SHARE - CONTEXT


def test_jax_sizes_its_pool_by_the_share(shares: list[dict[str, str]]) -> None:
    need("jax")
    assert int(run(JAX_LIMIT, shares[0])[0]) < SHARE


def test_three_trainings_run_side_by_side(shares: list[dict[str, str]]) -> None:
    need("torch")
    running = [start(TORCH_STEPS, share) for share in shares]
    assert all(float(finish(process)[0]) > 0 for process in running)


def test_memory_that_grows_with_the_stream_ends_at_the_share(shares: list[dict[str, str]]) -> None:
    need("cupy")
    stream_ordered = "import cupy\ncupy.cuda.set_allocator(cupy.cuda.MemoryAsyncPool().malloc)\n" + CUPY_FILL
    held, total = map(int, run(stream_ordered, shares[0]))
    assert total == SHARE
    assert held * MIB <= SHARE - CONTEXT


def test_run_bounds_a_command_without_a_daemon(
    gpu: str, pair: tuple[Libraries, Libraries], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, _ = pair
    monkeypatch.setattr(libraries, "ours", lambda: ours)
    nvml = Nvml()
    total = nvml.gpu(0).memory_mib
    nvml.close()
    said: list[str] = []
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "MIGCTL_HOME": str(tmp_path)}
    wanted = one_shot.ShareRequest(mib=SHARE // MIB, gpu=gpu)
    script = f"exec {shlex.quote(sys.executable)} -c {shlex.quote(FILL)} > {tmp_path}/out"
    assert one_shot.run(wanted, ["sh", "-c", script], environment, said.append) == 0
    held, code = (tmp_path / "out").read_text().split()
    assert code == "2"
    assert 0 < int(held) <= (SHARE - CONTEXT) // MIB
    assert f"{SHARE // MIB} of {total} MiB" in said[0]


def test_the_driver_says_whether_it_can_limit_a_cgroup(gpu: str) -> None:
    nvml = Nvml()
    if not nvml.limits_memory(gpu):
        pytest.skip(f"driver {nvml.driver_version()} cannot limit a cgroup's GPU memory: R615 can")
    limits = DriverLimits(nvml, lambda pid: "claim", host_processes=True)
    hold = Hold("claim", "test", DeviceShare(gpu, Backing.SOFTWARE, 0.1, SHARE // MIB), gpu, 1)
    assert limits.is_supported(gpu)
    cgroup = limits.prepare("claim", [hold], at_once, fresh=True)
    if cgroup is None:
        pytest.skip("the driver can limit a cgroup, and this user may not: run it as root")
    try:
        assert nvml.memory_limit(gpu, cgroup).hard == SHARE
    finally:
        limits.remove("claim", at_once)
    assert not cgroup.exists()
