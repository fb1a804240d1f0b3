/* Ends the process it is loaded into (LD_PRELOAD) just before a chosen write to the store.
 *
 * The steps are what changes the store's files: write, pwrite, ftruncate, fsync, fdatasync, unlink.
 * CRASH_AT=N ends the process before step N. With CRASH_POWER=1 everything that was written and not yet
 * synced is taken back first, as a power loss may do. The WAL's index is left out: it is memory, and made anew.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

struct change {
    struct change *earlier;
    dev_t device;
    ino_t file;
    char path[PATH_MAX];
    off_t size, start;
    size_t length;
    char old[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct change *unsynced;
static long steps;

static int is_store(const char *path) {
    const char *name = strrchr(path, '/');
    if (!name || strncmp(name + 1, "saga.db", 7) != 0) return 0;
    return strcmp(name + 8, "-shm") != 0;
}

static int store_path(int fd, char path[PATH_MAX]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return is_store(path);
}

/* A power loss: nothing that was not synced is there. */
static void take_back(void) {
    for (struct change *change = unsynced; change; change = change->earlier) {
        FILE *file = fopen(change->path, "r+b");
        if (!file) continue; /* it was deleted */
        struct stat now;
        if (fstat(fileno(file), &now) == 0 && now.st_ino == change->file && now.st_dev == change->device) {
            for (size_t done = 0; done < change->length;) {
                ssize_t n = REAL(pwrite)(fileno(file), change->old + done, change->length - done, change->start + done);
                if (n <= 0) break;
                done += (size_t)n;
            }
            if (REAL(ftruncate)(fileno(file), change->size) != 0) _exit(99);
        }
        fclose(file);
    }
}

/* Takes the lock. */
static void step(void) {
    pthread_mutex_lock(&lock);
    const char *at = getenv("CRASH_AT");
    if (++steps == (at ? atol(at) : -1)) {
        if (getenv("CRASH_POWER")) take_back();
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
}

/* Remembers what is there before `length` bytes from `start` on are changed. */
static void remember(int fd, const char *path, off_t start, size_t length) {
    struct stat now;
    if (!getenv("CRASH_POWER") || fstat(fd, &now) != 0) return;
    size_t there = start >= now.st_size ? 0 : (size_t)(now.st_size - start);
    if (length > there) length = there;
    struct change *change = malloc(sizeof *change + length);
    if (!change) _exit(99);
    *change = (struct change){.earlier = unsynced, .device = now.st_dev, .file = now.st_ino,
                              .size = now.st_size, .start = start, .length = length};
    snprintf(change->path, sizeof change->path, "%s", path);
    if (length && REAL(pread)(fd, change->old, length, start) != (ssize_t)length) _exit(99);
    unsynced = change;
}

static void forget(int fd) {
    struct stat now;
    if (fstat(fd, &now) != 0) return;
    for (struct change **link = &unsynced; *link;) {
        struct change *change = *link;
        if (change->file == now.st_ino && change->device == now.st_dev) {
            *link = change->earlier;
            free(change);
        } else {
            link = &change->earlier;
        }
    }
}

#define DONE(type, call)                 \
    do {                                 \
        type result = call;              \
        pthread_mutex_unlock(&lock);     \
        return result;                   \
    } while (0)

ssize_t write(int fd, const void *bytes, size_t length) {
    char path[PATH_MAX];
    if (!store_path(fd, path)) return REAL(write)(fd, bytes, length);
    step();
    remember(fd, path, lseek(fd, 0, SEEK_CUR), length);
    DONE(ssize_t, REAL(write)(fd, bytes, length));
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t start) {
    char path[PATH_MAX];
    if (!store_path(fd, path)) return REAL(pwrite)(fd, bytes, length, start);
    step();
    remember(fd, path, start, length);
    DONE(ssize_t, REAL(pwrite)(fd, bytes, length, start));
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t start) { return pwrite(fd, bytes, length, start); }

int ftruncate(int fd, off_t size) {
    char path[PATH_MAX];
    if (!store_path(fd, path)) return REAL(ftruncate)(fd, size);
    step();
    remember(fd, path, size, SIZE_MAX / 2);
    DONE(int, REAL(ftruncate)(fd, size));
}

int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }

static int synced(int fd, int (*sync)(int)) {
    char path[PATH_MAX];
    if (!store_path(fd, path)) return sync(fd);
    step();
    int result = sync(fd);
    if (result == 0) forget(fd);
    pthread_mutex_unlock(&lock);
    return result;
}

int fsync(int fd) { return synced(fd, REAL(fsync)); }

int fdatasync(int fd) { return synced(fd, REAL(fdatasync)); }

int unlink(const char *path) {
    if (!is_store(path)) return REAL(unlink)(path);
    step();
    DONE(int, REAL(unlink)(path));
}
