/* Memory made apart from its address, in the stand-in driver. */
#include "cuda.h"

#include <stdlib.h>

struct property { int type, handles, where, id; };

struct physical {
    CUhandle handle;
    uint64_t bytes;
    int device; /* -1: host or imported, counts nowhere */
    unsigned handles, mappings;
    struct physical *next;
};
struct mapping {
    CUdeviceptr start;
    size_t bytes;
    struct physical *of;
    struct mapping *next;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct physical *physicals;
static struct mapping *mappings;
static CUhandle next_handle = 0x1000;
static CUdeviceptr next_address = 0x600000000000;

static struct physical *by_handle(CUhandle handle)
{
    struct physical *physical = physicals;
    while (physical && !(physical->handle == handle && physical->handles))
        physical = physical->next;
    return physical;
}

static void end_if_unused(struct physical *physical)
{
    if (physical->handles || physical->mappings)
        return;
    if (physical->device >= 0)
        standin_give(physical->device, physical->bytes);
    for (struct physical **link = &physicals; *link; link = &(*link)->next)
        if (*link == physical) {
            *link = physical->next;
            free(physical);
            return;
        }
}

static CUresult add(CUhandle *handle, uint64_t bytes, int device)
{
    struct physical *physical = malloc(sizeof *physical);
    pthread_mutex_lock(&mutex);
    *physical = (struct physical){++next_handle, bytes, device, 1, 0, physicals};
    physicals = physical;
    *handle = physical->handle;
    pthread_mutex_unlock(&mutex);
    return SUCCESS;
}

API cuMemCreate(CUhandle *handle, size_t bytes, const struct property *how, unsigned long long flags)
{
    CALLED;
    (void)flags;
    if (standin_ready() || !how)
        return standin_ready() ? NOT_INITIALIZED : INVALID_VALUE;
    if (how->where != 1)
        return add(handle, bytes, -1);
    CUresult result = standin_take(how->id, bytes);
    return result ? result : add(handle, bytes, how->id);
}

API cuMemImportFromShareableHandle(CUhandle *handle, void *from, int kind)
{
    CALLED;
    (void)from, (void)kind;
    return add(handle, 2 << 20, -1);
}

API cuMemRelease(CUhandle handle)
{
    CALLED;
    pthread_mutex_lock(&mutex);
    struct physical *physical = by_handle(handle);
    if (physical) {
        physical->handles--;
        end_if_unused(physical);
    }
    pthread_mutex_unlock(&mutex);
    return physical ? SUCCESS : INVALID_VALUE;
}

API cuMemAddressReserve(CUdeviceptr *address, size_t bytes, size_t alignment, CUdeviceptr wish, unsigned long long flags)
{
    CALLED;
    (void)alignment, (void)wish, (void)flags;
    pthread_mutex_lock(&mutex);
    *address = next_address;
    next_address += bytes;
    pthread_mutex_unlock(&mutex);
    return SUCCESS;
}

API cuMemMap(CUdeviceptr address, size_t bytes, size_t offset, CUhandle handle, unsigned long long flags)
{
    CALLED;
    (void)offset, (void)flags;
    pthread_mutex_lock(&mutex);
    struct physical *physical = by_handle(handle);
    for (struct mapping *m = mappings; m; m = m->next)
        if (address < m->start + m->bytes && m->start < address + bytes)
            physical = NULL;
    if (physical) {
        struct mapping *mapping = malloc(sizeof *mapping);
        *mapping = (struct mapping){address, bytes, physical, mappings};
        mappings = mapping;
        physical->mappings++;
    }
    pthread_mutex_unlock(&mutex);
    return physical ? SUCCESS : INVALID_VALUE;
}

/* Whole mappings only, any number of neighbours. */
API cuMemUnmap(CUdeviceptr address, size_t bytes)
{
    uint64_t covered = 0;
    CALLED;
    pthread_mutex_lock(&mutex);
    for (struct mapping *m = mappings; m; m = m->next)
        if (m->start >= address && m->start + m->bytes <= address + bytes)
            covered += m->bytes;
    for (struct mapping **link = &mappings, *m; covered == bytes && (m = *link);) {
        if (m->start < address || m->start >= address + bytes) {
            link = &m->next;
            continue;
        }
        *link = m->next;
        m->of->mappings--;
        end_if_unused(m->of);
        free(m);
    }
    pthread_mutex_unlock(&mutex);
    return covered == bytes ? SUCCESS : INVALID_VALUE;
}

API cuMemRetainAllocationHandle(CUhandle *handle, void *address)
{
    struct physical *physical = NULL;
    CALLED;
    pthread_mutex_lock(&mutex);
    for (struct mapping *m = mappings; m; m = m->next)
        if ((uintptr_t)address - m->start < m->bytes)
            physical = m->of;
    if (physical) {
        if (physical->handles++ == 0)
            physical->handle = ++next_handle;
        *handle = physical->handle;
    }
    pthread_mutex_unlock(&mutex);
    return physical ? SUCCESS : INVALID_VALUE;
}
