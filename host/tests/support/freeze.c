/* Stands still in the process it is loaded into (LD_PRELOAD) where a disk would: while the file FREEZE is there, syncing of the
 * store's files does not come back; while the file FREEZE_READS is there, reading of them doesn't. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void wait_for_the_disk(int fd, const char *variable) {
    const char *freeze = getenv(variable);
    if (!freeze || access(freeze, F_OK) != 0) return;
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return;
    path[length] = 0;
    const char *name = strrchr(path, '/');
    if (!name || strncmp(name + 1, "saga.db", 7) != 0) return;
    while (access(freeze, F_OK) == 0) usleep(5000);
}

int fsync(int fd) {
    wait_for_the_disk(fd, "FREEZE");
    return REAL(fsync)(fd);
}

int fdatasync(int fd) {
    wait_for_the_disk(fd, "FREEZE");
    return REAL(fdatasync)(fd);
}

ssize_t read(int fd, void *bytes, size_t count) {
    wait_for_the_disk(fd, "FREEZE_READS");
    return REAL(read)(fd, bytes, count);
}

ssize_t pread(int fd, void *bytes, size_t count, off_t offset) {
    wait_for_the_disk(fd, "FREEZE_READS");
    return REAL(pread)(fd, bytes, count, offset);
}

ssize_t pread64(int fd, void *bytes, size_t count, off64_t offset) {
    wait_for_the_disk(fd, "FREEZE_READS");
    return REAL(pread64)(fd, bytes, count, offset);
}
