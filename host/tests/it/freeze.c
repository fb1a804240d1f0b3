/* Stands still in the process it is loaded into (LD_PRELOAD) where a disk would: while the file FREEZE is there, syncing of the
 * store's files does not come back. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void wait_for_the_disk(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return;
    path[length] = 0;
    const char *name = strrchr(path, '/'), *freeze = getenv("FREEZE");
    if (!name || !freeze || strncmp(name + 1, "saga.db", 7) != 0) return;
    while (access(freeze, F_OK) == 0) usleep(5000);
}

int fsync(int fd) {
    wait_for_the_disk(fd);
    return REAL(fsync)(fd);
}

int fdatasync(int fd) {
    wait_for_the_disk(fd);
    return REAL(fdatasync)(fd);
}
