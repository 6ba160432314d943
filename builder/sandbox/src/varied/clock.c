/* Another wall clock for every program that asks libc: OFFSET seconds from the machine's.
 *
 * Compiled by `kiln verify` with the compiler of the root file system that it is used in, and named in
 * /etc/ld.so.preload there. What is asked for is shifted, what is set is shifted back: a file that is
 * written now has a time of now, and one that is given a time has that time. The monotonic clock stays,
 * so a wait lasts as long as it should. Nothing shows in the environment.
 *
 * Not reached: programs without a dynamic linker, and those that ask the kernel past libc. */
#define _GNU_SOURCE
#define _LARGEFILE64_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

/* A time of day is greater than this, and no machine has run for so long. */
#define NO_UPTIME 500000000L

#define REAL(name) ({                                        \
        static void *found;                                  \
        if (!found) found = dlsym(RTLD_NEXT, #name);         \
        (__typeof__(&name))found; })

static int is_wall(clockid_t clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI
        || clock == CLOCK_REALTIME_ALARM;
}

/* The clocks. */

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = REAL(clock_gettime)(clock, now);
    if (result == 0 && is_wall(clock)) now->tv_sec += OFFSET;
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    /* Nobody may pass a null pointer, and some do. */
    struct timeval *volatile place = now;
    int result = REAL(gettimeofday)(now, zone);
    if (result == 0 && place) now->tv_sec += OFFSET;
    return result;
}

time_t time(time_t *place)
{
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME_COARSE, &now) != 0) return (time_t)-1;
    if (place) *place = now.tv_sec;
    return now.tv_sec;
}

int timespec_get(struct timespec *now, int base)
{
    if (base != TIME_UTC || clock_gettime(CLOCK_REALTIME, now) != 0) return 0;
    return base;
}

/* Waits until a time of day. */

static const struct timespec *back(const struct timespec *until, struct timespec *real)
{
    if (!until || until->tv_sec < NO_UPTIME) return until;
    *real = *until;
    real->tv_sec -= OFFSET;
    return real;
}

#define WAIT(name, parameters, ...)                          \
    int name parameters                                      \
    {                                                        \
        struct timespec real;                                \
        return REAL(name)(__VA_ARGS__);                      \
    }

WAIT(pthread_cond_timedwait,
     (pthread_cond_t *restrict c, pthread_mutex_t *restrict m, const struct timespec *restrict t),
     c, m, back(t, &real))
WAIT(pthread_mutex_timedlock,
     (pthread_mutex_t *restrict m, const struct timespec *restrict t), m, back(t, &real))
WAIT(pthread_rwlock_timedrdlock,
     (pthread_rwlock_t *restrict l, const struct timespec *restrict t), l, back(t, &real))
WAIT(pthread_rwlock_timedwrlock,
     (pthread_rwlock_t *restrict l, const struct timespec *restrict t), l, back(t, &real))
WAIT(pthread_timedjoin_np,
     (pthread_t p, void **r, const struct timespec *t), p, r, back(t, &real))
WAIT(sem_timedwait, (sem_t *restrict s, const struct timespec *restrict t), s, back(t, &real))
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 30)
WAIT(pthread_cond_clockwait,
     (pthread_cond_t *restrict c, pthread_mutex_t *restrict m, clockid_t k,
      const struct timespec *restrict t),
     c, m, k, back(t, &real))
WAIT(pthread_mutex_clocklock,
     (pthread_mutex_t *restrict m, clockid_t k, const struct timespec *restrict t),
     m, k, back(t, &real))
WAIT(sem_clockwait,
     (sem_t *restrict s, clockid_t k, const struct timespec *restrict t), s, k, back(t, &real))
#endif

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *rest)
{
    struct timespec real;
    if (flags & TIMER_ABSTIME) until = back(until, &real);
    return REAL(clock_nanosleep)(clock, flags, until, rest);
}

static const struct itimerspec *timer_back(const struct itimerspec *new, struct itimerspec *real)
{
    if (!new || new->it_value.tv_sec < NO_UPTIME) return new;
    *real = *new;
    real->it_value.tv_sec -= OFFSET;
    return real;
}

int timer_settime(timer_t timer, int flags, const struct itimerspec *restrict new,
                  struct itimerspec *restrict old)
{
    struct itimerspec real;
    if (flags & TIMER_ABSTIME) new = timer_back(new, &real);
    return REAL(timer_settime)(timer, flags, new, old);
}

int timerfd_settime(int timer, int flags, const struct itimerspec *new, struct itimerspec *old)
{
    struct itimerspec real;
    if (flags & TFD_TIMER_ABSTIME) new = timer_back(new, &real);
    return REAL(timerfd_settime)(timer, flags, new, old);
}

/* Times of files that are asked for. */

static int shift(int result, struct stat *found)
{
    if (result == 0) {
        found->st_atim.tv_sec += OFFSET;
        found->st_mtim.tv_sec += OFFSET;
        found->st_ctim.tv_sec += OFFSET;
    }
    return result;
}

static int shift_x(int result, struct statx *found)
{
    if (result == 0) {
        found->stx_atime.tv_sec += OFFSET;
        found->stx_mtime.tv_sec += OFFSET;
        found->stx_ctime.tv_sec += OFFSET;
        found->stx_btime.tv_sec += OFFSET;
    }
    return result;
}

/* One layout for both names: 64-bit machines only. */
_Static_assert(sizeof(struct stat) == sizeof(struct stat64), "stat64");

#define STAT(name, type, parameters, ...)                    \
    int name parameters                                      \
    {                                                        \
        return shift(REAL(name)(__VA_ARGS__), (struct stat *)s); \
    }

#undef stat
#undef lstat
#undef fstat
#undef fstatat
STAT(stat, stat, (const char *restrict p, struct stat *restrict s), p, s)
STAT(lstat, stat, (const char *restrict p, struct stat *restrict s), p, s)
STAT(fstat, stat, (int f, struct stat *s), f, s)
STAT(fstatat, stat, (int d, const char *restrict p, struct stat *restrict s, int f), d, p, s, f)
STAT(stat64, stat64, (const char *restrict p, struct stat64 *restrict s), p, s)
STAT(lstat64, stat64, (const char *restrict p, struct stat64 *restrict s), p, s)
STAT(fstat64, stat64, (int f, struct stat64 *s), f, s)
STAT(fstatat64, stat64, (int d, const char *restrict p, struct stat64 *restrict s, int f), d, p, s, f)

/* What programs call that were built with a libc before 2.33. */
int __xstat(int, const char *, struct stat *);
int __lxstat(int, const char *, struct stat *);
int __fxstat(int, int, struct stat *);
int __fxstatat(int, int, const char *, struct stat *, int);
int __xstat64(int, const char *, struct stat64 *);
int __lxstat64(int, const char *, struct stat64 *);
int __fxstat64(int, int, struct stat64 *);
int __fxstatat64(int, int, const char *, struct stat64 *, int);
STAT(__xstat, stat, (int v, const char *p, struct stat *s), v, p, s)
STAT(__lxstat, stat, (int v, const char *p, struct stat *s), v, p, s)
STAT(__fxstat, stat, (int v, int f, struct stat *s), v, f, s)
STAT(__fxstatat, stat, (int v, int d, const char *p, struct stat *s, int f), v, d, p, s, f)
STAT(__xstat64, stat64, (int v, const char *p, struct stat64 *s), v, p, s)
STAT(__lxstat64, stat64, (int v, const char *p, struct stat64 *s), v, p, s)
STAT(__fxstat64, stat64, (int v, int f, struct stat64 *s), v, f, s)
STAT(__fxstatat64, stat64, (int v, int d, const char *p, struct stat64 *s, int f), v, d, p, s, f)

int statx(int folder, const char *restrict path, int flags, unsigned mask,
          struct statx *restrict found)
{
    return shift_x(REAL(statx)(folder, path, flags, mask, found), found);
}

/* Times of files that are set. */

static const struct timespec *unshift(const struct timespec times[2], struct timespec real[2])
{
    if (!times) return times;
    for (int i = 0; i < 2; i++) {
        real[i] = times[i];
        if (real[i].tv_nsec != UTIME_NOW && real[i].tv_nsec != UTIME_OMIT) real[i].tv_sec -= OFFSET;
    }
    return real;
}

static const struct timeval *unshift_micro(const struct timeval times[2], struct timeval real[2])
{
    if (!times) return times;
    for (int i = 0; i < 2; i++) {
        real[i] = times[i];
        real[i].tv_sec -= OFFSET;
    }
    return real;
}

int utimensat(int folder, const char *path, const struct timespec times[2], int flags)
{
    struct timespec real[2];
    return REAL(utimensat)(folder, path, unshift(times, real), flags);
}

int futimens(int file, const struct timespec times[2])
{
    struct timespec real[2];
    return REAL(futimens)(file, unshift(times, real));
}

int utimes(const char *path, const struct timeval times[2])
{
    struct timeval real[2];
    return REAL(utimes)(path, unshift_micro(times, real));
}

int lutimes(const char *path, const struct timeval times[2])
{
    struct timeval real[2];
    return REAL(lutimes)(path, unshift_micro(times, real));
}

int futimes(int file, const struct timeval times[2])
{
    struct timeval real[2];
    return REAL(futimes)(file, unshift_micro(times, real));
}

int futimesat(int folder, const char *path, const struct timeval times[2])
{
    struct timeval real[2];
    return REAL(futimesat)(folder, path, unshift_micro(times, real));
}

int utime(const char *path, const struct utimbuf *times)
{
    struct utimbuf real;
    if (times) {
        real.actime = times->actime - OFFSET;
        real.modtime = times->modtime - OFFSET;
        times = &real;
    }
    return REAL(utime)(path, times);
}

/* Calls by number, as libuv does. */

long syscall(long number, ...)
{
    va_list list;
    long a[6];
    va_start(list, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_utimensat) {
        struct timespec real[2];
        a[2] = (long)unshift((const struct timespec *)a[2], real);
        return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    }
    long result = REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (result == 0 && number == SYS_statx) shift_x(0, (struct statx *)a[4]);
    if (result == 0 && number == SYS_clock_gettime && is_wall((clockid_t)a[0]))
        ((struct timespec *)a[1])->tv_sec += OFFSET;
    return result;
}
