/* Launches wait for the workload's turn, where the agent gave it one: a part of every window of the machine's clock, so
 * that the turns of one GPU's workloads need not overlap. Only in the gated library; without it, and for a workload
 * without a turn, launches are the driver's own. Approximate: what was launched in a turn may run on after it. */
#define _GNU_SOURCE
#include "contexts.h"
#include "accounting/devices.h"
#include "driver/driver.h"
#include "accounting/ledger.h"

#include <time.h>

enum { WINDOW_NS = 100000000, PART_NS = WINDOW_NS / 1000 };

/* Nanoseconds until the turn begins; 0: it is on. */
static long wait_ns(struct turn turn)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long at = now.tv_nsec % WINDOW_NS, begin = (long)turn.start * PART_NS, end = begin + (long)turn.length * PART_NS;
    if (at >= begin && at < end)
        return 0;
    return at < begin ? begin - at : WINDOW_NS - at + begin;
}

/* What a stream records is not run, and waiting there would hold up a capture for nothing. */
static bool is_recording(CUstream stream)
{
    int status;
    return DRIVER(cuStreamIsCapturing)(stream, &status) == CUDA_SUCCESS && status != 0;
}

/* One window at most: a turn that moves meanwhile starves nobody. */
static void wait_for_turn(CUstream stream)
{
    CUdevice device;
    uint64_t owner;
    if (!contexts_current(&device, &owner))
        return;
    struct turn turn = ledger_turn(device_gpu(device));
    long wait = turn.length ? wait_ns(turn) : 0;
    if (wait > 0 && !is_recording(stream))
        nanosleep(&(struct timespec){.tv_nsec = wait}, NULL);
}

#define LAUNCHES(name, parameters, arguments, stream) \
    CUresult name parameters \
    { \
        wait_for_turn(stream); \
        return DRIVER(name) arguments; \
    }
#define SHAPE \
    CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, \
        CUstream stream, void **given
#define SHAPED function, gx, gy, gz, bx, by, bz, shared, stream, given
#define CONFIGURED (const CUlaunchConfig *how, CUfunction function, void **given, void **extra)
#define HOW (how ? how->stream : NULL)
LAUNCHES(cuLaunchKernel, (SHAPE, void **extra), (SHAPED, extra), stream)
LAUNCHES(cuLaunchKernel_ptsz, (SHAPE, void **extra), (SHAPED, extra), stream)
LAUNCHES(cuLaunchKernelEx, CONFIGURED, (how, function, given, extra), HOW)
LAUNCHES(cuLaunchKernelEx_ptsz, CONFIGURED, (how, function, given, extra), HOW)
LAUNCHES(cuLaunchCooperativeKernel, (SHAPE), (SHAPED), stream)
LAUNCHES(cuLaunchCooperativeKernel_ptsz, (SHAPE), (SHAPED), stream)
LAUNCHES(cuGraphLaunch, (CUgraphExec graph, CUstream stream), (graph, stream), stream)
LAUNCHES(cuGraphLaunch_ptsz, (CUgraphExec graph, CUstream stream), (graph, stream), stream)
