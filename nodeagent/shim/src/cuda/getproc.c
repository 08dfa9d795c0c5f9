/* The table of what the shim stands in for, and cuGetProcAddress, through which most programs get their functions. */
#include "driver/cuda_abi.h"
#include "driver/driver.h"

const char driver_library[] = SHIM_DRIVER;

struct symbol driver_symbols[CUDA_SYMBOL_COUNT] = {
#define OURS(name, parameters) [AT_##name] = {#name, (void *)name, NULL},
#define THEIRS(name, parameters) [AT_##name] = {#name, NULL, NULL},
    CUDA_OVERRIDES(OURS) CUDA_QUERIES(THEIRS)
};

int driver_function_missing(void)
{
    return CUDA_ERROR_NOT_SUPPORTED;
}

/* The driver has chosen by version and per-thread flags; what it chose is then exchanged for ours of the same name. */
static void exchange(void **function)
{
    for (int i = 0; i < CUDA_OVERRIDE_COUNT; i++)
        if (*function == driver_function(&driver_symbols[i])) {
            *function = driver_symbols[i].ours;
            return;
        }
}

CUresult cuGetProcAddress_v2(const char *name, void **function, int version, uint64_t flags, int *status)
{
    CUresult result = DRIVER(cuGetProcAddress_v2)(name, function, version, flags, status);
    if (result == CUDA_SUCCESS && function && *function)
        exchange(function);
    return result;
}

CUresult cuGetProcAddress(const char *name, void **function, int version, uint64_t flags)
{
    CUresult result = DRIVER(cuGetProcAddress)(name, function, version, flags);
    if (result == CUDA_SUCCESS && function && *function)
        exchange(function);
    return result;
}
