#define _GNU_SOURCE
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static uint64_t digits(const char *text)
{
    uint64_t value = 0;
    while (*text >= '0' && *text <= '9')
        value = value * 10 + (uint64_t)(*text++ - '0');
    return value;
}

uint64_t process_namespace(void)
{
    char link[64]; /* pid:[4026531836] */
    ssize_t length = readlink("/proc/self/ns/pid", link, sizeof link - 1);
    if (length < 0)
        return 0;
    link[length] = '\0';
    const char *inode = strchr(link, '[');
    return inode ? digits(inode + 1) : 0;
}

struct stat_line {
    char state;
    uint64_t threads, started;
};

/* proc(5): "pid (name) state ...", threads as the 20th field and the start time as the 22nd; the name may hold anything
 * but ends at the last ')'. */
static bool read_stat(uint64_t pid, struct stat_line *line)
{
    char text[512];
    snprintf(text, sizeof text, "/proc/%" PRIu64 "/stat", pid);
    int fd = open(text, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    text[length > 0 ? length : 0] = '\0';
    const char *field = strrchr(text, ')');
    if (!field || !field[1])
        return false;
    line->state = field[2];
    for (int number = 2; field && number < 22; number++) {
        field = strchr(field + 1, ' ');
        if (field && number == 19)
            line->threads = digits(field + 1);
    }
    line->started = field ? digits(field + 1) : 0;
    return field != NULL;
}

uint64_t process_started(void)
{
    struct stat_line line;
    return read_stat((uint64_t)getpid(), &line) ? line.started : 0;
}

bool process_exists(uint64_t pid)
{
    return kill((pid_t)pid, 0) == 0 || errno != ESRCH;
}

bool process_runs(uint64_t pid, uint64_t started)
{
    struct stat_line line;
    if (!read_stat(pid, &line) || line.started != started)
        return false;
    return (line.state != 'Z' && line.state != 'X') || line.threads > 1;
}
