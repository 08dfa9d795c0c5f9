#include "fork.h"

#include <stdatomic.h>
#include <stddef.h>

/* What pthread_atfork calls. Itself it sits in the static part of libc and wants crtbegin.o, which would bring
 * constructors; this library is never unloaded (-z nodelete), so it needs no handle to unregister by. */
extern int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *library);

typedef void (*const on_fork)(void);

/* The bounds of the section, from the linker. */
extern on_fork __start_on_fork[], __stop_on_fork[];

static void start_empty(void)
{
    for (on_fork *forget = __start_on_fork; forget < __stop_on_fork; forget++)
        (*forget)();
}

void fork_watch(void)
{
    static atomic_flag watching = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&watching))
        __register_atfork(NULL, NULL, start_empty, NULL);
}
