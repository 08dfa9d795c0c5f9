#include "allocation.h"

#include "contexts.h"
#include "accounting/devices.h"
#include "base/fault.h"
#include "accounting/ledger.h"
#include "accounting/pools.h"

CUresult allocation_begin(struct charge *charge, uint64_t bytes)
{
    CUdevice device;
    *charge = (struct charge){.gpu = NO_GPU};
    if (!contexts_current(&device, &charge->owner))
        return CUDA_SUCCESS;
    int gpu = device_gpu(device);
    if (!pools_take(gpu, bytes, 0))
        return CUDA_ERROR_OUT_OF_MEMORY;
    charge->gpu = (int16_t)gpu;
    charge->bytes = bytes;
    FAULT("reserved");
    return CUDA_SUCCESS;
}

CUresult allocation_end(struct charge *charge, CUresult result, enum kind kind, uint64_t key)
{
    FAULT("allocated");
    if (charge->gpu == NO_GPU)
        return result;
    if (result != CUDA_SUCCESS) {
        ledger_give(charge->gpu, charge->bytes, 0);
        return result;
    }
    charge->kind = kind;
    charge->key = key;
    charge_put(charge);
    return result;
}

CUresult allocation_freed(const struct charge *charge, CUresult result)
{
    FAULT("freed");
    if (result != CUDA_SUCCESS)
        charge_put(charge);
    else if (charge->number)
        pools_returned(charge->number);
    else
        ledger_give(charge->gpu, charge->bytes, 0);
    return result;
}
