/* Ends the process it is loaded into (LD_PRELOAD) just before a chosen write to the data directory.
 *
 * The steps are what changes the store's files: write, pwrite, ftruncate, fsync, fdatasync, unlink.
 * With CRASH_DIRECTORY=PATH, the data directory, they are also what changes the directories `components` and
 * `code` below it: the same, and open (of a new file), mkdir, rename. With CRASH_FROM=PATH steps count from the moment
 * on that this file is there.
 * CRASH_AT=N ends the process before step N. With CRASH_POWER=1 everything that was written and not yet
 * synced is taken back first, as a power loss may do; names are synced with their directory.
 * The WAL's index is left out: it is memory, and made anew.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

enum kind { CONTENT, MADE, RENAMED };

struct change {
    struct change *earlier;
    enum kind kind;
    dev_t device;
    ino_t file;
    char path[PATH_MAX], from[PATH_MAX];
    off_t size, start;
    size_t length;
    char old[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct change *unsynced;
static long steps;

/* What of the path lies below the data directory. */
static const char *below(const char *path) {
    const char *directory = getenv("CRASH_DIRECTORY");
    size_t length = directory ? strlen(directory) : 0;
    if (!length || strncmp(path, directory, length) != 0) return NULL;
    return path[length] == '/' ? path + length + 1 : path[length] ? NULL : path + length;
}

static int is_kept(const char *path) {
    const char *rest = below(path);
    return rest && (strncmp(rest, "components", 10) == 0 || strncmp(rest, "code", 4) == 0);
}

static int is_store(const char *path) {
    const char *name = strrchr(path, '/');
    if (is_kept(path)) return 1;
    if (!name || strncmp(name + 1, "saga.db", 7) != 0) return 0;
    return strcmp(name + 8, "-shm") != 0;
}

/* Where a name really is; false where that is none of the directories that are kept. */
static int kept_path(const char *name, char path[PATH_MAX]) {
    char directory[PATH_MAX];
    const char *last = strrchr(name, '/');
    if (!last || last - name >= PATH_MAX) return 0;
    snprintf(directory, sizeof directory, "%.*s", (int)(last - name), name);
    char real[PATH_MAX];
    if (!realpath(directory, real)) return 0;
    return snprintf(path, PATH_MAX, "%s%s", real, last) < PATH_MAX && is_kept(path);
}

static int store_path(int fd, char path[PATH_MAX]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    const char *rest = below(path);
    return is_store(path) || (rest && !*rest);
}

/* A power loss: nothing that was not synced is there. */
static void take_back(void) {
    for (struct change *change = unsynced; change; change = change->earlier) {
        if (change->kind == RENAMED) REAL(rename)(change->path, change->from);
        if (change->kind == MADE) {
            /* What is in a directory is lost with it. */
            char lost[PATH_MAX + 8];
            snprintf(lost, sizeof lost, "%s.lost", change->path);
            if (REAL(unlink)(change->path) != 0) REAL(rename)(change->path, lost);
        }
        if (change->kind != CONTENT) continue;
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
    const char *at = getenv("CRASH_AT"), *from = getenv("CRASH_FROM");
    if (from && access(from, F_OK) != 0) return;
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

/* Remembers a new name. */
static void remember_name(enum kind kind, const char *path, const char *from) {
    struct change *change = getenv("CRASH_POWER") ? malloc(sizeof *change) : NULL;
    if (!change) return;
    *change = (struct change){.earlier = unsynced, .kind = kind};
    snprintf(change->path, sizeof change->path, "%s", path);
    snprintf(change->from, sizeof change->from, "%s", from);
    /* What is in the file goes with it. */
    struct stat now;
    if (kind == RENAMED && stat(path, &now) == 0)
        for (struct change *content = unsynced; content; content = content->earlier)
            if (content->kind == CONTENT && content->file == now.st_ino && content->device == now.st_dev)
                snprintf(content->path, sizeof content->path, "%s", path);
    unsynced = change;
}

/* Whether a change is a new name in this directory. */
static int is_named_in(const struct change *change, const char *directory) {
    size_t length = strlen(directory);
    return change->kind != CONTENT && strncmp(change->path, directory, length) == 0 &&
           strrchr(change->path, '/') == change->path + length;
}

static void forget(int fd, const char *path) {
    struct stat now;
    if (fstat(fd, &now) != 0) return;
    for (struct change **link = &unsynced; *link;) {
        struct change *change = *link;
        if (is_named_in(change, path) ||
            (change->kind == CONTENT && change->file == now.st_ino && change->device == now.st_dev)) {
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
    if (result == 0) forget(fd, path);
    pthread_mutex_unlock(&lock);
    return result;
}

int fsync(int fd) { return synced(fd, REAL(fsync)); }

int fdatasync(int fd) { return synced(fd, REAL(fdatasync)); }

int unlink(const char *path) {
    char kept[PATH_MAX];
    if (!is_store(path) && !kept_path(path, kept)) return REAL(unlink)(path);
    step();
    DONE(int, REAL(unlink)(path));
}

static int opened(const char *name, int flags, mode_t mode, int (*open_it)(const char *, int, ...)) {
    char path[PATH_MAX];
    struct stat before;
    if (!(flags & O_CREAT) || !kept_path(name, path)) return open_it(name, flags, mode);
    step();
    int is_there = stat(path, &before) == 0;
    if (is_there && (flags & O_TRUNC)) {
        int fd = open_it(path, O_RDONLY);
        if (fd < 0) _exit(99);
        remember(fd, path, 0, SIZE_MAX / 2);
        close(fd);
    }
    int fd = open_it(name, flags, mode);
    if (fd >= 0 && !is_there) remember_name(MADE, path, "");
    DONE(int, fd);
}

#define MODE(flags)                      \
    mode_t mode = 0;                     \
    if ((flags) & O_CREAT) {             \
        va_list more;                    \
        va_start(more, flags);           \
        mode = va_arg(more, mode_t);     \
        va_end(more);                    \
    }

int open(const char *name, int flags, ...) {
    MODE(flags)
    return opened(name, flags, mode, REAL(open));
}

int open64(const char *name, int flags, ...) {
    MODE(flags)
    return opened(name, flags, mode, REAL(open64));
}

int mkdir(const char *name, mode_t mode) {
    char path[PATH_MAX];
    if (!kept_path(name, path)) return REAL(mkdir)(name, mode);
    step();
    int result = REAL(mkdir)(name, mode);
    int error = errno;
    if (result == 0) remember_name(MADE, path, "");
    errno = error;
    DONE(int, result);
}

int rename(const char *from, const char *to) {
    char path[PATH_MAX], before[PATH_MAX];
    if (!kept_path(to, path) || !kept_path(from, before)) return REAL(rename)(from, to);
    step();
    /* What is replaced could not be brought back. */
    if (getenv("CRASH_POWER") && access(path, F_OK) == 0) _exit(98);
    int result = REAL(rename)(from, to);
    if (result == 0) remember_name(RENAMED, path, before);
    DONE(int, result);
}
