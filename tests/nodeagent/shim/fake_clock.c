/* A clock that stands still except when somebody sleeps, linked in place of libc's: -Wl,--wrap. */
#include <time.h>

#define EXPORT __attribute__((visibility("default")))
static long now_ms;

EXPORT int fake_clock_set(int ms) { now_ms = ms; return 0; }
EXPORT int fake_clock_get(void) { return (int)now_ms; }

int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    (void)clock;
    *now = (struct timespec){now_ms / 1000, now_ms % 1000 * 1000000};
    return 0;
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *left);
int __wrap_nanosleep(const struct timespec *time, struct timespec *left)
{
    (void)left;
    now_ms += time->tv_nsec / 1000000;
    return 0;
}
