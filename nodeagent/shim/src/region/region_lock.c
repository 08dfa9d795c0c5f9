/* The region's lock: a word that names the slot of its holder, and a futex under it. A robust pthread mutex would
 * keep pointers in memory that others can scribble on, and differs between C libraries. Every slot has one writer,
 * so a lock taken from a dead holder guards nothing that needs repair. */
#define _GNU_SOURCE
#include "region_lock.h"

#include "base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define WAITERS 0x80000000u
enum { SPINS = 100, WAIT_NS = 1000000, MAX_WAITS = 1000 };

/* An open-file-description lock on one byte: the kernel drops it when the last copy of fd is gone. */
int region_slot_lock(int fd, int command, short type, unsigned slot)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = slot, .l_len = 1};
    if (fcntl(fd, command, &lock) != 0)
        return -1;
    return command == F_OFD_GETLK && lock.l_type != F_UNLCK;
}

bool region_slot_is_held(int fd, unsigned slot)
{
    return region_slot_lock(fd, F_OFD_GETLK, F_WRLCK, slot) != 0;
}

static bool exchange(_Atomic uint32_t *word, uint32_t expected, uint32_t desired)
{
    return atomic_compare_exchange_strong_explicit(word, &expected, desired, memory_order_acq_rel, memory_order_relaxed);
}

/* False after a wait that nobody ended. */
static bool wait_on(_Atomic uint32_t *word, uint32_t value)
{
    const struct timespec limit = {.tv_nsec = WAIT_NS};
    return syscall(SYS_futex, word, FUTEX_WAIT, value, &limit, NULL, 0) == 0 || errno != ETIMEDOUT;
}

/* Threads of one process come one at a time, so our own number here is a predecessor's in this slot. */
static bool holder_is_gone(const struct attachment *at, uint32_t holder, int waits)
{
    if (holder == at->slot + 1 || holder > SLOTS || waits > MAX_WAITS)
        return true;
    return waits > 0 && !region_slot_is_held(at->fd, holder - 1);
}

void region_lock(const struct attachment *at)
{
    _Atomic uint32_t *word = &at->region->lock;
    uint32_t mine = at->slot + 1;
    if (exchange(word, 0, mine))
        return;
    for (int spin = 0; spin < SPINS; spin++)
        if (atomic_load_explicit(word, memory_order_relaxed) == 0 && exchange(word, 0, mine))
            return;
    for (int waits = 0;;) {
        uint32_t seen = atomic_load_explicit(word, memory_order_relaxed), holder = seen & ~WAITERS;
        if (holder == 0 || holder_is_gone(at, holder, waits)) {
            if (exchange(word, seen, mine | WAITERS))
                return;
        } else if (((seen & WAITERS) || exchange(word, seen, seen | WAITERS)) && !wait_on(word, seen | WAITERS)) {
            waits++;
        }
    }
}

/* A holder that was passed over meanwhile leaves the lock to its successor. */
void region_unlock(const struct attachment *at)
{
    _Atomic uint32_t *word = &at->region->lock;
    uint32_t seen = atomic_load_explicit(word, memory_order_relaxed);
    while ((seen & ~WAITERS) == at->slot + 1) {
        if (!exchange(word, seen, 0)) {
            seen = atomic_load_explicit(word, memory_order_relaxed);
            continue;
        }
        FAULT("unlock");
        if (seen & WAITERS)
            syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
        return;
    }
}
