/* Preloaded into a program: writes down, in order, what it does to the files below one directory.
 *
 * RECORD_ROOT is the directory, RECORD_LOG the file that is written. A record is a header and two byte strings;
 * files are told apart by inode. The replay (power_cuts.py) makes of it what a disk may hold after a power cut. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CREATE = 1, WRITE, TRUNCATE, SYNC, RENAME, UNLINK, MKDIR, LINK };

struct header {
    uint32_t what, first, second;
    uint32_t unused;
    uint64_t inode, offset;
};

static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static char root[4096];
static size_t root_length;
static int out = -1;

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void)
{
    const char *directory = getenv("RECORD_ROOT"), *path = getenv("RECORD_LOG");
    if (!directory || !path || !realpath(directory, root))
        return;
    root_length = strlen(root);
    int (*real_open)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    out = real_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

static void put(const void *data, size_t size)
{
    ssize_t (*real_write)(int, const void *, size_t) = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    const char *at = data;
    while (size) {
        ssize_t done = real_write(out, at, size);
        if (done <= 0)
            abort();
        at += done, size -= (size_t)done;
    }
}

static void note(uint32_t what, uint64_t inode, uint64_t offset, const void *a, size_t na, const void *b, size_t nb)
{
    struct header header = {what, (uint32_t)na, (uint32_t)nb, 0, inode, offset};
    put(&header, sizeof header);
    put(a, na);
    put(b, nb);
}

/* The path below the root, or NULL. */
static const char *below(const char *path, char *room)
{
    if (out < 0)
        return NULL;
    if (path[0] != '/') {
        char cwd[4096];
        if (!getcwd(cwd, sizeof cwd) || snprintf(room, 8192, "%s/%s", cwd, path) >= 8192)
            return NULL;
        path = room;
    }
    if (strncmp(path, root, root_length) || (path[root_length] && path[root_length] != '/'))
        return NULL;
    return path[root_length] ? path + root_length + 1 : "";
}

/* Whether the descriptor is of a file below the root; its inode, or of a directory its path. */
static int known(int fd, struct stat *found, char *path, size_t size)
{
    char link[64], target[4096], room[8192];
    if (out < 0 || fd == out || fstat(fd, found))
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, target, sizeof target - 1);
    if (length <= 0)
        return 0;
    target[length] = 0;
    const char *relative = below(target, room);
    if (!relative)
        return 0;
    snprintf(path, size, "%s", relative);
    return 1;
}

static int opened(int fd, const char *path, int flags, int was_there)
{
    struct stat found;
    char room[8192];
    const char *relative = below(path, room);
    if (fd < 0 || !relative || fstat(fd, &found) || !S_ISREG(found.st_mode))
        return fd;
    if (!was_there)
        note(CREATE, found.st_ino, 0, relative, strlen(relative), "", 0);
    else if (flags & O_TRUNC)
        note(TRUNCATE, found.st_ino, 0, "", 0, "", 0);
    return fd;
}

#define OPEN(name)                                                            \
    int name(const char *path, int flags, ...)                                \
    {                                                                         \
        REAL(name);                                                           \
        mode_t mode = 0;                                                      \
        if (flags & (O_CREAT | O_TMPFILE)) {                                  \
            va_list rest;                                                     \
            va_start(rest, flags);                                            \
            mode = va_arg(rest, mode_t);                                      \
            va_end(rest);                                                     \
        }                                                                     \
        pthread_mutex_lock(&lock);                                            \
        int was_there = !(flags & O_CREAT) || !access(path, F_OK);            \
        int fd = opened(real(path, flags, mode), path, flags, was_there);     \
        pthread_mutex_unlock(&lock);                                          \
        return fd;                                                            \
    }
OPEN(open)
OPEN(open64)

static void wrote(int fd, const void *data, ssize_t done, off64_t offset)
{
    struct stat found;
    char path[4096];
    if (done > 0 && known(fd, &found, path, sizeof path))
        note(WRITE, found.st_ino, (uint64_t)offset, path, strlen(path), data, (size_t)done);
}

ssize_t write(int fd, const void *data, size_t size)
{
    REAL(write);
    pthread_mutex_lock(&lock);
    off64_t offset = lseek64(fd, 0, SEEK_CUR);
    ssize_t done = real(fd, data, size);
    wrote(fd, data, done, offset);
    pthread_mutex_unlock(&lock);
    return done;
}

#define PWRITE(name, offset_type)                                             \
    ssize_t name(int fd, const void *data, size_t size, offset_type offset)   \
    {                                                                         \
        REAL(name);                                                           \
        pthread_mutex_lock(&lock);                                            \
        ssize_t done = real(fd, data, size, offset);                          \
        wrote(fd, data, done, offset);                                        \
        pthread_mutex_unlock(&lock);                                          \
        return done;                                                          \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define TRUNCATES(name, size_type)                                            \
    int name(int fd, size_type size)                                          \
    {                                                                         \
        REAL(name);                                                           \
        struct stat found;                                                    \
        char path[4096];                                                      \
        pthread_mutex_lock(&lock);                                            \
        int result = real(fd, size);                                          \
        if (!result && known(fd, &found, path, sizeof path))                  \
            note(TRUNCATE, found.st_ino, (uint64_t)size, "", 0, "", 0);       \
        pthread_mutex_unlock(&lock);                                          \
        return result;                                                        \
    }
TRUNCATES(ftruncate, off_t)
TRUNCATES(ftruncate64, off64_t)

#define SYNCS(name)                                                           \
    int name(int fd)                                                          \
    {                                                                         \
        REAL(name);                                                           \
        struct stat found;                                                    \
        char path[4096];                                                      \
        pthread_mutex_lock(&lock);                                            \
        int result = real(fd);                                                \
        if (!result && known(fd, &found, path, sizeof path)) {                \
            int is_directory = S_ISDIR(found.st_mode);                        \
            note(SYNC, found.st_ino, (uint64_t)is_directory, path, strlen(path), "", 0); \
        }                                                                     \
        pthread_mutex_unlock(&lock);                                          \
        return result;                                                        \
    }
SYNCS(fsync)
SYNCS(fdatasync)

int rename(const char *from, const char *to)
{
    REAL(rename);
    char room[8192], room2[8192];
    pthread_mutex_lock(&lock);
    int result = real(from, to);
    const char *a = below(from, room), *b = below(to, room2);
    if (!result && a && b)
        note(RENAME, 0, 0, a, strlen(a), b, strlen(b));
    pthread_mutex_unlock(&lock);
    return result;
}

int link(const char *from, const char *to)
{
    REAL(link);
    char room[8192], room2[8192];
    pthread_mutex_lock(&lock);
    int result = real(from, to);
    const char *a = below(from, room), *b = below(to, room2);
    if (!result && a && b)
        note(LINK, 0, 0, a, strlen(a), b, strlen(b));
    pthread_mutex_unlock(&lock);
    return result;
}

int unlink(const char *path)
{
    REAL(unlink);
    char room[8192];
    pthread_mutex_lock(&lock);
    int result = real(path);
    const char *relative = below(path, room);
    if (!result && relative)
        note(UNLINK, 0, 0, relative, strlen(relative), "", 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int mkdir(const char *path, mode_t mode)
{
    REAL(mkdir);
    char room[8192];
    pthread_mutex_lock(&lock);
    int result = real(path, mode);
    const char *relative = below(path, room);
    if (!result && relative)
        note(MKDIR, 0, 0, relative, strlen(relative), "", 0);
    pthread_mutex_unlock(&lock);
    return result;
}
