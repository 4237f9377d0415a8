/* What the engine needs of the C library and of CPython that Python does not offer.
 *
 * fork_through_middle() forks a process whose parent is the supervisor, not the caller:
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
 *
 * A frozen process waits and forks here, in C, in the midst of what is one fork to Python:
 *
 *     tip      PyOS_BeforeFork ── fork ── PyOS_AfterFork_Parent ── goes on
 *                                  └► frozen: waits ── fork ── waits ── fork ── ...
 *                                                       └► live: PyOS_AfterFork_Child ── runs cells
 *
 * So no Python runs in it: it has a dozen pages of its own, forks at once, and forks what the tip was.
 * The hooks that a program has registered for forks run once for each live process.
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
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../_middle.h"

/* Copies the pages of `ranges` (pairs of address and length) now. A range that is not mapped any more is
 * passed over. */
static PyObject *populate(PyObject *module, PyObject *ranges)
{
    Py_buffer buffer;
    if (PyObject_GetBuffer(ranges, &buffer, PyBUF_SIMPLE) < 0)
        return NULL;
    const uint64_t *pairs = buffer.buf;
    for (Py_ssize_t i = 0; i + 1 < buffer.len / (Py_ssize_t)sizeof(uint64_t); i += 2)
        madvise((void *)(uintptr_t)pairs[i], (size_t)pairs[i + 1], 23 /* MADV_POPULATE_WRITE, Linux 5.14 */);
    PyBuffer_Release(&buffer);
    Py_RETURN_NONE;
}

/* What is the same in every state process, given once: see protocol.py. */
static struct {
    int channel, readers[2], lifeline, own_lifeline, null;
    char born[32], failed[32]; /* packets, but for the 32-bit big-endian number that they end with */
    int born_size, failed_size;
} ours;

static int are_muted = 3; /* Whether descriptor 1 (bit 0) and 2 (bit 1) lead nowhere, waiting for a pipe. */

#define MOST_DESCRIPTORS 8
enum { CHANNEL_ONLY = 1, CHANNEL_AND_PIPES = 5 };
enum { BROKEN = 70 }; /* sysexits.h: EX_SOFTWARE */

static void move_to(int descriptor, int place, int flags)
{
    dup3(descriptor, place, flags);
    close(descriptor);
}

static void say(int channel, const char *beginning, int size, uint32_t number)
{
    char packet[sizeof(ours.born) + sizeof(number)];
    uint32_t big_endian = __builtin_bswap32(number);
    memcpy(packet, beginning, size);
    memcpy(packet + size, &big_endian, sizeof(big_endian));
    send(channel, packet, size + sizeof(big_endian), MSG_NOSIGNAL);
}

/* Has the kernel send SIGKILL to this process when the last writer of the lifeline is gone. The receiver
 * is a property of the open file, so the pipe is opened anew. */
static void arm_lifeline(void)
{
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", ours.lifeline);
    int opened = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (opened < 0)
        _exit(BROKEN);
    move_to(opened, ours.own_lifeline, O_CLOEXEC);
    if (fcntl(ours.own_lifeline, F_SETOWN, getpid()) < 0 || fcntl(ours.own_lifeline, F_SETSIG, SIGKILL) < 0 ||
        fcntl(ours.own_lifeline, F_SETFL, O_NONBLOCK | O_ASYNC) < 0)
        _exit(BROKEN);
    struct pollfd gone = {.fd = ours.own_lifeline, .events = 0};
    if (poll(&gone, 1, 0) > 0) /* it went before the pipe was armed */
        _exit(0);
}

static void be_born(int channel)
{
    move_to(channel, ours.channel, O_CLOEXEC);
    arm_lifeline();
    say(ours.channel, ours.born, ours.born_size, (uint32_t)getpid());
}

/* Nothing reads the standard streams of a frozen process, so they lead nowhere until a fork of it runs. */
static void mute(void)
{
    are_muted = 0;
    for (int i = 0; i < 2; i++) {
        struct stat stream, reader;
        /* Else the program has closed it, or put something else there. */
        if (fstat(i + 1, &stream) == 0 && fstat(ours.readers[i], &reader) == 0 &&
            stream.st_dev == reader.st_dev && stream.st_ino == reader.st_ino) {
            dup2(ours.null, i + 1);
            are_muted |= 1 << i;
        }
        dup3(ours.null, ours.readers[i], O_CLOEXEC);
    }
}

static void unmute(const int *pipes)
{
    for (int i = 0; i < 2; i++) {
        if (are_muted & (1 << i))
            dup2(pipes[2 * i + 1], i + 1);
        close(pipes[2 * i + 1]);
        move_to(pipes[2 * i], ours.readers[i], O_CLOEXEC);
    }
}

/* What a frozen process lets go of, or makes its own, in fours: descriptor, action, argument, its flags.
 * The numbers stay taken. See descriptors.py. */
enum { SEVER, REOPEN, SAME_AS, HOLD };

static void let_go(const int32_t *steps, Py_ssize_t count)
{
    for (; count > 0; count--, steps += 4) {
        int descriptor = steps[0], flags = steps[3], pair[2];
        char path[32];
        switch (steps[1]) {
        case SEVER:
            if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0) {
                close(pair[1]);
                move_to(pair[0], descriptor, flags);
            }
            break;
        case REOPEN:
            snprintf(path, sizeof(path), "/proc/self/fd/%d", descriptor);
            int opened = open(path, steps[2]);
            if (opened >= 0) /* else (its permissions have changed) it stays shared */
                move_to(opened, descriptor, flags);
            break;
        case SAME_AS:
            dup3(steps[2], descriptor, flags);
            break;
        case HOLD:
            dup3(ours.null, descriptor, flags);
            break;
        }
    }
}

/* Waits for a packet and copies its descriptors to `received`. Returns how many, or -1: nobody will ask. */
static int next_order(int *received)
{
    char byte;
    struct iovec body = {&byte, 1}; /* any packet is an order to fork: the rest is said to the fork */
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(MOST_DESCRIPTORS * sizeof(int))];
    } ancillary;
    for (;;) {
        struct msghdr message = {.msg_iov = &body, .msg_iovlen = 1, .msg_control = &ancillary,
                                 .msg_controllen = sizeof(ancillary)};
        ssize_t size = recvmsg(ours.channel, &message, MSG_CMSG_CLOEXEC);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            return -1;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        int count = 0;
        if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
            count = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
            memcpy(received, CMSG_DATA(header), count * sizeof(int));
        }
        if (count == CHANNEL_ONLY || count == CHANNEL_AND_PIPES)
            return count;
        while (count > 0) /* no room for all of them: the other ends see that these are closed */
            close(received[--count]);
    }
}

/* Between PyOS_BeforeFork and PyOS_AfterFork_*: forks whenever it is told to. Returns in each fork, with all
 * signals blocked and how many descriptors it was given; or, at the end of the channel, -1. */
static int wait_and_fork(sigset_t *mask)
{
    static sigset_t every;
    int received[MOST_DESCRIPTORS], count;
    sigfillset(&every);
    while ((count = next_order(received)) >= 0) {
        /* An interrupt that comes as soon as the fork is known must wait until Python can note it. */
        sigprocmask(SIG_SETMASK, &every, mask);
        pid_t pid = fork_through_middle(0);
        if (pid == 0) {
            be_born(received[0]);
            if (count == CHANNEL_AND_PIPES)
                unmute(received + 1);
            return count;
        }
        sigprocmask(SIG_SETMASK, mask, NULL);
        if (pid < 0)
            say(received[0], ours.failed, ours.failed_size, (uint32_t)errno);
        for (int i = 0; i < count; i++)
            close(received[i]);
    }
    return -1;
}

static PyObject *in_fork(int count, const sigset_t *mask)
{
    PyOS_AfterFork_Child();
    sigprocmask(SIG_SETMASK, mask, NULL);
    return PyBool_FromLong(count == CHANNEL_AND_PIPES);
}

static PyObject *rest(PyObject *module, PyObject *unused)
{
    sigset_t mask;
    PyOS_BeforeFork();
    int count = wait_and_fork(&mask);
    if (count < 0)
        PyOS_AfterFork_Parent();
    return count < 0 ? Py_NewRef(Py_None) : in_fork(count, &mask);
}

static PyObject *freeze(PyObject *module, PyObject *args)
{
    Py_buffer steps;
    sigset_t mask;
    int channel;
    if (!PyArg_ParseTuple(args, "iy*", &channel, &steps))
        return NULL;
    PyOS_BeforeFork();
    pid_t pid = fork_through_middle(0);
    int error = errno;
    int count = 0;
    if (pid == 0) {
        mute();
        let_go(steps.buf, steps.len / (4 * (Py_ssize_t)sizeof(int32_t)));
        be_born(channel);
        count = wait_and_fork(&mask);
        if (count < 0)
            _exit(0);
    } else {
        PyOS_AfterFork_Parent();
    }
    PyBuffer_Release(&steps);
    if (pid == 0)
        return in_fork(count, &mask);
    errno = error;
    return pid < 0 ? PyErr_SetFromErrno(PyExc_OSError) : Py_NewRef(Py_None);
}

static PyObject *place(PyObject *module, PyObject *args)
{
    const char *born, *failed;
    Py_ssize_t born_size, failed_size;
    if (!PyArg_ParseTuple(args, "(iiiiii)y#y#", &ours.channel, &ours.readers[0], &ours.readers[1], &ours.lifeline,
                          &ours.own_lifeline, &ours.null, &born, &born_size, &failed, &failed_size))
        return NULL;
    if (born_size > (Py_ssize_t)sizeof(ours.born) || failed_size > (Py_ssize_t)sizeof(ours.failed))
        return PyErr_Format(PyExc_ValueError, "these packets are too long");
    memcpy(ours.born, born, ours.born_size = (int)born_size);
    memcpy(ours.failed, failed, ours.failed_size = (int)failed_size);
    Py_RETURN_NONE;
}

/* select.poll() makes objects, and copies the pages they are on. */
static PyObject *is_readable(PyObject *module, PyObject *descriptor)
{
    struct pollfd wanted = {.fd = (int)PyLong_AsLong(descriptor), .events = POLLIN};
    return PyBool_FromLong(poll(&wanted, 1, 0) != 0);
}

/* Adds `line` to `found` if it holds `wanted`. False: no memory. */
static int add_line(PyObject *found, const char *line, size_t size, const Py_buffer *wanted)
{
    if (memmem(line, size, wanted->buf, wanted->len) == NULL)
        return 1;
    PyObject *item = PyBytes_FromStringAndSize(line, size);
    int is_added = item != NULL && PyList_Append(found, item) == 0;
    Py_XDECREF(item);
    return is_added;
}

/* The lines of a file of the kernel's that hold `wanted`. What open() makes is on some thirty pages, and what
 * it reads on as many more. A line of more than 8 KiB is taken for two. */
static PyObject *lines_with(PyObject *module, PyObject *args)
{
    const char *path;
    Py_buffer wanted;
    char text[8192];
    size_t size = 0;
    ssize_t got = 0;
    int is_added = 1;
    if (!PyArg_ParseTuple(args, "sy*", &path, &wanted))
        return NULL;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    PyObject *found = file < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyList_New(0);
    while (found != NULL && is_added && (got = read(file, text + size, sizeof(text) - size)) > 0) {
        char *line = text, *end;
        size += got;
        while (is_added && (end = memchr(line, '\n', size)) != NULL) {
            is_added = add_line(found, line, end + 1 - line, &wanted);
            size -= end + 1 - line;
            line = end + 1;
        }
        if (size == sizeof(text)) {
            is_added = add_line(found, line, size, &wanted);
            size = 0;
        }
        memmove(text, line, size);
    }
    if (found != NULL && is_added && got < 0)
        is_added = PyErr_SetFromErrno(PyExc_OSError) != NULL;
    if (found != NULL && is_added && size > 0)
        is_added = add_line(found, text, size, &wanted);
    if (!is_added)
        Py_CLEAR(found);
    if (file >= 0)
        close(file);
    PyBuffer_Release(&wanted);
    return found;
}

/* numbers_in(folder) -> those among the names of what is in a folder of the kernel's: of descriptors, but for the one
 * that is open for that, or of threads. os.listdir() makes a text of each, on ten pages more. */
static PyObject *numbers_in(PyObject *module, PyObject *folder)
{
    struct entry { /* linux_dirent64 */
        ino64_t inode;
        off64_t next;
        unsigned short size;
        unsigned char type;
        char name[];
    };
    char entries[4096] __attribute__((aligned(8)));
    long got = 0;
    const char *path = PyUnicode_AsUTF8(folder);
    int file = path == NULL ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file < 0)
        return path == NULL ? NULL : PyErr_SetFromErrno(PyExc_OSError);
    int is_listed = strcmp(path, "/proc/self/fd") == 0;
    PyObject *found = PyList_New(0);
    while (found != NULL && (got = syscall(SYS_getdents64, file, entries, sizeof(entries))) > 0)
        for (long at = 0; found != NULL && at < got; at += ((struct entry *)(entries + at))->size) {
            char *name = ((struct entry *)(entries + at))->name, *end;
            long number = strtol(name, &end, 10);
            if (end == name || (is_listed && number == file))
                continue;
            PyObject *object = PyLong_FromLong(number);
            if (object == NULL || PyList_Append(found, object) < 0)
                Py_CLEAR(found);
            Py_XDECREF(object);
        }
    if (found != NULL && got < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        Py_CLEAR(found);
    }
    close(file);
    return found;
}

/* differences(before, namespace) -> ({name: identity}, [name]): what is bound in the namespace to another object than
 * `before` says, and the names of `before` that are gone. None where a name is no plain text: to look it up may run the
 * program's code. To go through a dict in Python writes to the reference counts of all that is in it. */
static PyObject *differences(PyObject *module, PyObject *args)
{
    PyObject *before, *namespace, *name, *value;
    Py_ssize_t at = 0, added = 0;
    if (!PyArg_ParseTuple(args, "O!O!", &PyDict_Type, &before, &PyDict_Type, &namespace))
        return NULL;
    PyObject *bound = PyDict_New(), *gone = PyList_New(0);
    int failed = bound == NULL || gone == NULL;
    while (!failed && PyDict_Next(namespace, &at, &name, &value)) {
        if (!PyUnicode_CheckExact(name)) {
            Py_DECREF(bound);
            Py_DECREF(gone);
            Py_RETURN_NONE;
        }
        PyObject *known = PyDict_GetItemWithError(before, name);
        added += known == NULL;
        if (known == NULL || PyLong_AsVoidPtr(known) != value) {
            PyObject *identity = PyErr_Occurred() ? NULL : PyLong_FromVoidPtr(value);
            failed = identity == NULL || PyDict_SetItem(bound, name, identity) < 0;
            Py_XDECREF(identity);
        }
    }
    at = 0;
    if (PyDict_GET_SIZE(before) + added != PyDict_GET_SIZE(namespace))
        while (!failed && PyDict_Next(before, &at, &name, &value))
            if (PyDict_GetItemWithError(namespace, name) == NULL)
                failed = PyErr_Occurred() || PyList_Append(gone, name) < 0;
    PyObject *found = failed ? NULL : PyTuple_Pack(2, bound, gone);
    Py_XDECREF(bound);
    Py_XDECREF(gone);
    return found;
}

/* As socket.recvmsg(), but into one buffer for ever: the bytes of a packet and the descriptors with it. */
static PyObject *receive(PyObject *module, PyObject *channel)
{
    static char packet[(64 << 10) + 1];
    int descriptor = (int)PyLong_AsLong(channel), received[MOST_DESCRIPTORS], count = 0;
    struct msghdr message;
    ssize_t size;
    struct iovec body = {packet, sizeof(packet)};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(MOST_DESCRIPTORS * sizeof(int))];
    } ancillary;
    do {
        message = (struct msghdr){.msg_iov = &body, .msg_iovlen = 1, .msg_control = &ancillary,
                                  .msg_controllen = sizeof(ancillary)};
        Py_BEGIN_ALLOW_THREADS
        size = recvmsg(descriptor, &message, MSG_CMSG_CLOEXEC);
        Py_END_ALLOW_THREADS
        if (size < 0 && errno == EINTR && PyErr_CheckSignals() < 0)
            return NULL;
    } while (size < 0 && errno == EINTR);
    if (size < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
        count = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(received, CMSG_DATA(header), count * sizeof(int));
    }
    PyObject *descriptors = PyList_New(count);
    for (int i = 0; descriptors != NULL && i < count; i++)
        PyList_SET_ITEM(descriptors, i, PyLong_FromLong(received[i]));
    return descriptors == NULL ? NULL : Py_BuildValue("y#N", packet, size, descriptors);
}

/* As is_readable(): without fcntl and a buffer. What is not a pipe holds nothing. */
static PyObject *waiting_bytes(PyObject *module, PyObject *descriptor)
{
    int waiting = 0;
    if (ioctl((int)PyLong_AsLong(descriptor), FIONREAD, &waiting) < 0)
        waiting = 0;
    return PyLong_FromLong(waiting);
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
    {"place", place, METH_VARARGS,
     "place(descriptors, born, failed): where ours are, and what a fork says, but for the number at its end."},
    {"freeze", freeze, METH_VARARGS,
     "freeze(channel, steps) -> None. Forks a frozen process, which is told to fork on `channel`.\n\n"
     "Returns also in each of its forks: True where that has pipes for a cell's output, False where it has none."},
    {"rest", rest, METH_NOARGS,
     "rest() -> None when the channel has ended. Be frozen; returns also in each fork, as freeze() does."},
    {"populate", populate, METH_O,
     "populate(ranges): copy these pages now. Pairs of address and length, 64 bits each."},
    {"lines_with", lines_with, METH_VARARGS, "lines_with(path, wanted) -> its lines that hold `wanted`. For /proc."},
    {"numbers_in", numbers_in, METH_O, "numbers_in(folder) -> the numbers among its names. For /proc."},
    {"differences", differences, METH_VARARGS, "differences(before, namespace) -> ({name: identity}, [gone name])."},
    {"receive", receive, METH_O, "receive(channel) -> the next packet, empty at the end, and its descriptors."},
    {"waiting_bytes", waiting_bytes, METH_O, "waiting_bytes(descriptor) -> how many bytes lie in the pipe."},
    {"is_same_open_file", is_same_open_file, METH_VARARGS,
     "is_same_open_file(first, second) -> whether two descriptors of this process share an offset."},
    {"is_readable", is_readable, METH_O, "is_readable(descriptor) -> whether reading it would not block."},
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
