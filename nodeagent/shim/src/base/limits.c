#define _GNU_SOURCE
#include "limits.h"

#include "old_glibc.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

OLD_GLIBC(dladdr)

static const char FILE_NAME[] = "/migctl.limits";

static struct limits limits;
static atomic_bool loaded;

void complain(const char *format, ...)
{
    char line[MAX_PATH + 256];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (length >= (int)sizeof line)
        length = sizeof line - 1;
    ssize_t written = write(STDERR_FILENO, line, (size_t)length);
    (void)written;
}

static bool word(const char **cursor, const char *expected)
{
    size_t length = strlen(expected);
    if (strncmp(*cursor, expected, length) != 0)
        return false;
    *cursor += length;
    return true;
}

static bool number(const char **cursor, uint64_t *value)
{
    const char *start = *cursor;
    *value = 0;
    for (; **cursor >= '0' && **cursor <= '9'; ++*cursor) {
        uint64_t digit = (uint64_t)(**cursor - '0');
        if (*value > (UINT64_MAX - digit) / 10)
            return false;
        *value = *value * 10 + digit;
    }
    return *cursor != start;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool limits_parse_uuid(const char **cursor, unsigned char uuid[16])
{
    if (!word(cursor, "GPU-"))
        return false;
    for (int i = 0; i < 16; i++) {
        if (**cursor == '-')
            ++*cursor;
        int high = hex(**cursor);
        int low = high < 0 ? -1 : hex((*cursor)[1]);
        if (low < 0)
            return false;
        uuid[i] = (unsigned char)(high << 4 | low);
        *cursor += 2;
    }
    return true;
}

static bool path(const char **cursor, char *to)
{
    const char *end = strchr(*cursor, '\n');
    if (!end || **cursor != '/' || end - *cursor >= MAX_PATH)
        return false;
    memcpy(to, *cursor, (size_t)(end - *cursor));
    to[end - *cursor] = '\0';
    *cursor = end;
    return true;
}

static bool gpu_row(const char **cursor)
{
    struct gpu_limit *row = &limits.gpu[limits.gpus];
    if (limits.gpus == MAX_GPUS || !word(cursor, "gpu ") || !limits_parse_uuid(cursor, row->uuid))
        return false;
    if (limits_find(row->uuid) >= 0 || !word(cursor, " memory ") || !number(cursor, &row->memory))
        return false;
    if (!word(cursor, " context ") || !number(cursor, &row->context))
        return false;
    if (!word(cursor, " reserved ") || !number(cursor, &row->reserved) || !word(cursor, "\n"))
        return false;
    limits.gpus++;
    return true;
}

static bool parse(const char *text)
{
    const char *cursor = text;
    if (!word(&cursor, "migctl limits 1\nregion ") || !path(&cursor, limits.region) || !word(&cursor, "\n"))
        return false;
    while (*cursor)
        if (!gpu_row(&cursor))
            return false;
    return limits.gpus > 0;
}

/* The text of a small file; false with errno set where it cannot be read whole. */
static bool read_text(const char *name, char *text, size_t size)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t length = 0;
    ssize_t got;
    while ((got = read(fd, text + length, size - 1 - length)) > 0)
        length += (size_t)got;
    int error = got < 0 ? errno : length == size - 1 ? EFBIG : 0;
    close(fd);
    text[length] = '\0';
    errno = error;
    return error == 0;
}

/* The directory that the library lies in, whatever links led there. */
static bool beside_the_library(char name[PATH_MAX + sizeof FILE_NAME])
{
    Dl_info info;
    if (!dladdr((void *)limits_get, &info) || !realpath(info.dli_fname, name))
        return false;
    strcpy(strrchr(name, '/'), FILE_NAME);
    return true;
}

static void load(void)
{
    char name[PATH_MAX + sizeof FILE_NAME] = "migctl.limits", text[8192];
    if (!beside_the_library(name) || !read_text(name, text, sizeof text))
        complain("migctl: GPU memory is refused: cannot read %s: %s. Start the workload again through migctl.\n", name,
                 strerror(errno));
    else if (!parse(text)) {
        limits.gpus = 0;
        complain("migctl: GPU memory is refused: %s is damaged. Start the workload again through migctl.\n", name);
    }
}

const struct limits *limits_get(void)
{
    static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
    if (!atomic_load_explicit(&loaded, memory_order_acquire)) {
        pthread_mutex_lock(&once);
        if (!atomic_load_explicit(&loaded, memory_order_relaxed)) {
            load();
            atomic_store_explicit(&loaded, true, memory_order_release);
        }
        pthread_mutex_unlock(&once);
    }
    return &limits;
}

int limits_find(const unsigned char uuid[16])
{
    for (int i = 0; i < limits.gpus; i++)
        if (memcmp(limits.gpu[i].uuid, uuid, sizeof limits.gpu[i].uuid) == 0)
            return i;
    return -1;
}
