/* libnvidia-ml of the stand-in: real numbers of the whole GPU, and everybody's processes. */
#include "machine.h"

#include <stdio.h>
#include <string.h>

#define API __attribute__((visibility("default"))) int
typedef struct { unsigned long long total, free, used; } memory;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory_v2;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } process;
typedef struct { unsigned pid; unsigned long long used; } process_v1;

static int index_of(const void *device) { return (int)((uintptr_t)device - 1); }

API nvmlInit_v2(void) { return machine() ? 0 : 9; }
API nvmlInitWithFlags(unsigned flags) { (void)flags; return nvmlInit_v2(); }
API nvmlShutdown(void) { return 0; }
API nvmlDeviceGetCount_v2(unsigned *count) { *count = machine()->devices; return 0; }

API nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device)
{
    *device = (void *)(uintptr_t)(index + 1);
    return index < machine()->devices ? 0 : 2;
}

/* What an agent asks besides: a board without MIG. */
API nvmlSystemGetDriverVersion(char *text, unsigned size) { return snprintf(text, size, "580.159.04") < 0; }
API nvmlDeviceGetName(void *device, char *text, unsigned size)
{
    (void)device;
    return snprintf(text, size, "Tesla V100-SXM2-16GB") < 0;
}
API nvmlDeviceGetMinorNumber(void *device, unsigned *minor) { *minor = (unsigned)index_of(device); return 0; }
API nvmlDeviceGetArchitecture(void *device, unsigned *volta) { (void)device; *volta = 5; return 0; }
API nvmlDeviceGetPciInfo_v3(void *device, void *into)
{
    memset(into, 0, 68);
    snprintf((char *)into + 36, 32, "00000000:%02X:00.0", index_of(device) + 7);
    return 0;
}
API nvmlDeviceGetMigMode(void *device, unsigned *now, unsigned *then) { (void)device, (void)now, (void)then; return 3; }
API nvmlDeviceGetGpuInstanceProfileInfoV(void *device, unsigned profile, void *into)
{
    (void)device, (void)profile, (void)into;
    return 3;
}
API nvmlDeviceGetGraphicsRunningProcesses_v3(void *device, unsigned *count, void *into)
{
    (void)device, (void)into;
    *count = 0;
    return 0;
}

API nvmlDeviceGetUUID(void *device, char *text, unsigned size)
{
    const unsigned char *u = machine()->uuid[index_of(device)];
    snprintf(text, size, "GPU-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1], u[2], u[3],
             u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
    return 0;
}

API nvmlDeviceGetHandleByUUID(const char *wanted, void **device)
{
    char text[48];
    for (unsigned i = 0; i < machine()->devices; i++) {
        *device = (void *)(uintptr_t)(i + 1);
        nvmlDeviceGetUUID(*device, text, sizeof text);
        if (strcmp(text, wanted) == 0)
            return 0;
    }
    return 6;
}

API nvmlDeviceGetMemoryInfo(void *device, memory *into)
{
    uint64_t used = machine_truth(index_of(device)), total = machine()->total[index_of(device)];
    *into = (memory){total, total - used, used};
    return 0;
}

API nvmlDeviceGetMemoryInfo_v2(void *device, memory_v2 *into)
{
    uint64_t used = machine_truth(index_of(device)), total = machine()->total[index_of(device)];
    *into = (memory_v2){into->version, total, 1 << 20, total - used - (1 << 20), used};
    return 0;
}

#define PROCESSES(name, type) \
    API name(void *device, unsigned *count, type *into) \
    { \
        unsigned room = *count, found = 0; \
        for (int i = 0; i < ENTRIES; i++) \
            if (machine()->entry[i].pid && machine()->entry[i].bytes[index_of(device)] && found++ < room) \
                into[found - 1] = (type){.pid = (unsigned)machine()->entry[i].pid, \
                                         .used = machine()->entry[i].bytes[index_of(device)]}; \
        *count = found; \
        return found > room ? 7 : 0; \
    }
PROCESSES(nvmlDeviceGetComputeRunningProcesses, process_v1)
PROCESSES(nvmlDeviceGetComputeRunningProcesses_v2, process)
PROCESSES(nvmlDeviceGetComputeRunningProcesses_v3, process)
