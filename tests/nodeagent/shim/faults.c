/* Kills the process at a named place: SHIM_FAULT=NAME:N, the N-th time it is passed. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void fault_point(const char *name);

void fault_point(const char *name)
{
    static int passed;
    const char *wanted = getenv("SHIM_FAULT");
    size_t length = strlen(name);
    if (wanted && strncmp(wanted, name, length) == 0 && wanted[length] == ':'
        && __atomic_add_fetch(&passed, 1, __ATOMIC_RELAXED) == atoi(wanted + length + 1))
        kill(getpid(), SIGKILL);
}
