/* libnvidia-ml.so.1: the numbers that nvidia-smi and pynvml get. Where the share cannot be read, they are the driver's. */
#define _GNU_SOURCE
#include "base/limits.h"
#include "driver/driver.h"
#include "region/region.h"
#include "region/region_lock.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int nvmlReturn_t;
typedef struct nvmlDevice_st *nvmlDevice_t;
typedef struct { unsigned long long total, free, used; } nvmlMemory_t;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } nvmlMemory_v2_t;

enum { NVML_SUCCESS = 0, NVML_ERROR_FUNCTION_NOT_FOUND = 13, UUID_SIZE = 96 };

#define NVML_SYMBOLS(F, Q) \
    F(nvmlDeviceGetMemoryInfo, (nvmlDevice_t, nvmlMemory_t *)) \
    F(nvmlDeviceGetMemoryInfo_v2, (nvmlDevice_t, nvmlMemory_v2_t *)) \
    F(nvmlDeviceGetComputeRunningProcesses, (nvmlDevice_t, unsigned *, void *)) \
    F(nvmlDeviceGetComputeRunningProcesses_v2, (nvmlDevice_t, unsigned *, void *)) \
    F(nvmlDeviceGetComputeRunningProcesses_v3, (nvmlDevice_t, unsigned *, void *)) \
    Q(nvmlDeviceGetUUID, (nvmlDevice_t, char *, unsigned))

#define NUMBER(name, parameters) AT_##name,
enum { NVML_SYMBOLS(NUMBER, NUMBER) };
#define TYPE(name, parameters) typedef nvmlReturn_t name##_type parameters;
NVML_SYMBOLS(TYPE, TYPE)
#define DEFINED_HERE(name, parameters) __attribute__((visibility("default"))) name##_type name;
#define NOTHING(name, parameters)
NVML_SYMBOLS(DEFINED_HERE, NOTHING)

const char driver_library[] = SHIM_DRIVER;
#define ENTRY(name, parameters) {#name, NULL, NULL},
struct symbol driver_symbols[] = {NVML_SYMBOLS(ENTRY, ENTRY)};

int driver_function_missing(void)
{
    return NVML_ERROR_FUNCTION_NOT_FOUND;
}

static int row_of(nvmlDevice_t device)
{
    char text[UUID_SIZE];
    const char *cursor = text;
    unsigned char uuid[16];
    limits_get();
    if (DRIVER(nvmlDeviceGetUUID)(device, text, sizeof text) != NVML_SUCCESS || !limits_parse_uuid(&cursor, uuid))
        return -1;
    return limits_find(uuid);
}

/* A copy of the region as it is, without the slots of the dead; NULL: there are none. */
static struct region *read_region(void)
{
    struct region *accounts = malloc(sizeof *accounts);
    int fd = open(limits_get()->region, O_RDONLY | O_CLOEXEC);
    bool whole = accounts && fd >= 0 && read(fd, accounts, sizeof *accounts) == sizeof *accounts
                 && memcmp(accounts->magic, REGION_MAGIC, sizeof accounts->magic) == 0;
    for (unsigned i = 0; whole && i < SLOTS; i++)
        if (accounts->slot[i].token && !region_slot_is_held(fd, i))
            region_clear_slot(&accounts->slot[i]);
    if (fd >= 0)
        close(fd);
    if (whole)
        return accounts;
    free(accounts);
    return NULL;
}

static uint64_t used(const struct region *accounts, int row)
{
    uint64_t context = accounts->gpu[row].context ? accounts->gpu[row].context : limits_get()->gpu[row].context;
    uint64_t total = limits_get()->gpu[row].reserved;
    for (unsigned i = 0; i < SLOTS; i++)
        if (accounts->slot[i].token)
            total += accounts->slot[i].gpu[row].bytes + accounts->slot[i].gpu[row].contexts * context;
    return total;
}

struct view { uint64_t total, free, used; };

/* The share in place of the GPU; false: the real numbers stand. */
static bool share_of(nvmlDevice_t device, uint64_t really_free, struct view *view)
{
    int row = row_of(device);
    struct region *accounts = row < 0 ? NULL : read_region();
    if (!accounts)
        return false;
    view->total = limits_get()->gpu[row].memory;
    view->used = used(accounts, row);
    free(accounts);
    if (view->used > view->total)
        view->used = view->total;
    view->free = view->total - view->used < really_free ? view->total - view->used : really_free;
    return true;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory)
{
    struct view view;
    nvmlReturn_t result = DRIVER(nvmlDeviceGetMemoryInfo)(device, memory);
    if (result == NVML_SUCCESS && share_of(device, memory->free, &view))
        *memory = (nvmlMemory_t){.total = view.total, .free = view.free, .used = view.used};
    return result;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory)
{
    struct view view;
    nvmlReturn_t result = DRIVER(nvmlDeviceGetMemoryInfo_v2)(device, memory);
    if (result == NVML_SUCCESS && share_of(device, memory->free, &view))
        *memory = (nvmlMemory_v2_t){memory->version, view.total, 0, view.free, view.used};
    return result;
}

static bool is_of_ours(const struct region *accounts, unsigned pid)
{
    for (unsigned i = 0; i < SLOTS; i++)
        if (accounts->slot[i].token && accounts->slot[i].pid == pid)
            return true;
    return false;
}

/* Neighbours on the same GPU are nobody's business. Entries begin with the pid, whatever their version's size. */
static nvmlReturn_t hide_neighbours(nvmlReturn_t result, nvmlDevice_t device, unsigned *count, char *entries, size_t size)
{
    struct region *accounts = result == NVML_SUCCESS && entries && row_of(device) >= 0 ? read_region() : NULL;
    unsigned kept = 0, pid;
    if (!accounts)
        return result;
    for (unsigned i = 0; i < *count; i++) {
        memcpy(&pid, entries + i * size, sizeof pid);
        if (is_of_ours(accounts, pid))
            memmove(entries + kept++ * size, entries + i * size, size);
    }
    *count = kept;
    free(accounts);
    return result;
}

#define LISTS_PROCESSES(name, size) \
    nvmlReturn_t name(nvmlDevice_t device, unsigned *count, void *entries) \
    { \
        return hide_neighbours(DRIVER(name)(device, count, entries), device, count, entries, size); \
    }
LISTS_PROCESSES(nvmlDeviceGetComputeRunningProcesses, 16)
LISTS_PROCESSES(nvmlDeviceGetComputeRunningProcesses_v2, 24)
LISTS_PROCESSES(nvmlDeviceGetComputeRunningProcesses_v3, 24)
