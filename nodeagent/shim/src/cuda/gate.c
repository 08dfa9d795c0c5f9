/* Launches wait for the workload's time slice, where the agent set one: a part of every period of the machine's clock,
 * so that the time slices of one GPU's workloads need not overlap. Only in the gated library; without it, and for a
 * workload without a time slice, launches are the driver's own. Approximate: kernels launched in a time slice may run
 * on after it. */
#define _GNU_SOURCE
#include "contexts.h"
#include "accounting/devices.h"
#include "driver/driver.h"
#include "accounting/ledger.h"

#include <time.h>

enum { PERIOD_NS = 100000000, PART_NS = PERIOD_NS / 1000 };

/* Nanoseconds until the time slice begins; 0: it is on. */
static long wait_ns(struct time_slice slice)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long at = now.tv_nsec % PERIOD_NS, begin = (long)slice.start * PART_NS, end = begin + (long)slice.length * PART_NS;
    if (at >= begin && at < end)
        return 0;
    return at < begin ? begin - at : PERIOD_NS - at + begin;
}

/* What a stream records is not run, and waiting there would hold up a capture for nothing. */
static bool is_recording(CUstream stream)
{
    int status;
    return DRIVER(cuStreamIsCapturing)(stream, &status) == CUDA_SUCCESS && status != 0;
}

/* One period at most: a time slice that moves meanwhile starves nobody. */
static void wait_for_slice(CUstream stream)
{
    CUdevice device;
    uint64_t owner;
    if (!contexts_current(&device, &owner))
        return;
    struct time_slice slice = ledger_time_slice(device_gpu(device));
    long wait = slice.length ? wait_ns(slice) : 0;
    if (wait > 0 && !is_recording(stream))
        nanosleep(&(struct timespec){.tv_nsec = wait}, NULL);
}

#define LAUNCHES(name, parameters, arguments, stream) \
    CUresult name parameters \
    { \
        wait_for_slice(stream); \
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
