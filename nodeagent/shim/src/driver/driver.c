#define _GNU_SOURCE
#include "driver.h"

#include "base/old_glibc.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>

OLD_GLIBC(dlopen)
OLD_GLIBC(dlsym)

/* The handle is the library's own: dlsym through it searches the real library first and never finds the shim. */
static void *look_up(const char *name)
{
    static _Atomic(void *) library;
    void *handle = atomic_load_explicit(&library, memory_order_relaxed);
    if (!handle) {
        handle = dlopen(driver_library, RTLD_LAZY | RTLD_NOLOAD);
        atomic_store_explicit(&library, handle, memory_order_relaxed);
    }
    return handle ? dlsym(handle, name) : NULL;
}

void *driver_function(struct symbol *symbol)
{
    void *function = atomic_load_explicit(&symbol->found, memory_order_relaxed);
    if (function)
        return function;
    function = look_up(symbol->name);
    if (!function)
        function = (void *)driver_function_missing;
    atomic_store_explicit(&symbol->found, function, memory_order_relaxed);
    return function;
}
