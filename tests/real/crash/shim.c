// Counts the calls with which a process changes files, and at one of them ends the process or fails.
//
//   SHIM_LOG=FILE    a line `NUMBER CALL PATH` for each of them
//   SHIM_KILL=N      the Nth ends the process before it is done; a write is done by half first
//   SHIM_FAIL=N:E    the Nth fails with the error number E
//   SHIM_FAIL=N+:E   so does every one that follows
//   SHIM_LACKS=WHAT  the file system has no `modes`, `colons` in names, symbolic `links`, `locks` or `foldersyncs`
//
// The process gets a umask that hides everything, so that a mode set late is seen.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long calls;
static long kill_at, fail_at, fail_on;
static int fail_with, log_fd = -1;
static const char *lacks;

__attribute__((constructor)) static void start(void) {
    const char *kill = getenv("SHIM_KILL"), *fail = getenv("SHIM_FAIL"), *log = getenv("SHIM_LOG");
    char *end;
    umask(077);
    lacks = getenv("SHIM_LACKS");
    if (kill) kill_at = atol(kill);
    if (fail) {
        fail_at = strtol(fail, &end, 10);
        if (*end == '+') { fail_on = 1; end++; }
        fail_with = atoi(end + 1);
    }
    if (log) log_fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

static void end_process(void) {
    raise(SIGKILL);
}

static int is_lacking(const char *what) {
    return lacks && !strcmp(lacks, what);
}

// The error to fail with, or 0; does not return where the process is to end. For a write the caller
// does that, when half of it is done.
static int count(const char *call, const char *path, int *ends) {
    long number = atomic_fetch_add(&calls, 1) + 1;
    if (log_fd >= 0) {
        char line[5000];
        int length = snprintf(line, sizeof line, "%ld %s %.4900s\n", number, call, path);
        syscall(SYS_write, log_fd, line, length);
    }
    if (number == kill_at) {
        if (!ends) end_process();
        *ends = 1;
    }
    const char *slash = strrchr(path, '/');
    if (is_lacking("modes") && strstr(call, "chmod")) return EPERM;
    if (is_lacking("links") && strstr(call, "symlink")) return EPERM;
    if (is_lacking("colons") && strchr(slash ? slash : path, ':')) return EINVAL;
    int fails = fail_at && (number == fail_at || (fail_on && number > fail_at));
    return fails ? fail_with : 0;
}

static int is_file(int fd) {
    struct stat meta;
    return !fstat(fd, &meta) && S_ISREG(meta.st_mode);
}

static const char *path_of(int fd, char *buffer, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t got = readlink(link, buffer, size - 1);
    buffer[got < 0 ? 0 : got] = 0;
    return buffer;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define CHANGES(name, parameters, arguments, path)          \
    int name parameters {                                   \
        int error = count(#name, path, NULL);               \
        if (error) { errno = error; return -1; }            \
        return NEXT(name) arguments;                        \
    }

CHANGES(rename, (const char *from, const char *to), (from, to), to)
CHANGES(renameat, (int a, const char *from, int b, const char *to), (a, from, b, to), to)
CHANGES(renameat2, (int a, const char *from, int b, const char *to, unsigned f), (a, from, b, to, f), to)
CHANGES(link, (const char *from, const char *to), (from, to), to)
CHANGES(linkat, (int a, const char *from, int b, const char *to, int f), (a, from, b, to, f), to)
CHANGES(symlink, (const char *from, const char *to), (from, to), to)
CHANGES(unlink, (const char *path), (path), path)
CHANGES(unlinkat, (int a, const char *path, int f), (a, path, f), path)
CHANGES(mkdir, (const char *path, mode_t mode), (path, mode), path)
CHANGES(mkdirat, (int a, const char *path, mode_t mode), (a, path, mode), path)
CHANGES(rmdir, (const char *path), (path), path)
CHANGES(chmod, (const char *path, mode_t mode), (path, mode), path)
CHANGES(fchmod, (int fd, mode_t mode), (fd, mode), "")
CHANGES(fchmodat, (int a, const char *path, mode_t mode, int f), (a, path, mode, f), path)
CHANGES(truncate, (const char *path, off_t length), (path, length), path)
CHANGES(truncate64, (const char *path, off64_t length), (path, length), path)
CHANGES(ftruncate, (int fd, off_t length), (fd, length), "")
CHANGES(ftruncate64, (int fd, off64_t length), (fd, length), "")

#define OPENS(name, first, pass)                                            \
    int name(first const char *path, int flags, ...) {                      \
        va_list more;                                                       \
        va_start(more, flags);                                              \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0; \
        va_end(more);                                                       \
        if (flags & (O_CREAT | O_TRUNC)) {                                  \
            int error = count(#name, path, NULL);                           \
            if (error) { errno = error; return -1; }                        \
        }                                                                   \
        return NEXT(name)(pass path, flags, mode);                          \
    }

int flock(int fd, int operation) {
    if (is_lacking("locks")) { errno = ENOLCK; return -1; }
    return NEXT(flock)(fd, operation);
}

int fsync(int fd) {
    if (is_lacking("foldersyncs") && !is_file(fd)) { errno = EINVAL; return -1; }
    return NEXT(fsync)(fd);
}

#define COMMA ,
OPENS(open, , )
OPENS(open64, , )
OPENS(openat, int folder COMMA, folder COMMA)
OPENS(openat64, int folder COMMA, folder COMMA)

// `HALF` does half of it.
#define WRITES(name, parameters, fd, arguments, HALF)       \
    ssize_t name parameters {                               \
        if (is_file(fd)) {                                  \
            char path[4096];                                \
            int ends = 0;                                   \
            int error = count(#name, path_of(fd, path, sizeof path), &ends); \
            if (ends) { HALF; end_process(); }              \
            if (error) { errno = error; return -1; }        \
        }                                                   \
        return NEXT(name) arguments;                        \
    }

WRITES(write, (int fd, const void *from, size_t length), fd, (fd, from, length),
       syscall(SYS_write, fd, from, length / 2))
WRITES(writev, (int fd, const struct iovec *from, int parts), fd, (fd, from, parts),
       syscall(SYS_writev, fd, from, parts / 2))
WRITES(pwrite, (int fd, const void *from, size_t length, off_t at), fd, (fd, from, length, at),
       syscall(SYS_pwrite64, fd, from, length / 2, at))
WRITES(pwrite64, (int fd, const void *from, size_t length, off64_t at), fd, (fd, from, length, at),
       syscall(SYS_pwrite64, fd, from, length / 2, at))
WRITES(sendfile, (int fd, int from, off_t *at, size_t length), fd, (fd, from, at, length),
       syscall(SYS_sendfile, fd, from, at, length / 2))
WRITES(sendfile64, (int fd, int from, off64_t *at, size_t length), fd, (fd, from, at, length),
       syscall(SYS_sendfile, fd, from, at, length / 2))
WRITES(copy_file_range, (int from, off64_t *a, int fd, off64_t *b, size_t length, unsigned f), fd,
       (from, a, fd, b, length, f), syscall(SYS_copy_file_range, from, a, fd, b, length / 2, f))
