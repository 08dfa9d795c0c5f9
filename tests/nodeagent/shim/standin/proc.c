/* cuGetProcAddress of the stand-in driver: by name, version and per-thread flag. */
#define _GNU_SOURCE
#include "cuda.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/* Name, first CUDA version that means it, suffix of the exported symbol. The newest that is old enough wins. */
static const struct { const char *name; int version; const char *suffix; } versions[] = {
    {"cuMemAlloc", 2000, ""}, {"cuMemAlloc", 3020, "_v2"},
    {"cuMemAllocPitch", 2000, ""}, {"cuMemAllocPitch", 3020, "_v2"},
    {"cuMemFree", 2000, ""}, {"cuMemFree", 3020, "_v2"},
    {"cuMemGetInfo", 2000, ""}, {"cuMemGetInfo", 3020, "_v2"},
    {"cuDeviceTotalMem", 2000, ""}, {"cuDeviceTotalMem", 3020, "_v2"},
    {"cuArrayCreate", 2000, ""}, {"cuArrayCreate", 3020, "_v2"},
    {"cuArray3DCreate", 2000, ""}, {"cuArray3DCreate", 3020, "_v2"},
    {"cuCtxCreate", 2000, ""}, {"cuCtxCreate", 3020, "_v2"}, {"cuCtxCreate", 11040, "_v3"}, {"cuCtxCreate", 12050, "_v4"},
    {"cuCtxDestroy", 2000, ""}, {"cuCtxDestroy", 4000, "_v2"},
    {"cuDevicePrimaryCtxRelease", 7000, ""}, {"cuDevicePrimaryCtxRelease", 11000, "_v2"},
    {"cuDevicePrimaryCtxReset", 7000, ""}, {"cuDevicePrimaryCtxReset", 11000, "_v2"},
    {"cuDeviceGetUuid", 9020, ""}, {"cuDeviceGetUuid", 11040, "_v2"},
    {"cuGetProcAddress", 11030, ""}, {"cuGetProcAddress", 12000, "_v2"},
    {"cuMemAllocAsync", 11020, ""}, {"cuMemFreeAsync", 11020, ""}, {"cuMemAllocFromPoolAsync", 11020, ""},
    {"cuStreamSynchronize", 2000, ""}, {"cuLaunchKernel", 4000, ""}, {"cuLaunchKernelEx", 11060, ""},
    {"cuLaunchCooperativeKernel", 9000, ""}, {"cuGraphLaunch", 10000, ""},
};
static const char *const per_thread[] = {
    "cuMemAllocAsync", "cuMemFreeAsync", "cuMemAllocFromPoolAsync", "cuStreamSynchronize", "cuLaunchKernel",
    "cuLaunchKernelEx", "cuLaunchCooperativeKernel", "cuGraphLaunch",
};

static void *exported(const char *name, const char *suffix)
{
    char symbol[128];
    Dl_info own;
    snprintf(symbol, sizeof symbol, "%s%s", name, suffix);
    dladdr((void *)exported, &own);
    void *handle = dlopen(own.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    return dlsym(handle, symbol);
}

static CUresult find(const char *name, void **function, int version, unsigned long long flags)
{
    const char *suffix = NULL;
    bool listed = false;
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++)
        if (strcmp(versions[i].name, name) == 0) {
            listed = true;
            if (versions[i].version <= version)
                suffix = versions[i].suffix;
        }
    for (size_t i = 0; flags == 2 && suffix && i < sizeof per_thread / sizeof *per_thread; i++)
        if (strcmp(per_thread[i], name) == 0)
            suffix = "_ptsz";
    *function = listed && !suffix ? NULL : exported(name, suffix ? suffix : "");
    return *function ? SUCCESS : NOT_FOUND;
}

API cuGetProcAddress(const char *name, void **function, int version, unsigned long long flags)
{
    CALLED;
    return find(name, function, version, flags);
}

API cuGetProcAddress_v2(const char *name, void **function, int version, unsigned long long flags, int *status)
{
    CALLED;
    CUresult result = find(name, function, version, flags);
    if (status)
        *status = result ? 1 : 0;
    return result;
}
