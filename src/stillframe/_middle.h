/* A fork through a middle process: its parent is the nearest subreaper, and the caller's own wait() does not
 * find it. engine/_fork.c draws how, and says why.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__GLIBC__) && defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 35)
#include <sys/rseq.h>
#define HAS_RSEQ 1
#endif
#endif

/* The middle process runs fork() and every atfork handler on this stack. */
static char middle_stack[512 * 1024] __attribute__((aligned(64)));

struct detached {
    void *caller[5]; /* __builtin_setjmp's buffer: where the child goes on */
    pid_t pid;
    int error;
};

static int middle(void *argument)
{
    struct detached *detached = argument;
    pid_t pid = fork();
    if (pid == 0)
        __builtin_longjmp(detached->caller, 1);
    detached->error = pid < 0 ? errno : 0;
    detached->pid = pid;
    /* Before the caller goes on: a signal to the caller's process group must not reach the new process. */
    if (pid > 0)
        setpgid(pid, pid);
    return 0;
}

/* A process cloned with CLONE_VM has no restartable sequences, and its child inherits that. Without this
 * sched_getcpu() in the child would for ever answer with the processor of the moment of the fork. */
static void register_rseq(void)
{
#if defined(HAS_RSEQ) && defined(SYS_rseq)
    if (__rseq_size == 0)
        return;
    struct rseq *area = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
    if (syscall(SYS_rseq, area, sizeof(*area) < 32 ? 32 : sizeof(*area), 0, RSEQ_SIG) != 0)
        area->cpu_id = (unsigned)RSEQ_CPU_ID_REGISTRATION_FAILED;
#endif
}

/* Returns the child's pid in the caller, 0 in the child, -1 with errno set. No Python is run. With
 * `stays_blocked` the child goes on with all signals blocked. */
static pid_t __attribute__((noinline)) fork_through_middle(int stays_blocked)
{
    static struct detached detached;
    static sigset_t every, before;
    detached.pid = -1;
    detached.error = 0;
    /* A signal in the middle process would run the caller's handlers in the caller's memory. */
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    if (__builtin_setjmp(detached.caller) != 0) {
        /* The middle process does it too, but may be late: what is forked here must not be in the caller's group. */
        setpgid(0, 0);
        register_rseq();
        if (!stays_blocked)
            pthread_sigmask(SIG_SETMASK, &before, NULL);
        return 0;
    }
    pid_t middle_pid = clone(middle, middle_stack + sizeof(middle_stack), CLONE_VM | CLONE_VFORK, &detached);
    int error = errno;
    if (middle_pid > 0) {
        while (waitpid(middle_pid, NULL, __WCLONE) < 0 && errno == EINTR)
            ;
        error = detached.error;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (middle_pid < 0 || detached.pid < 0) {
        errno = error ? error : ECHILD;
        return -1;
    }
    return detached.pid;
}
