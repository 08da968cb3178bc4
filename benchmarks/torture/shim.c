/* Fails the n-th file operation below a folder, for the trials of faulty storage (benchmarks/torture/storage.py).

   FAULT_ROOT: the folder; FAULT_AT: which operation; FAULT_ERRNO: with which error; FAULT_STAYS: whether all later
   writes fail as well, as on a full disk; FAULT_COUNT: a file that gets the number of operations. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static long done;

static int fails(const char *path) {
    const char *root = getenv("FAULT_ROOT"), *at = getenv("FAULT_AT"), *stays = getenv("FAULT_STAYS");
    if (!root || !at || !path || strncmp(path, root, strlen(root)) != 0 || strstr(path, "/.locks/")) return 0;
    long now = __sync_add_and_fetch(&done, 1), wanted = atol(at);
    if (now == wanted || (stays && *stays == '1' && now > wanted)) {
        errno = atoi(getenv("FAULT_ERRNO"));
        return 1;
    }
    return 0;
}

static int descriptor_fails(int fd) {
    char link[64], path[PATH_MAX];
    if (!getenv("FAULT_ROOT")) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fails(path);
}

__attribute__((destructor)) static void report(void) {
    const char *name = getenv("FAULT_COUNT");
    FILE *file = name ? fopen(name, "w") : NULL;
    if (file) { fprintf(file, "%ld", done); fclose(file); }
}

#define REAL(name) static __typeof__(name) *real; if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *from, size_t count) {
    REAL(write);
    return descriptor_fails(fd) ? -1 : real(fd, from, count);
}
ssize_t writev(int fd, const struct iovec *from, int count) {
    REAL(writev);
    return descriptor_fails(fd) ? -1 : real(fd, from, count);
}
ssize_t pwrite64(int fd, const void *from, size_t count, off64_t offset) {
    REAL(pwrite64);
    return descriptor_fails(fd) ? -1 : real(fd, from, count, offset);
}
int fsync(int fd) {
    REAL(fsync);
    return descriptor_fails(fd) ? -1 : real(fd);
}
int rename(const char *from, const char *to) {
    REAL(rename);
    return fails(to) ? -1 : real(from, to);
}
int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    return fails(path) ? -1 : real(path, mode);
}
int open64(const char *path, int flags, ...) {
    REAL(open64);
    va_list more;
    va_start(more, flags);
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(more, mode_t) : 0;
    va_end(more);
    return (flags & (O_WRONLY | O_RDWR)) && fails(path) ? -1 : real(path, flags, mode);
}
