#define _GNU_SOURCE
#include "region.h"

#include "base/fault.h"
#include "base/process.h"
#include "region_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The system call itself: libc's wrapper has a version that glibc before 2.33 lacks. */
static bool file_of(int fd, struct stat *status)
{
    return syscall(SYS_fstat, fd, status) == 0;
}

static bool layout_is_ours(const struct region *region, const struct limits *limits)
{
    if (memcmp(region->magic, REGION_MAGIC, sizeof region->magic) != 0 || region->size != sizeof *region)
        return false;
    for (int i = 0; i < limits->gpus; i++)
        if (memcmp(region->gpu[i].uuid, limits->gpu[i].uuid, sizeof limits->gpu[i].uuid) != 0)
            return false;
    return true;
}

/* High, where programs neither expect a descriptor of theirs nor close one unseen. */
static int open_high(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    struct rlimit files;
    if (fd < 0 || getrlimit(RLIMIT_NOFILE, &files) != 0)
        return fd;
    rlim_t top = files.rlim_cur < 1024 ? files.rlim_cur : 1024;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, (int)(top - top / 16));
    if (high < 0)
        return fd;
    close(fd);
    return high;
}

static bool map(struct attachment *at, const struct limits *limits)
{
    struct stat file;
    if (!file_of(at->fd, &file))
        return false;
    errno = EINVAL;
    if (file.st_size != sizeof(struct region))
        return false;
    at->device = file.st_dev;
    at->inode = file.st_ino;
    at->region = mmap(NULL, sizeof(struct region), PROT_READ | PROT_WRITE, MAP_SHARED, at->fd, 0);
    if (at->region == MAP_FAILED)
        return false;
    if (layout_is_ours(at->region, limits))
        return true;
    munmap(at->region, sizeof(struct region));
    errno = EINVAL;
    return false;
}

/* In sight: a process of our own pid namespace that said when it started. */
static bool is_visible(const struct slot *slot)
{
    return slot->started && slot->pid_namespace && slot->pid_namespace == process_namespace();
}

/* Whether another process lives on without its lock: it is exiting, or closed every descriptor and is still to move. */
static bool is_missed(const struct slot *slot)
{
    return slot->token && slot->pid != (uint64_t)getpid() && is_visible(slot)
           && process_runs(slot->pid, slot->started);
}

static bool claim_slot(struct attachment *at)
{
    for (at->slot = 0; at->slot < SLOTS; at->slot++) {
        if (region_slot_lock(at->fd, F_OFD_SETLK, F_WRLCK, at->slot) == 0) {
            if (!is_missed(&at->region->slot[at->slot]))
                return true;
            region_slot_lock(at->fd, F_OFD_SETLK, F_UNLCK, at->slot);
        } else if (errno != EAGAIN && errno != EACCES) {
            return false;
        }
    }
    errno = EUSERS;
    return false;
}

static uint64_t new_token(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)getpid() << 32 | (uint32_t)(now.tv_nsec ^ now.tv_sec) | 1;
}

void region_clear_slot(struct slot *slot)
{
    for (int gpu = 0; gpu < MAX_GPUS; gpu++) {
        slot->gpu[gpu].bytes = 0;
        slot->gpu[gpu].contexts = 0;
    }
    slot->pid = 0;
    slot->token = 0;
}

/* Under the lock, so that nobody who saw the slot free clears it after its new owner wrote. */
static void move_in(struct attachment *at)
{
    struct slot *slot = &at->region->slot[at->slot];
    at->token = new_token();
    region_lock(at);
    region_clear_slot(slot);
    FAULT("attach");
    slot->pid_namespace = process_namespace();
    slot->started = process_started();
    slot->pid = (uint64_t)getpid();
    slot->token = at->token;
    if (at->region->high <= at->slot)
        at->region->high = at->slot + 1;
    region_unlock(at);
}

bool region_attach(struct attachment *at, const struct limits *limits)
{
    at->fd = open_high(limits->region);
    if (at->fd < 0)
        return false;
    if (map(at, limits)) {
        if (claim_slot(at)) {
            move_in(at);
            return true;
        }
        munmap(at->region, sizeof(struct region));
    }
    int error = errno;
    close(at->fd);
    errno = error;
    return false;
}

void region_detach(struct attachment *at)
{
    struct stat file;
    if (at->fd < 0)
        return;
    if (file_of(at->fd, &file) && file.st_dev == at->device && file.st_ino == at->inode)
        close(at->fd);
    munmap(at->region, sizeof(struct region));
}

/* A killed process drops its lock and its GPU memory in no known order, and has let go of both once it is a zombie. A
 * child that it was just starting may hold a copy of its descriptor a moment longer, or for good. */
enum slot_state region_slot_state(const struct region *region, int fd, unsigned slot)
{
    const struct slot *of = &region->slot[slot];
    if (fd < 0)
        return SLOT_ALIVE;
    if (region_slot_is_held(fd, slot))
        return is_visible(of) && !process_exists(of->pid) ? SLOT_DEAD : SLOT_ALIVE;
    return is_visible(of) && process_runs(of->pid, of->started) ? SLOT_EXITING : SLOT_DEAD;
}
