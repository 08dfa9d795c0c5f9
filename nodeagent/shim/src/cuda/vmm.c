/* Memory made apart from its address (expandable segments, NCCL): it lives until every handle to it is released and
 * every mapping of it is gone, in whatever order. */
#include "accounting/charges.h"
#include "accounting/devices.h"
#include "driver/driver.h"
#include "base/fault.h"
#include "accounting/fork.h"
#include "accounting/ledger.h"
#include "accounting/pools.h"

#include <pthread.h>
#include <stdlib.h>

struct memory {
    uint64_t bytes;
    int gpu;
    unsigned references; /* handles and mappings */
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static struct memory *memory_of(const struct charge *name)
{
    return (struct memory *)(uintptr_t)name->owner;
}

static void name_it(enum kind kind, uint64_t key, uint64_t bytes, const struct memory *memory, uint32_t uses)
{
    charge_put(&(struct charge){
        .kind = kind, .key = key, .bytes = bytes, .owner = (uintptr_t)memory, .gpu = NO_GPU, .number = uses});
}

/* One more reference, through a handle that the program now holds. */
static void add_handle(uint64_t handle, struct memory *memory)
{
    struct charge known = {.number = 0};
    charge_lift(HANDLE, handle, &known);
    memory->references++;
    name_it(HANDLE, handle, 0, memory, known.number + 1);
}

static void unreference(struct memory *memory)
{
    if (--memory->references == 0) {
        ledger_give(memory->gpu, memory->bytes, 0);
        free(memory);
    }
}

CUresult cuMemCreate(CUmemGenericAllocationHandle *handle, size_t bytes, const CUmemAllocationProp *how,
                     unsigned long long flags)
{
    if (!how || how->location.type != CU_MEM_LOCATION_TYPE_DEVICE)
        return DRIVER(cuMemCreate)(handle, bytes, how, flags);
    int gpu = device_gpu(how->location.id);
    struct memory *memory = malloc(sizeof *memory);
    if (!memory || !pools_take(gpu, bytes, 0)) {
        free(memory);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    FAULT("reserved");
    *memory = (struct memory){.bytes = bytes, .gpu = gpu, .references = 1};
    CUresult result = DRIVER(cuMemCreate)(handle, bytes, how, flags);
    FAULT("allocated");
    pthread_mutex_lock(&mutex);
    if (result == CUDA_SUCCESS)
        name_it(HANDLE, *handle, 0, memory, 1);
    else
        unreference(memory);
    pthread_mutex_unlock(&mutex);
    return result;
}

/* A handle that is none of ours was imported: its owner pays. One of ours loses a use before the driver can give its
 * number to somebody else, and gets it back where the driver refuses. */
CUresult cuMemRelease(CUmemGenericAllocationHandle handle)
{
    struct charge name;
    pthread_mutex_lock(&mutex);
    bool ours = charge_lift(HANDLE, handle, &name);
    if (ours && name.number > 1)
        name_it(HANDLE, handle, 0, memory_of(&name), name.number - 1);
    pthread_mutex_unlock(&mutex);
    CUresult result = DRIVER(cuMemRelease)(handle);
    FAULT("freed");
    if (!ours)
        return result;
    pthread_mutex_lock(&mutex);
    if (result != CUDA_SUCCESS)
        add_handle(handle, memory_of(&name));
    unreference(memory_of(&name));
    pthread_mutex_unlock(&mutex);
    return result;
}

CUresult cuMemMap(CUdeviceptr address, size_t bytes, size_t offset, CUmemGenericAllocationHandle handle,
                  unsigned long long flags)
{
    struct charge name;
    pthread_mutex_lock(&mutex);
    bool ours = charge_peek(HANDLE, handle, &name);
    if (ours)
        memory_of(&name)->references++;
    pthread_mutex_unlock(&mutex);
    CUresult result = DRIVER(cuMemMap)(address, bytes, offset, handle, flags);
    if (!ours)
        return result;
    pthread_mutex_lock(&mutex);
    if (result == CUDA_SUCCESS)
        name_it(MAPPING, address, bytes, memory_of(&name), 0);
    else
        unreference(memory_of(&name));
    pthread_mutex_unlock(&mutex);
    return result;
}

/* The next mapping of ours in a range: neighbours are found by their addresses; where there is a gap (a mapping of
 * imported memory) all are looked through. */
static bool lift_mapping(uint64_t *start, uint64_t end, struct charge *mapping)
{
    if (*start >= end)
        return false;
    if (!charge_lift(MAPPING, *start, mapping))
        return charge_lift_within(MAPPING, *start, end, mapping);
    *start += mapping->bytes;
    return true;
}

/* The driver first: unlike a handle, an address is the program's, which maps nothing there until this returns. */
CUresult cuMemUnmap(CUdeviceptr address, size_t bytes)
{
    struct charge mapping;
    uint64_t start = address;
    CUresult result = DRIVER(cuMemUnmap)(address, bytes);
    FAULT("freed");
    if (result != CUDA_SUCCESS)
        return result;
    pthread_mutex_lock(&mutex);
    while (lift_mapping(&start, address + bytes, &mapping))
        unreference(memory_of(&mapping));
    pthread_mutex_unlock(&mutex);
    return result;
}

/* The mapping that an address lies in; the handle is the same number again or a new one. */
CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *handle, void *address)
{
    struct charge mapping;
    uint64_t at = (uint64_t)(uintptr_t)address;
    CUresult result = DRIVER(cuMemRetainAllocationHandle)(handle, address);
    if (result != CUDA_SUCCESS)
        return result;
    pthread_mutex_lock(&mutex);
    if (charge_peek(MAPPING, at, &mapping)) {
        add_handle(*handle, memory_of(&mapping));
    } else if (charge_lift_within(MAPPING, at, at + 1, &mapping)) {
        charge_put(&mapping);
        add_handle(*handle, memory_of(&mapping));
    }
    pthread_mutex_unlock(&mutex);
    return result;
}

static void forget(void)
{
    mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}
ON_FORK(forget)
