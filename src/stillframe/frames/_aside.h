/* What a capture from outside of the program's own threads takes: `still run` (capture/periodic.py).
 *
 *     the program's threads      a thread of ours               the copy
 *     ─────────────────────      ────────────                   ────────
 *     wait for the lock          has it: fork_aside() ────────► all threads stand still in its memory;
 *     go on                      copy_said() waits              it pickles, writes, answers, ends
 *                                put_in_place()
 *
 * Invariants:
 *   * The copy is no child that the program's own wait() finds, and the program gets no SIGCHLD for it: it is
 *     forked by a middle process, which shares the caller's memory and is gone at once (see engine/_fork.c).
 *   * The copy ends with the program, whatever becomes of that, and by itself after a time limit.
 *   * In the copy no finalizer of the program's runs because of a collection.
 *   * Our thread comes back to the interpreter only by take_lock(): few times, and none of them long.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <time.h>
#include "../_middle.h"

/* ---- The interpreter's lock ------------------------------------------------------------------------- */

/* Has whoever holds the lock, if `only` is NULL or that thread, give it up where it next looks; it waits there until
 * another thread has it. Returns whether it was so. Called without the lock, by a thread that takes it next. */
static int request_lock(PyThreadState *ts, PyThreadState *only)
{
    struct _gil_runtime_state *gil = sf_gil(ts);
    /* Up to 3.12 these are atomics, structs of one member. */
    PyThreadState *holder;
    int is_locked;
    /* Who holds the lock cannot give it up, nor go away, while this mutex is held. */
    pthread_mutex_lock(&gil->mutex);
    memcpy(&holder, &gil->last_holder, sizeof(holder));
    memcpy(&is_locked, &gil->locked, sizeof(is_locked));
    int is_held = is_locked == 1 && (only == NULL || holder == only);
    if (is_held)
        sf_request_lock(ts, holder);
    pthread_mutex_unlock(&gil->mutex);
    return is_held;
}

/* PyEval_RestoreThread(), at once. That asks for the lock only after 5 ms in which nobody has let go of it: a thread
 * that calls the kernel every millisecond has taken it back each time before a waiting one is awake, and can keep
 * that waiting for seconds. */
static void take_lock(PyThreadState *ts)
{
    request_lock(ts, NULL);
    PyEval_RestoreThread(ts);
}

/* ---- The copy --------------------------------------------------------------------------------------- */

/* Ends the process as if nobody had ever handled the signal. */
static void end_by(int number)
{
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, number);
    signal(number, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &only, NULL);
    raise(number);
    _exit(128 + number); /* the first process of a container is not ended by a signal of its own */
}

/* Have the kernel end this process when nobody holds the reading end of its pipe any more: the lifeline. */
static int end_with_reader(int pipe)
{
    int flags = fcntl(pipe, F_GETFL);
    return fcntl(pipe, F_SETSIG, SIGKILL) < 0 || fcntl(pipe, F_SETOWN, getpid()) < 0 ||
           fcntl(pipe, F_SETFL, flags | O_ASYNC) < 0;
}

static void become_copy(PyThreadState *ts, int limit_s, int answer, int ours)
{
    /* All signals are blocked here but this one, which ends the copy. */
    sigset_t alarms;
    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    signal(SIGALRM, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &alarms, NULL);
    alarm((unsigned)limit_s);
    /* In this order: if the program has gone meanwhile, closing the last reading end ends the copy too. */
    if (end_with_reader(ours))
        _exit(1);
    close(answer);
    PyGC_Disable();
    be_alone(ts);
}

/* Has the file `made` be `to` from now on, whatever happens then. Returns 0, or -1 with errno. */
static int put(const char *made, const char *to)
{
    char folder[PATH_MAX];
    const char *end = strrchr(to, '/');
    /* Behind the last slash of "/name" is the root; "name" is in the working directory. */
    int length = end == NULL ? 1 : end == to ? 1 : (int)(end - to);
    if (snprintf(folder, sizeof(folder), "%.*s", length, end == NULL ? "." : to) >= (int)sizeof(folder)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (rename(made, to) < 0)
        return -1;
    /* The new name is durable only after its directory is synced too. */
    int file = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file < 0)
        return -1;
    int failed = fsync(file) < 0 ? errno : 0;
    close(file);
    errno = failed;
    return failed ? -1 : 0;
}

/* put_in_place(made, to): have the file `made` be `to` from now on, whatever happens then. */
static PyObject *put_in_place(PyObject *module, PyObject *args)
{
    const char *made, *to;
    if (!PyArg_ParseTuple(args, "yy", &made, &to))
        return NULL;
    PyThreadState *ts = PyEval_SaveThread();
    int failed = put(made, to) < 0 ? errno : 0;
    take_lock(ts);
    errno = failed;
    return failed ? PyErr_SetFromErrno(PyExc_OSError) : Py_NewRef(Py_None);
}

/* The program stands still: wait until the copy has written to `answer`, or has ended. If it has written a `K`,
 * put the file `made` in the place of `to`, and end by the signal. Returns the byte that was read, else 0. */
static int wait_and_end(int ended, int limit_s, int answer, int number, const char *made, const char *to)
{
    char kind = 0;
    struct pollfd events[2] = {{.fd = answer, .events = POLLIN}, {.fd = ended, .events = POLLIN}};
    poll(events, 2, limit_s * 1000);
    if (poll(events, 1, 0) > 0 && read(answer, &kind, 1) == 1 && kind == 'K' && put(made, to) == 0)
        end_by(number);
    return kind;
}

/* A pipe whose ends have numbers from `least` on. Returns 0, or -1 with errno. */
static int pipe_from(int least, int ends[2])
{
    int low[2];
    if (pipe2(low, O_CLOEXEC) < 0)
        return -1;
    for (int i = 0; i < 2; i++)
        ends[i] = fcntl(low[i], F_DUPFD_CLOEXEC, least);
    int error = errno;
    close(low[0]);
    close(low[1]);
    if (ends[0] >= 0 && ends[1] >= 0)
        return 0;
    if (ends[0] >= 0)
        close(ends[0]);
    errno = error;
    return -1;
}

/* fork_aside(limit_s, least, number, made, to) -> (pid, ended, answer, 0): a copy has been forked in which all other
 * threads stand still. `ended` is a descriptor of its process, or -1; `answer` is the reading end
 * of the pipe that it writes to; both are for copy_said(). In the copy: (0, -1, the writing end, 0). It ends when nobody
 * has the reading end any more, and at the latest after `limit_s`. Descriptors have numbers from `least` on.
 *
 * With a signal's `number` the program stands still too, until the copy has answered: if the first byte is a `K`, the
 * file `made` takes the place of `to`, and that signal ends the program before it goes on; else that byte is returned
 * as the last. */
static PyObject *fork_aside(PyObject *module, PyObject *args)
{
    int limit_s, least, number, pipe_ends[2];
    const char *made, *to;
    if (!PyArg_ParseTuple(args, "iiiyy", &limit_s, &least, &number, &made, &to))
        return NULL;
    if (pipe_from(least, pipe_ends) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    PyThreadState *ts = PyThreadState_Get();
    pid_t pid = fork_through_middle(1);
    if (pid == 0) {
        become_copy(ts, limit_s, pipe_ends[0], pipe_ends[1]);
        return Py_BuildValue("iiii", 0, -1, pipe_ends[1], 0);
    }
    int error = errno;
    close(pipe_ends[1]);
    if (pid < 0) {
        close(pipe_ends[0]);
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    int low = (int)syscall(SYS_pidfd_open, pid, 0);
    int ended = low < 0 ? -1 : fcntl(low, F_DUPFD_CLOEXEC, least);
    if (low >= 0)
        close(low);
    int kind = number ? wait_and_end(ended, limit_s, pipe_ends[0], number, made, to) : 0;
    return Py_BuildValue("iiii", (int)pid, ended, pipe_ends[0], kind);
}

/* copy_said(pid, ended, answer, wakes, buffer) -> how many bytes of the copy's answer are in the buffer now that it has
 * ended, or -1 as there is something to read from `wakes`: then it is to be called once more. Closes both descriptors at the
 * end. */
static PyObject *copy_said(PyObject *module, PyObject *args)
{
    int pid, ended, answer, wakes;
    Py_buffer buffer;
    if (!PyArg_ParseTuple(args, "iiiiw*", &pid, &ended, &answer, &wakes, &buffer))
        return NULL;
    struct pollfd events[2] = {{.fd = ended, .events = POLLIN}, {.fd = wakes, .events = POLLIN}};
    ssize_t length = -1;
    PyThreadState *ts = PyEval_SaveThread();
    /* A program may close all descriptors, ours too. Then nobody is awaited here, or nobody wakes us. */
    while (ended >= 0 && events[0].revents == 0 && !(events[1].revents & POLLIN)) {
        if (events[1].revents)
            events[1].fd = -1;
        poll(events, 2, -1);
    }
    if (ended < 0 || events[0].revents) {
        if (getpid() == 1)
            /* In a container without an init of its own, orphans are the program's, and so is the copy. */
            waitpid(pid, NULL, 0);
        length = read(answer, buffer.buf, (size_t)buffer.len);
        length = length < 0 ? 0 : length;
        close(answer);
        if (ended >= 0)
            close(ended);
    }
    take_lock(ts);
    PyBuffer_Release(&buffer);
    return PyLong_FromSsize_t(length);
}

/* requests(wakes, patience_s) -> what is written there within so many seconds, for ever if it is negative, or None: the
 * descriptor is of no use any more. */
static PyObject *requests(PyObject *module, PyObject *args)
{
    int wakes;
    double patience_s;
    char bytes[256];
    ssize_t length = 0;
    if (!PyArg_ParseTuple(args, "id", &wakes, &patience_s))
        return NULL;
    struct pollfd event = {.fd = wakes, .events = POLLIN};
    struct timespec patience = {.tv_sec = (time_t)patience_s};
    patience.tv_nsec = (long)((patience_s - (double)patience.tv_sec) * 1e9);
    PyThreadState *ts = PyEval_SaveThread();
    ppoll(&event, 1, patience_s < 0 ? NULL : &patience, NULL);
    if (event.revents & POLLIN)
        length = read(wakes, bytes, sizeof(bytes));
    take_lock(ts);
    if (length < 0 || (event.revents && !(event.revents & POLLIN)))
        Py_RETURN_NONE;
    return PyBytes_FromStringAndSize(bytes, length);
}

static PyObject *end_by_signal(PyObject *module, PyObject *number)
{
    long signal_number = PyLong_AsLong(number);
    if (signal_number == -1 && PyErr_Occurred())
        return NULL;
    end_by((int)signal_number);
    Py_RETURN_NONE;
}

/* ---- The next point at which the main thread is between two instructions ---------------------------------- */

static sem_t point_reached, point_left;
static int point_is_wanted, point_is_queued;
static int most_calls; /* from C into Python that may be under way there */

static void later(struct timespec *until, double seconds)
{
    clock_gettime(CLOCK_REALTIME, until);
    long long ns = until->tv_nsec + (long long)(seconds * 1e9);
    until->tv_sec += ns / 1000000000;
    until->tv_nsec = ns % 1000000000;
}

static void ask_for_point(void);

/* Whether C code has called more than `most` of the frames that walk() finds. */
static int has_more_calls(PyThreadState *ts, int most)
{
    int calls = 0;
    for (Frame *f = sf_current(ts); f != NULL && calls <= most; f = f->previous)
        calls += !sf_is_shim(f) && !is_unbegun(f) && sf_entered_from_c(f);
    return calls > most;
}

/* In the main thread, at an eval breaker: let the other have the interpreter's lock, until it has forked. As long as
 * more calls from C are under way than may be, what was in the way has not returned: then the point is behind it. */
static int at_point(void *unused)
{
    point_is_queued = 0;
    if (!point_is_wanted)
        return 0;
    if (has_more_calls(PyThreadState_Get(), most_calls)) {
        ask_for_point();
        return 0;
    }
    point_is_wanted = 0;
    struct timespec until;
    later(&until, 0.5); /* should the other not come for it */
    while (sem_trywait(&point_left) == 0)
        ;
    sem_post(&point_reached);
    Py_BEGIN_ALLOW_THREADS
    while (sem_timedwait(&point_left, &until) < 0 && errno == EINTR)
        ;
    Py_END_ALLOW_THREADS
    return 0;
}

static void ask_for_point(void)
{
    if (!point_is_queued && Py_AddPendingCall(at_point, NULL) == 0)
        point_is_queued = 1;
}

/* wait_for_point(patience_s, most) -> whether the main thread waits now between two instructions, for
 * leave_point(), with at most as many calls from C into Python under way. While more are under way, the main thread is
 * slower. */
static PyObject *wait_for_point(PyObject *module, PyObject *args)
{
    double patience_s;
    static int is_made;
    if (!PyArg_ParseTuple(args, "di", &patience_s, &most_calls))
        return NULL;
    if (!is_made) {
        sem_init(&point_reached, 0, 0);
        sem_init(&point_left, 0, 0);
        is_made = 1;
    }
    while (sem_trywait(&point_reached) == 0)
        ;
    point_is_wanted = 1;
    ask_for_point();
    struct timespec until;
    int came;
    later(&until, patience_s);
    PyThreadState *ts = PyEval_SaveThread();
    while ((came = sem_timedwait(&point_reached, &until)) < 0 && errno == EINTR)
        ;
    take_lock(ts);
    point_is_wanted = 0;
    return PyBool_FromLong(came == 0);
}

/* meet(thread_id, patience_s): let that thread have the interpreter's lock, and take it back where it next looks
 * whether somebody else wants it: between two instructions. Without this a thread that calls, say, os.stat() in a
 * loop is always met within that call, which is where it lets go of the lock. */
static PyObject *meet(PyObject *module, PyObject *args)
{
    unsigned long thread_id;
    double patience_s;
    if (!PyArg_ParseTuple(args, "kd", &thread_id, &patience_s))
        return NULL;
    PyThreadState *other = thread_state(thread_id);
    if (other == NULL)
        return NULL;
    struct timespec until, now;
    later(&until, patience_s);
    int is_asked;
    PyThreadState *ts = PyEval_SaveThread();
    do {
        is_asked = request_lock(ts, other);
        clock_gettime(CLOCK_REALTIME, &now);
    } while (!is_asked && (now.tv_sec < until.tv_sec || (now.tv_sec == until.tv_sec && now.tv_nsec < until.tv_nsec)));
    PyEval_RestoreThread(ts);
    Py_RETURN_NONE;
}

static PyObject *leave_point(PyObject *module, PyObject *unused)
{
    sem_post(&point_left);
    Py_RETURN_NONE;
}

/* ---- Signals that ask for a capture ----------------------------------------------------------------------- */

static int told; /* the descriptor that is told of signals */
static pid_t told_process;

static void tell(int number)
{
    int error = errno;
    unsigned char byte = (unsigned char)number;
    if (getpid() == told_process) {
        ssize_t unused = write(told, &byte, 1);
        (void)unused;
    } else {
        /* A process that the program forked: to it the signal means what it means to any. */
        signal(number, SIG_DFL);
        raise(number);
    }
    errno = error;
}

/* tell_signals(numbers, descriptor): each of these signals is written there, as a byte. */
static PyObject *tell_signals(PyObject *module, PyObject *args)
{
    PyObject *numbers;
    if (!PyArg_ParseTuple(args, "O!i", &PyList_Type, &numbers, &told))
        return NULL;
    told_process = getpid();
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(numbers); i++) {
        long number = PyLong_AsLong(PyList_GET_ITEM(numbers, i));
        struct sigaction action = {.sa_handler = tell, .sa_flags = SA_RESTART | SA_ONSTACK};
        sigfillset(&action.sa_mask);
        if (number == -1 && PyErr_Occurred())
            return NULL;
        if (sigaction((int)number, &action, NULL) < 0)
            return PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_RETURN_NONE;
}

/* ---- Until when the threads wait -------------------------------------------------------------------------- */

/* The end that the thread's system call waits for, in seconds from now; negative where there is none. The
 * thread cannot go away, as it would need the interpreter's lock for that; what it waits for lies on its
 * stack. If it goes on meanwhile, the time may be any: who uses it looks whether it makes sense. */
static double wait_left_s(unsigned long native_id)
{
    char path[64], text[256];
    snprintf(path, sizeof(path), "/proc/self/task/%lu/syscall", native_id);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, text, sizeof(text) - 1);
    if (file >= 0)
        close(file);
    if (length <= 0)
        return -1;
    text[length] = 0;
    long call;
    unsigned long a[4];
    if (sscanf(text, "%ld %lx %lx %lx %lx", &call, &a[0], &a[1], &a[2], &a[3]) != 5)
        return -1;
    const struct timespec *end = NULL;
    clockid_t clock = CLOCK_MONOTONIC;
    if (call == SYS_clock_nanosleep && a[1] == TIMER_ABSTIME) {
        end = (const struct timespec *)a[2];
        clock = (clockid_t)a[0];
    }
#ifdef SYS_futex
    if (call == SYS_futex && (a[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET) {
        end = (const struct timespec *)a[3];
        clock = a[1] & FUTEX_CLOCK_REALTIME ? CLOCK_REALTIME : CLOCK_MONOTONIC;
    }
#endif
    struct timespec now;
    if (end == NULL || clock_gettime(clock, &now) < 0)
        return -1;
    double left_s = (double)(end->tv_sec - now.tv_sec) + (double)(end->tv_nsec - now.tv_nsec) * 1e-9;
    return left_s < 0 ? 0 : left_s;
}

/* waits_left() -> {ident: seconds} of the other threads that wait in the kernel for an end that it knows. */
static PyObject *waits_left(PyObject *module, PyObject *unused)
{
    PyThreadState *current = PyThreadState_Get();
    PyObject *left = PyDict_New();
    for (PyThreadState *ts = PyInterpreterState_ThreadHead(current->interp); left && ts; ts = PyThreadState_Next(ts)) {
        double left_s = ts == current ? -1 : wait_left_s(ts->native_thread_id);
        if (left_s < 0)
            continue;
        PyObject *ident = PyLong_FromUnsignedLong(ts->thread_id), *seconds = PyFloat_FromDouble(left_s);
        if (ident == NULL || seconds == NULL || PyDict_SetItem(left, ident, seconds) < 0)
            Py_CLEAR(left);
        Py_XDECREF(ident);
        Py_XDECREF(seconds);
    }
    return left;
}

#define ASIDE_METHODS                                                                                              \
    {"fork_aside", fork_aside, METH_VARARGS, "fork_aside(limit_s, least, number, made, to) -> (pid, ended, answer, byte)."}, \
    {"copy_said", copy_said, METH_VARARGS, "copy_said(pid, ended, answer, wakes, buffer) -> bytes in the buffer, or -1."}, \
    {"put_in_place", put_in_place, METH_VARARGS, "put_in_place(made, to): have the one be the other."},             \
    {"requests", requests, METH_VARARGS, "requests(wakes, patience_s) -> what was written there, or None."},        \
    {"end_by_signal", end_by_signal, METH_O, "End this process by a signal that nobody handles."},                  \
    {"wait_for_point", wait_for_point, METH_VARARGS, "wait_for_point(patience_s, most) -> whether it was reached."},      \
    {"meet", meet, METH_VARARGS, "meet(thread_id, patience_s): meet it between two instructions."},                 \
    {"leave_point", leave_point, METH_NOARGS, "Let the main thread go on."},                                        \
    {"tell_signals", tell_signals, METH_VARARGS, "tell_signals(numbers, descriptor): each as a byte."},             \
    {"waits_left", waits_left, METH_NOARGS, "waits_left() -> {ident: seconds that a thread will still wait}."}
