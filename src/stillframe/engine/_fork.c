/* What the engine needs of the C library and of CPython that Python does not offer.
 *
 * fork_detached() forks a process whose parent is the supervisor, not the caller:
 *
 *     caller ──clone(VM|VFORK)──► middle ──fork()──► child        middle exits at once, so the child
 *       │    shares all memory,     │                  │          goes to the nearest subreaper, which
 *       │◄── the caller waits ──────┘                  │          is the supervisor
 *       ▼                                              ▼
 *     goes on                      jumps back to where the caller stands, in its own copy of the stack
 *
 * A plain fork would leave the user's program with a child it does not know (os.wait() would find it),
 * and a plain double fork copies the page tables twice. The middle process shares the caller's memory
 * and is no SIGCHLD child, so the caller's wait() does not see it, and only one copy is made. The C
 * library's fork() is called, not the system call: the pthread_atfork handlers that OpenBLAS, Arrow and
 * others rely on run as for any other fork. The child leads a process group of its own.
 */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
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

/* Returns the child's pid in the caller, 0 in the child, -1 with errno set. No Python is run. */
static pid_t __attribute__((noinline)) fork_through_middle(void)
{
    static struct detached detached;
    static sigset_t every, before;
    detached.pid = -1;
    detached.error = 0;
    /* A signal in the middle process would run the caller's handlers in the caller's memory. */
    sigfillset(&every);
    sigprocmask(SIG_SETMASK, &every, &before);
    if (__builtin_setjmp(detached.caller) != 0) {
        register_rseq();
        sigprocmask(SIG_SETMASK, &before, NULL);
        return 0;
    }
    pid_t middle_pid = clone(middle, middle_stack + sizeof(middle_stack), CLONE_VM | CLONE_VFORK, &detached);
    int error = errno;
    if (middle_pid > 0) {
        while (waitpid(middle_pid, NULL, __WCLONE) < 0 && errno == EINTR)
            ;
        error = detached.error;
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (middle_pid < 0 || detached.pid < 0) {
        errno = error ? error : ECHILD;
        return -1;
    }
    return detached.pid;
}

/* Copies the pages of `ranges` (pairs of address and length) now, in one go: a fifth of what it costs to meet
 * them one by one as page faults. A range that is not mapped any more is passed over. */
static void populate_ranges(const Py_buffer *ranges)
{
    const uint64_t *pairs = ranges->buf;
    for (Py_ssize_t i = 0; i + 1 < ranges->len / (Py_ssize_t)sizeof(uint64_t); i += 2)
        madvise((void *)(uintptr_t)pairs[i], (size_t)pairs[i + 1], 23 /* MADV_POPULATE_WRITE, Linux 5.14 */);
}

static PyObject *populate(PyObject *module, PyObject *ranges)
{
    Py_buffer buffer;
    if (PyObject_GetBuffer(ranges, &buffer, PyBUF_SIMPLE) < 0)
        return NULL;
    populate_ranges(&buffer);
    PyBuffer_Release(&buffer);
    Py_RETURN_NONE;
}

static PyObject *fork_detached(PyObject *module, PyObject *ranges)
{
    Py_buffer buffer;
    if (PyObject_GetBuffer(ranges, &buffer, PyBUF_SIMPLE) < 0)
        return NULL;
    PyOS_BeforeFork();
    pid_t pid = fork_through_middle();
    int error = errno;
    if (pid == 0) {
        populate_ranges(&buffer);
        PyOS_AfterFork_Child();
    } else {
        PyOS_AfterFork_Parent();
    }
    PyBuffer_Release(&buffer);
    if (pid < 0) {
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return PyLong_FromLong(pid);
}

/* Has the kernel send SIGKILL to this process when the last writer of the pipe `lifeline` is gone. The
 * receiver is a property of the open file, so the pipe is opened anew, as descriptor `own`. */
static PyObject *arm_lifeline(PyObject *module, PyObject *args)
{
    int lifeline, own;
    char path[32];
    if (!PyArg_ParseTuple(args, "ii", &lifeline, &own))
        return NULL;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", lifeline);
    int opened = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (opened < 0 || dup3(opened, own, O_CLOEXEC) < 0 || close(opened) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    if (fcntl(own, F_SETOWN, getpid()) < 0 || fcntl(own, F_SETSIG, SIGKILL) < 0 ||
        fcntl(own, F_SETFL, O_NONBLOCK | O_ASYNC) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    struct pollfd gone = {.fd = own, .events = 0};
    if (poll(&gone, 1, 0) > 0) /* it went before the pipe was armed */
        _exit(0);
    Py_RETURN_NONE;
}

/* C's stdout is a pipe here, so it would keep what printf writes until 4 KiB are full: out of order with
 * what Python prints, and once more in every fork. */
static PyObject *unbuffer_stdio(PyObject *module, PyObject *unused)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    setvbuf(stderr, NULL, _IONBF, 0);
    Py_RETURN_NONE;
}

/* Two descriptors may be one open file (dup): they have one offset, and must have one again in a fork. */
static PyObject *is_same_open_file(PyObject *module, PyObject *args)
{
    int first, second;
    if (!PyArg_ParseTuple(args, "ii", &first, &second))
        return NULL;
    pid_t pid = getpid();
    return PyBool_FromLong(syscall(SYS_kcmp, pid, pid, 0 /* KCMP_FILE */, first, second) == 0);
}

#if PY_VERSION_HEX >= 0x030C0000 && PY_VERSION_HEX < 0x030E0000
static int immortalize_one(PyObject *object, void *unused)
{
    object->ob_refcnt = _Py_IMMORTAL_REFCNT;
    return 0;
}
#endif

/* Nobody writes the reference count of an immortal object, so the pages that hold one stay shared. */
static PyObject *immortalize(PyObject *module, PyObject *objects)
{
    if (!PyList_CheckExact(objects))
        return PyErr_Format(PyExc_TypeError, "immortalize() takes a list");
    Py_ssize_t count = 0;
#if PY_VERSION_HEX >= 0x030C0000 && PY_VERSION_HEX < 0x030E0000
    count = PyList_GET_SIZE(objects);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *object = PyList_GET_ITEM(objects, i);
        immortalize_one(object, NULL);
        if (Py_TYPE(object)->tp_traverse != NULL)
            Py_TYPE(object)->tp_traverse(object, immortalize_one, NULL);
    }
#endif
    return PyLong_FromSsize_t(count);
}

static PyMethodDef methods[] = {
    {"fork_detached", fork_detached, METH_O,
     "fork_detached(ranges) -> pid, 0 in the child, which copies the pages of `ranges` first.\n\n"
     "The child's parent is the nearest subreaper."},
    {"populate", populate, METH_O,
     "populate(ranges): copy these pages now. Pairs of address and length, 64 bits each."},
    {"is_same_open_file", is_same_open_file, METH_VARARGS,
     "is_same_open_file(first, second) -> whether two descriptors of this process share an offset."},
    {"arm_lifeline", arm_lifeline, METH_VARARGS,
     "arm_lifeline(lifeline, own): die when the pipe `lifeline` has no writer; `own` is this process's copy."},
    {"unbuffer_stdio", unbuffer_stdio, METH_NOARGS, "Have C's stdout and stderr write at once."},
    {"immortalize", immortalize, METH_O,
     "immortalize(objects) -> how many. They and what they refer to directly are never freed (3.12, 3.13)."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "stillframe.engine._fork", "Forking that leaves the user's children alone.", 0, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__fork(void)
{
    return PyModule_Create(&definition);
}
