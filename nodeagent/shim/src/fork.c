#include "fork.h"

#include "charges.h"
#include "contexts.h"
#include "ledger.h"
#include "pools.h"
#include "vmm.h"

#include <stdatomic.h>
#include <stddef.h>

/* What pthread_atfork calls. Itself it sits in the static part of libc and wants crtbegin.o, which would bring
 * constructors; this library is never unloaded (-z nodelete), so it needs no handle to unregister by. */
extern int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *library);

static void start_empty(void)
{
    ledger_forget();
    charges_forget();
    contexts_forget();
    pools_forget();
    vmm_forget();
}

void fork_watch(void)
{
    static atomic_flag watching = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&watching))
        __register_atfork(NULL, NULL, start_empty, NULL);
}
