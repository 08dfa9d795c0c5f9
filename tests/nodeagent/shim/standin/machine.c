#define _GNU_SOURCE
#include "machine.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct machine *mapped;
static struct entry *own;
static int own_pid;
static int fd = -1;
static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;

static void lock(void)
{
    if (pthread_mutex_lock(&mapped->lock) == EOWNERDEAD)
        pthread_mutex_consistent(&mapped->lock);
}

/* A lock on the entry's byte lives as long as the process: GPU memory goes with the process's descriptors. */
static int byte_lock(int command, long which)
{
    struct flock byte = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = which, .l_len = 1};
    if (fcntl(fd, command, &byte) != 0)
        return -1;
    return command == F_OFD_GETLK && byte.l_type != F_UNLCK;
}

static void set_up(void)
{
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&mapped->lock, &kind);
    mapped->ready = 1;
}

static void open_machine(void)
{
    char path[PATH_MAX + 16];
    Dl_info library;
    if (fd >= 0)
        close(fd);
    if (!dladdr((void *)machine, &library) || !realpath(library.dli_fname, path))
        return;
    strcpy(strrchr(path, '/'), "/machine");
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1 << 20, .l_len = 1};
    fcntl(fd, F_OFD_SETLKW, &whole);
    mapped = mmap(NULL, sizeof *mapped, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (!mapped->ready)
        set_up();
    lock();
    own = NULL;
    for (int i = 0; i < ENTRIES && !own; i++)
        if (byte_lock(F_OFD_SETLK, i) == 0)
            own = &mapped->entry[i];
    *own = (struct entry){.pid = getpid()};
    own_pid = getpid();
    pthread_mutex_unlock(&mapped->lock);
    whole.l_type = F_UNLCK;
    fcntl(fd, F_OFD_SETLK, &whole);
}

struct machine *machine(void)
{
    pthread_mutex_lock(&once);
    if (own_pid != getpid())
        open_machine();
    pthread_mutex_unlock(&once);
    return mapped;
}

static uint64_t truth(int device)
{
    uint64_t sum = 0;
    for (long i = 0; i < ENTRIES; i++) {
        struct entry *entry = &mapped->entry[i];
        if (entry->pid && entry != own && byte_lock(F_OFD_GETLK, i) == 0)
            *entry = (struct entry){0};
        sum += entry->bytes[device];
    }
    return sum;
}

bool machine_charge(int device, int64_t bytes)
{
    lock();
    uint64_t held = truth(device);
    bool fits = bytes <= 0 || held + (uint64_t)bytes <= mapped->total[device];
    if (fits) {
        own->bytes[device] += (uint64_t)bytes;
        if (held + (uint64_t)bytes > mapped->peak[device] && bytes > 0)
            mapped->peak[device] = held + (uint64_t)bytes;
    }
    pthread_mutex_unlock(&mapped->lock);
    return fits;
}

uint64_t machine_truth(int device)
{
    lock();
    uint64_t sum = truth(device);
    pthread_mutex_unlock(&mapped->lock);
    return sum;
}

uint64_t machine_own(int device)
{
    return own->bytes[device];
}

/* For the tests' own process: makes a machine file, and reads what is held and what was held at most. */
#define TOOL __attribute__((visibility("default")))

TOOL int standin_create(const char *path, unsigned devices, const unsigned char *uuids, const uint64_t *totals,
                        const uint64_t *contexts, unsigned knobs)
{
    struct machine made = {.devices = devices, .knobs = knobs};
    memcpy(made.uuid, uuids, 16 * devices);
    memcpy(made.total, totals, sizeof *totals * devices);
    memcpy(made.context, contexts, sizeof *contexts * devices);
    int file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool whole = file >= 0 && write(file, &made, sizeof made) == sizeof made;
    return close(file) == 0 && whole ? 0 : -1;
}

TOOL int standin_set_knobs(const char *path, uint32_t knobs)
{
    int file = open(path, O_RDWR | O_CLOEXEC);
    bool written = pwrite(file, &knobs, sizeof knobs, offsetof(struct machine, knobs)) == sizeof knobs;
    return close(file) == 0 && written ? 0 : -1;
}

TOOL int standin_look(const char *path, int device, uint64_t *held, uint64_t *peak)
{
    fd = open(path, O_RDWR | O_CLOEXEC);
    mapped = mmap(NULL, sizeof *mapped, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    own = NULL;
    if (mapped == MAP_FAILED)
        return -1;
    *held = mapped->ready ? machine_truth(device) : 0;
    *peak = mapped->peak[device];
    munmap(mapped, sizeof *mapped);
    return close(fd);
}
