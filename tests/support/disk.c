/* Simulates a disk that fails or hangs. The library is loaded before the C library
 * (LD_PRELOAD) and intercepts calls on files whose path contains FAULT_NAME.
 * FAULT_CALL is write, sync, sync-folder, close or rename. A close that fails closes
 * the file nevertheless, as on Linux. FAULT_AFTER is the number of
 * bytes that are written before the first fault. The call then fails with
 * FAULT_ERRNO. If that is 0, the call creates the file FAULT_GATE.reached and
 * waits until the file FAULT_GATE is gone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static long written;

static int fails(const char *call, const char *path) {
    const char *wanted = getenv("FAULT_CALL");
    if (!wanted || strcmp(wanted, call) || !strstr(path, getenv("FAULT_NAME")))
        return 0;
    if (written < atol(getenv("FAULT_AFTER")))
        return 0;
    int error = atoi(getenv("FAULT_ERRNO"));
    if (error) {
        errno = error;
        return 1;
    }
    char reached[PATH_MAX];
    snprintf(reached, sizeof reached, "%s.reached", getenv("FAULT_GATE"));
    close(open(reached, O_CREAT | O_WRONLY, 0600));
    while (access(getenv("FAULT_GATE"), F_OK) == 0)
        usleep(5000);
    return 0;
}

static int fails_on(const char *call, int file) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return fails(call, path);
}

static int sync_fails(int file) {
    struct stat found;
    int is_folder = fstat(file, &found) == 0 && S_ISDIR(found.st_mode);
    return fails_on(is_folder ? "sync-folder" : "sync", file);
}

ssize_t write(int file, const void *bytes, size_t length) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real)
        real = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    if (fails_on("write", file))
        return -1;
    ssize_t count = real(file, bytes, length);
    if (count > 0 && file > 2)
        written += count;
    return count;
}

ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t offset) {
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (!real)
        real = (ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
    if (fails_on("write", file))
        return -1;
    ssize_t count = real(file, bytes, length, offset);
    if (count > 0)
        written += count;
    return count;
}

int fsync(int file) {
    static int (*real)(int);
    if (!real)
        real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return sync_fails(file) ? -1 : real(file);
}

int fdatasync(int file) {
    static int (*real)(int);
    if (!real)
        real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    return sync_fails(file) ? -1 : real(file);
}

int close(int file) {
    static int (*real)(int);
    if (!real)
        real = (int (*)(int))dlsym(RTLD_NEXT, "close");
    int failed = fails_on("close", file), error = errno;
    int closed = real(file);
    if (!failed)
        return closed;
    errno = error;
    return -1;
}

int rename(const char *from, const char *to) {
    static int (*real)(const char *, const char *);
    if (!real)
        real = (int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename");
    return fails("rename", to) ? -1 : real(from, to);
}
