/* Live interpreter frames, read and made.
 *
 * A frame of CPython 3.11 to 3.13, as it lies on its thread's data stack or inside a generator:
 *
 *     ┌──────────────────────────────────────────────────────────────────────────────┐
 *     │ function, code, globals, builtins, locals, previous, instruction, owner, ... │
 *     ├───────────────────────────────┬──────────────────────────────────────────────┤
 *     │ locals, cells, free variables │ evaluation stack           ... (not in use)  │  localsplus[]
 *     └───────────────────────────────┴──────────────────────────────────────────────┘
 *      0                 co_nlocalsplus           depth                 co_stacksize
 *
 * Nothing here decides anything: which slots of the stack are alive, and where a frame goes on, is said by
 * Python (continuation.py). What is checked here is that nothing can be written outside of a frame.
 *
 * Invariants:
 *   * A FrameRef points to a frame that is alive as long as its user keeps the frame's thread from going on.
 *   * An instruction is named by its index in code units, never by a pointer.
 *   * A slot that holds no object is NULL, this module's object, in Python.
 */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#define Py_BUILD_CORE 1
#include <Python.h>

#if PY_VERSION_HEX >= 0x030E0000 || defined(Py_GIL_DISABLED)
/* The kernel runs on newer versions, frames do not yet: importing says so. */
PyMODINIT_FUNC PyInit__frames(void)
{
    PyErr_SetString(PyExc_ImportError, "frames can be captured on CPython 3.11 to 3.13 with its lock, not on this one");
    return NULL;
}
#else

#include <pthread.h>
#include <signal.h>
#include "internal/pycore_context.h"
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#if PY_VERSION_HEX < 0x030C0000
#include "_frames_311.h"
#elif PY_VERSION_HEX < 0x030D0000
#include "_frames_312.h"
#else
#include "_frames_313.h"
#endif

static PyObject *null_object; /* NULL, as an object */

static PyObject *to_object(PyObject *slot) { return Py_NewRef(slot ? slot : null_object); }
static PyObject *to_slot(PyObject *object) { return object == null_object ? NULL : Py_NewRef(object); }

static PyThreadState *thread_state(unsigned long thread_id)
{
    PyThreadState *current = PyThreadState_Get();
    if (thread_id == 0)
        return current;
    for (PyThreadState *ts = PyInterpreterState_ThreadHead(current->interp); ts; ts = PyThreadState_Next(ts))
        if (ts->thread_id == thread_id)
            return ts;
    PyErr_Format(PyExc_LookupError, "there is no thread %lu", thread_id);
    return NULL;
}

/* ---- FrameRef: one frame ---------------------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    Frame *frame;
    PyObject *generator; /* which embeds the frame, or NULL */
    PyObject *error;     /* what it raises when it is run, or NULL */
} FrameRef;

static PyTypeObject FrameRef_Type;
static PyObject *suspend(PyObject *module, PyObject *ref_object);

static PyObject *new_ref(Frame *frame)
{
    FrameRef *ref = PyObject_New(FrameRef, &FrameRef_Type);
    if (ref == NULL)
        return NULL;
    ref->frame = frame;
    ref->generator = ref->error = NULL;
    if (frame->owner == FRAME_OWNED_BY_GENERATOR)
        ref->generator = Py_NewRef((PyObject *)_PyFrame_GetGenerator(frame));
    return (PyObject *)ref;
}

static void FrameRef_dealloc(FrameRef *self)
{
    Py_XDECREF(self->generator);
    Py_XDECREF(self->error);
    PyObject_Free(self);
}

static PyObject *slots_between(Frame *f, int from, int to)
{
    PyObject *list = PyList_New(to > from ? to - from : 0);
    if (list == NULL)
        return NULL;
    for (int i = from; i < to; i++)
        PyList_SET_ITEM(list, i - from, to_object(f->localsplus[i]));
    return list;
}

static PyObject *FrameRef_fast(FrameRef *self, void *unused)
{
    return slots_between(self->frame, 0, sf_code(self->frame)->co_nlocalsplus);
}

static PyObject *FrameRef_stack(FrameRef *self, PyObject *args)
{
    int from, to;
    PyCodeObject *co = sf_code(self->frame);
    if (!PyArg_ParseTuple(args, "ii", &from, &to))
        return NULL;
    if (from < 0 || to < from || to > co->co_stacksize)
        return PyErr_Format(PyExc_ValueError, "the stack has %d slots: %d to %d are not among them", co->co_stacksize, from, to);
    return slots_between(self->frame, co->co_nlocalsplus + from, co->co_nlocalsplus + to);
}

static PyObject *or_none(PyObject *object) { return Py_NewRef(object ? object : Py_None); }

static PyObject *FrameRef_code(FrameRef *self, void *unused) { return Py_NewRef((PyObject *)sf_code(self->frame)); }
static PyObject *FrameRef_function(FrameRef *self, void *unused) { return or_none(sf_function(self->frame)); }
static PyObject *FrameRef_globals(FrameRef *self, void *unused) { return or_none(self->frame->f_globals); }
static PyObject *FrameRef_locals(FrameRef *self, void *unused) { return or_none(self->frame->f_locals); }
static PyObject *FrameRef_frame_object(FrameRef *self, void *unused) { return or_none((PyObject *)self->frame->frame_obj); }
static PyObject *FrameRef_generator(FrameRef *self, void *unused) { return or_none(self->generator); }
static PyObject *FrameRef_position(FrameRef *self, void *unused) { return PyLong_FromLong(sf_position(self->frame)); }
static PyObject *FrameRef_address(FrameRef *self, void *unused) { return PyLong_FromVoidPtr(self->frame); }
static PyObject *FrameRef_entered_from_c(FrameRef *self, void *unused) { return PyBool_FromLong(sf_entered_from_c(self->frame)); }

static PyObject *FrameRef_depth(FrameRef *self, void *unused)
{
    int top = self->frame->stacktop;
    return PyLong_FromLong(top < 0 ? -1 : top - sf_code(self->frame)->co_nlocalsplus);
}

static PyGetSetDef FrameRef_getset[] = {
    {"frame_object", (getter)FrameRef_frame_object, NULL, "What sys._getframe() gave out for it, or None.", NULL},
    {"code", (getter)FrameRef_code, NULL, NULL, NULL},
    {"function", (getter)FrameRef_function, NULL, "None for a frame that the interpreter put in for itself.", NULL},
    {"globals", (getter)FrameRef_globals, NULL, NULL, NULL},
    {"locals", (getter)FrameRef_locals, NULL, "The namespace of a module or class body, else None.", NULL},
    {"fast", (getter)FrameRef_fast, NULL, "Locals, cells and free variables, as a new list.", NULL},
    {"generator", (getter)FrameRef_generator, NULL, "The generator or coroutine that embeds the frame, or None.", NULL},
    {"position", (getter)FrameRef_position, NULL, "Code unit of the frame's instruction pointer.", NULL},
    {"depth", (getter)FrameRef_depth, NULL, "Of the evaluation stack; -1 where only static analysis knows it.", NULL},
    {"entered_from_c", (getter)FrameRef_entered_from_c, NULL, "Whether a C function, not the frame before, called it.", NULL},
    {"address", (getter)FrameRef_address, NULL, "Tells frames that are alive at one time apart.", NULL},
    {NULL},
};

/* Puts `stack` in place of the evaluation stack and has the frame go on at `next`; `at` is the instruction
 * that is under way. */
static PyObject *FrameRef_set(FrameRef *self, PyObject *args)
{
    PyObject *stack;
    int next, at;
    Frame *f = self->frame;
    PyCodeObject *co = sf_code(f);
    if (!PyArg_ParseTuple(args, "O!ii", &PyList_Type, &stack, &next, &at))
        return NULL;
    int locals = co->co_nlocalsplus, depth = (int)PyList_GET_SIZE(stack), old = f->stacktop;
    if (depth > co->co_stacksize || next < 0 || next >= Py_SIZE(co) || at < 0 || at >= Py_SIZE(co) || old < locals)
        return PyErr_Format(PyExc_ValueError, "the stack or position does not fit the code of %U", co->co_qualname);
    for (int i = 0; i < depth; i++)
        Py_XINCREF(PyList_GET_ITEM(stack, i) == null_object ? NULL : PyList_GET_ITEM(stack, i));
    PyObject *dropped = slots_between(f, locals, old);
    if (dropped == NULL)
        return NULL;
    for (int i = locals; i < old; i++)
        Py_XDECREF(f->localsplus[i]); /* `dropped` keeps it alive until the frame is whole again */
    for (int i = 0; i < depth; i++) {
        PyObject *object = PyList_GET_ITEM(stack, i);
        f->localsplus[locals + i] = object == null_object ? NULL : object;
    }
    f->stacktop = locals + depth;
    sf_set_position(f, next, at);
    Py_DECREF(dropped);
    Py_RETURN_NONE;
}

/* holds(index, object) -> whether this slot of the stack is `object`; also of a slot that may be dead. */
static PyObject *FrameRef_holds(FrameRef *self, PyObject *args)
{
    int index;
    PyObject *object;
    PyCodeObject *co = sf_code(self->frame);
    if (!PyArg_ParseTuple(args, "iO", &index, &object))
        return NULL;
    if (index < 0 || index >= co->co_stacksize)
        return PyErr_Format(PyExc_ValueError, "the stack has %d slots: %d is not among them", co->co_stacksize, index);
    return PyBool_FromLong(self->frame->localsplus[co->co_nlocalsplus + index] == object);
}

/* The frame raises `error` when it is run: run() takes it from here, so that nobody else has it meanwhile. */
static PyObject *FrameRef_raises(FrameRef *self, PyObject *error)
{
    Py_XSETREF(self->error, error == Py_None ? NULL : Py_NewRef(error));
    Py_RETURN_NONE;
}

/* put_down(keep): the frame, of which `keep` slots of the stack are alive, will not run again: what it holds is let
 * go of. A generator's is suspended instead, with these slots, if it is the innermost that runs. */
static PyObject *FrameRef_put_down(FrameRef *self, PyObject *count)
{
    Frame *f = self->frame;
    int keep = (int)PyLong_AsLong(count), locals = sf_code(f)->co_nlocalsplus;
    if (keep < 0 || keep > sf_code(f)->co_stacksize)
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_ValueError, "the stack has no %d slots", keep);
    f->stacktop = locals + keep;
    if (self->generator != NULL) {
        PyObject *done = suspend(NULL, (PyObject *)self);
        return done;
    }
    for (int i = 0; i < locals + keep; i++)
        Py_CLEAR(f->localsplus[i]);
    f->stacktop = locals;
    Py_RETURN_NONE;
}

/* drop(): the frame, which has failed, will not run again, nor will its generator. It must be the innermost. */
static PyObject *FrameRef_drop(FrameRef *self, PyObject *unused)
{
    Frame *f = self->frame;
    int locals = sf_code(f)->co_nlocalsplus;
    f->stacktop = locals;
    if (self->generator != NULL) {
        PyObject *done = suspend(NULL, (PyObject *)self);
        if (done == NULL)
            return NULL;
        Py_DECREF(done);
        ((PyGenObject *)self->generator)->gi_frame_state = FRAME_COMPLETED;
    }
    for (int i = 0; i < locals; i++)
        Py_CLEAR(f->localsplus[i]);
    Py_RETURN_NONE;
}

/* put(index, object): of locals, cells and free variables. */
static PyObject *FrameRef_put(FrameRef *self, PyObject *args)
{
    int index;
    PyObject *object;
    if (!PyArg_ParseTuple(args, "iO", &index, &object))
        return NULL;
    if (index < 0 || index >= sf_code(self->frame)->co_nlocalsplus)
        return PyErr_Format(PyExc_ValueError, "the frame has no variable %d", index);
    Py_XSETREF(self->frame->localsplus[index], to_slot(object));
    Py_RETURN_NONE;
}

static PyMethodDef FrameRef_methods[] = {
    {"put_down", (PyCFunction)FrameRef_put_down, METH_O, "put_down(keep): it will not run again where it is."},
    {"drop", (PyCFunction)FrameRef_drop, METH_NOARGS, "drop(): it will never run again."},
    {"put", (PyCFunction)FrameRef_put, METH_VARARGS, "put(index, object): of locals, cells and free variables."},
    {"holds", (PyCFunction)FrameRef_holds, METH_VARARGS, "holds(index, object): of the evaluation stack."},
    {"raises", (PyCFunction)FrameRef_raises, METH_O, "raises(error or None): when it is run."},
    {"stack", (PyCFunction)FrameRef_stack, METH_VARARGS, "stack(from, to) -> these slots of the evaluation stack."},
    {"set", (PyCFunction)FrameRef_set, METH_VARARGS, "set(stack, next, at): for a frame that was made here."},
    {NULL},
};

static PyTypeObject FrameRef_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "stillframe.frames._frames.FrameRef",
    .tp_basicsize = sizeof(FrameRef),
    .tp_dealloc = (destructor)FrameRef_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_doc = "One interpreter frame, while it is alive.",
    .tp_getset = FrameRef_getset,
    .tp_methods = FrameRef_methods,
};

/* ---- Reading ---------------------------------------------------------------------------------------- */

/* Whether the frame has run nothing of its code yet. Those of hidden code (`_diversions`) always look so. */
static int is_unbegun(Frame *f)
{
    if (PyFunction_Check(sf_function(f)) && sf_code(f)->_co_firsttraceable >= Py_SIZE(sf_code(f)))
        return 0;
    /* 3.13 runs `C()` with a frame of its own in between, which is never complete but holds self. */
    return _PyFrame_IsIncomplete(f) && !(SF_POINTS_AT_NEXT && sf_function(f) == Py_None);
}

static PyObject *walk(PyObject *module, PyObject *args)
{
    unsigned long thread_id = 0;
    if (!PyArg_ParseTuple(args, "|k", &thread_id))
        return NULL;
    PyThreadState *ts = thread_state(thread_id);
    PyObject *list = ts ? PyList_New(0) : NULL;
    if (list == NULL)
        return NULL;
    for (Frame *f = sf_current(ts); f != NULL; f = f->previous) {
        if (sf_is_shim(f) || is_unbegun(f))
            continue;
        PyObject *ref = new_ref(f);
        if (ref == NULL || PyList_Append(list, ref) < 0) {
            Py_XDECREF(ref);
            Py_DECREF(list);
            return NULL;
        }
        Py_DECREF(ref);
    }
    return list;
}

static PyObject *handled_exceptions(PyObject *module, PyObject *args)
{
    unsigned long thread_id = 0;
    if (!PyArg_ParseTuple(args, "|k", &thread_id))
        return NULL;
    PyThreadState *ts = thread_state(thread_id);
    PyObject *list = ts ? PyList_New(0) : NULL;
    if (list == NULL)
        return NULL;
    for (_PyErr_StackItem *item = ts->exc_info; item; item = item->previous_item)
        if (PyList_Append(list, item->exc_value ? item->exc_value : Py_None) < 0) {
            Py_DECREF(list);
            return NULL;
        }
    return list;
}

/* within(thread_id=0) -> what native code the thread is in that calls back at no instruction's wish, as far as the
 * interpreter itself knows it; of a collection it does not know in which thread. */
static PyObject *within(PyObject *module, PyObject *args)
{
    unsigned long thread_id = 0;
    if (!PyArg_ParseTuple(args, "|k", &thread_id))
        return NULL;
    PyThreadState *ts = thread_state(thread_id);
    if (ts == NULL)
        return NULL;
    if (ts->tracing > 0)
        return PyUnicode_FromString("a trace function");
    if (ts->interp->gc.collecting)
        return PyUnicode_FromString("the garbage collector");
    Py_RETURN_NONE;
}

static PyObject *thread_ids(PyObject *module, PyObject *unused)
{
    PyObject *list = PyList_New(0);
    PyThreadState *ts = PyInterpreterState_ThreadHead(PyThreadState_Get()->interp);
    for (; list && ts; ts = PyThreadState_Next(ts)) {
        PyObject *id = PyLong_FromUnsignedLong(ts->thread_id);
        if (id == NULL || PyList_Append(list, id) < 0)
            Py_CLEAR(list);
        Py_XDECREF(id);
    }
    return list;
}

/* The keys of the thread's values in threading.local objects, its contexts, the one it is in first, and the
 * number by which /proc knows it. */
static PyObject *thread_facts(PyObject *module, PyObject *args)
{
    unsigned long thread_id = 0;
    if (!PyArg_ParseTuple(args, "|k", &thread_id))
        return NULL;
    PyThreadState *ts = thread_state(thread_id);
    if (ts == NULL)
        return NULL;
    PyObject *contexts = PyList_New(0);
    for (PyContext *context = (PyContext *)ts->context; contexts && context; context = context->ctx_prev)
        if (PyList_Append(contexts, (PyObject *)context) < 0)
            Py_CLEAR(contexts);
    if (contexts == NULL)
        return NULL;
    return Py_BuildValue("NNk", sf_local_keys(ts), contexts, (unsigned long)ts->native_thread_id);
}

/* ---- Making ----------------------------------------------------------------------------------------- */

/* As _PyThreadState_PushFrame, which is not exported. */
static Frame *data_stack_room(PyThreadState *ts, int slots)
{
    if (ts->datastack_top && slots < ts->datastack_limit - ts->datastack_top) {
        Frame *f = (Frame *)ts->datastack_top;
        ts->datastack_top += slots;
        return f;
    }
    PyObjectArenaAllocator arena;
    PyObject_GetArenaAllocator(&arena);
    size_t needed = sizeof(PyObject *) * ((size_t)slots + 64), size = 16 * 1024;
    while (size < needed)
        size *= 2;
    _PyStackChunk *chunk = arena.alloc(arena.ctx, size);
    if (chunk == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    chunk->previous = ts->datastack_chunk;
    chunk->size = size;
    chunk->top = 0;
    if (ts->datastack_chunk)
        ts->datastack_chunk->top = ts->datastack_top - &ts->datastack_chunk->data[0];
    ts->datastack_chunk = chunk;
    ts->datastack_limit = (PyObject **)(((char *)chunk) + size);
    PyObject **first = &chunk->data[chunk->previous == NULL]; /* the very first slot of all is never used */
    ts->datastack_top = first + slots;
    return (Frame *)first;
}

static int fill(Frame *f, PyObject *function, PyObject *locals, PyObject *fast, PyObject *stack, int next, int at)
{
    PyFunctionObject *fn = (PyFunctionObject *)function;
    PyCodeObject *co = (PyCodeObject *)fn->func_code;
    Py_ssize_t nfast = PyList_GET_SIZE(fast), depth = PyList_GET_SIZE(stack);
    if (nfast != co->co_nlocalsplus || depth > co->co_stacksize || next < 0 || next >= Py_SIZE(co) || at < 0 || at >= Py_SIZE(co)) {
        PyErr_Format(PyExc_ValueError, "the frame does not fit the code of %U", co->co_qualname);
        return -1;
    }
    sf_set_code(f, function, co);
    f->f_globals = fn->func_globals;
    f->f_builtins = fn->func_builtins;
    f->f_locals = locals == Py_None ? NULL : Py_NewRef(locals);
    f->frame_obj = NULL;
    f->previous = NULL;
    for (Py_ssize_t i = 0; i < nfast; i++)
        f->localsplus[i] = to_slot(PyList_GET_ITEM(fast, i));
    for (Py_ssize_t i = 0; i < depth; i++)
        f->localsplus[nfast + i] = to_slot(PyList_GET_ITEM(stack, i));
    f->stacktop = (int)(nfast + depth);
    sf_set_position(f, next, at);
    return 0;
}

/* push(previous, function, locals, fast, stack, next, at) -> FrameRef, on this thread's data stack. It must
 * be run, or discarded, before any that was pushed earlier. */
static PyObject *push(PyObject *module, PyObject *args)
{
    PyObject *previous, *function, *locals, *fast, *stack;
    int next, at;
    if (!PyArg_ParseTuple(args, "OO!OO!O!ii", &previous, &PyFunction_Type, &function, &locals, &PyList_Type, &fast,
                          &PyList_Type, &stack, &next, &at))
        return NULL;
    PyThreadState *ts = PyThreadState_Get();
    PyCodeObject *co = (PyCodeObject *)((PyFunctionObject *)function)->func_code;
    PyObject **top = ts->datastack_top;
    _PyStackChunk *chunk = ts->datastack_chunk;
    Frame *f = data_stack_room(ts, sf_slots(co) + (int)FRAME_SPECIALS_SIZE);
    if (f == NULL)
        return NULL;
    if (fill(f, function, locals, fast, stack, next, at) < 0) {
        if (chunk == ts->datastack_chunk)
            ts->datastack_top = top; /* else the new chunk stays: the next push has its room */
        else
            ts->datastack_top = (PyObject **)f;
        return NULL;
    }
    f->owner = FRAME_OWNED_BY_THREAD;
    f->previous = previous == Py_None ? NULL : ((FrameRef *)previous)->frame;
    return new_ref(f);
}

/* enter_generator(previous, generator) -> FrameRef. The generator runs from now on, in a frame that waits. */
static PyObject *enter_generator(PyObject *module, PyObject *args)
{
    PyObject *previous, *object;
    if (!PyArg_ParseTuple(args, "OO", &previous, &object))
        return NULL;
    PyThreadState *ts = PyThreadState_Get();
    PyGenObject *g = (PyGenObject *)object;
    if (g->gi_frame_state >= FRAME_EXECUTING)
        return PyErr_Format(PyExc_ValueError, "%R is not suspended", object);
    g->gi_frame_state = FRAME_EXECUTING;
    g->gi_exc_state.previous_item = ts->exc_info;
    ts->exc_info = &g->gi_exc_state;
    Frame *f = (Frame *)g->gi_iframe;
    f->previous = previous == Py_None ? NULL : ((FrameRef *)previous)->frame;
    return new_ref(f);
}

/* run(frame) -> (0, returned) | (1, yielded) | (2, raised). Goes on where the frame was set to; with an error,
 * as if the instruction under way had raised it. The frame is gone afterwards, or suspended again if it is a
 * generator's. Its caller must have been on the data stack before the frame was pushed: when the frame is
 * gone, what lies above it is gone too. */
static PyObject *run(PyObject *module, PyObject *ref_object)
{
    if (!Py_IS_TYPE(ref_object, &FrameRef_Type) || ((FrameRef *)ref_object)->frame == NULL)
        return PyErr_Format(PyExc_TypeError, "%R is no frame to run", ref_object);
    FrameRef *ref = (FrameRef *)ref_object;
    Frame *f = ref->frame;
    PyThreadState *ts = PyThreadState_Get();
    Frame *here = sf_current(ts);
    PyGenObject *g = (PyGenObject *)ref->generator;
    Py_XINCREF(g);
    int throws = ref->error != NULL;
    if (throws) {
        sf_raise(ref->error);
        Py_CLEAR(ref->error);
    }
    sf_set_current(ts, f->previous);
    if (g != NULL)
        f->previous = NULL;
    PyObject *result = _PyEval_EvalFrameDefault(ts, f, throws);
    int outcome = 0;
    if (g != NULL) {
        sf_after_generator_run(ts, g, result != NULL);
        outcome = result != NULL && g->gi_frame_state < FRAME_EXECUTING;
    } else {
        PyObject *raised = result == NULL ? sf_raised() : NULL;
        sf_after_run(ts, f);
        if (raised != NULL) {
            sf_raise(raised);
            Py_DECREF(raised);
        }
    }
    sf_set_current(ts, here);
    ref->frame = NULL;
    Py_XDECREF(g);
    if (result == NULL) {
        result = sf_raised();
        outcome = 2;
    }
    return Py_BuildValue("iN", outcome, result);
}

/* suspend(frame): the generator that embeds it waits again, without having run. */
static PyObject *suspend(PyObject *module, PyObject *ref_object)
{
    FrameRef *ref = (FrameRef *)ref_object;
    PyGenObject *g = (PyGenObject *)ref->generator;
    if (g == NULL || g->gi_frame_state != FRAME_EXECUTING)
        return PyErr_Format(PyExc_ValueError, "the frame is no running generator's");
    PyThreadState_Get()->exc_info = g->gi_exc_state.previous_item;
    g->gi_exc_state.previous_item = NULL;
    ref->frame->previous = NULL;
    g->gi_frame_state = SF_SUSPENDED;
    Py_RETURN_NONE;
}

/* handle_exception(exception or None) -> what was handled before, of the thread or of the generator that
 * was entered last. */
static PyObject *handle_exception(PyObject *module, PyObject *exception)
{
    _PyErr_StackItem *item = PyThreadState_Get()->exc_info;
    PyObject *old = item->exc_value;
    item->exc_value = exception == Py_None ? NULL : Py_NewRef(exception);
    return old ? old : Py_NewRef(Py_None);
}

/* call(previous, fn, args, kwargs) -> (0, returned) | (2, raised), as if the frame `previous` had called. */
static PyObject *call(PyObject *module, PyObject *args)
{
    PyObject *previous, *fn, *arguments, *kwargs;
    if (!PyArg_ParseTuple(args, "OOO!O!", &previous, &fn, &PyTuple_Type, &arguments, &PyDict_Type, &kwargs))
        return NULL;
    PyThreadState *ts = PyThreadState_Get();
    Frame *here = sf_current(ts);
    sf_set_current(ts, previous == Py_None ? NULL : ((FrameRef *)previous)->frame);
    PyObject *result = PyObject_Call(fn, arguments, kwargs);
    sf_set_current(ts, here);
    if (result != NULL)
        return Py_BuildValue("iN", 0, result);
    return Py_BuildValue("iN", 2, sf_raised());
}

/* deliver(fn) -> what fn() says: it returns (0, value), which is returned, or (2, exception), which is raised
 * without a trace of fn itself. */
static PyObject *deliver(PyObject *module, PyObject *fn)
{
    PyObject *outcome = PyObject_CallNoArgs(fn), *value;
    int kind;
    if (outcome == NULL)
        return NULL;
    if (!PyArg_ParseTuple(outcome, "iO", &kind, &value)) {
        Py_DECREF(outcome);
        return NULL;
    }
    Py_INCREF(value);
    Py_DECREF(outcome);
    if (kind != 2)
        return value;
    sf_raise(value);
    Py_DECREF(value);
    return NULL;
}

static PyObject *enter_context(PyObject *module, PyObject *context)
{
    if (PyContext_Enter(context) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *leave_context(PyObject *module, PyObject *context)
{
    if (PyContext_Exit(context) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* As many Python calls as `count` are on the stack from now on (less, if it is negative). */
static PyObject *count_calls(PyObject *module, PyObject *count)
{
    long calls = PyLong_AsLong(count);
    if (calls == -1 && PyErr_Occurred())
        return NULL;
    PyThreadState *ts = PyThreadState_Get();
    sf_set_recursion_remaining(ts, sf_recursion_remaining(ts) - (int)calls);
    Py_RETURN_NONE;
}

/* ---- Watching what is raised -------------------------------------------------------------------------- */

/* leave_watch(): what is called from here on is not part of a callback, which never returns to its caller. */
static PyObject *leave_watch(PyObject *module, PyObject *unused)
{
    sf_leave_watch(PyThreadState_Get());
    Py_RETURN_NONE;
}

#if PY_VERSION_HEX < 0x030C0000
/* 3.11 has no sys.monitoring. A trace function is called for exceptions also while cframe.use_tracing is off, and
 * then no instruction looks for it. The interpreter turns that on behind each call of the function; it is off again
 * where the main thread next looks for something else to do. */
static PyObject *watcher; /* or NULL */

static int on_event(PyObject *unused, PyFrameObject *frame, int what, PyObject *argument);

static int calm(void *unused)
{
    PyThreadState *ts = PyThreadState_Get();
    if (ts->c_profilefunc == NULL && (ts->c_tracefunc == on_event || ts->c_tracefunc == NULL))
        ts->cframe->use_tracing = 0;
    return 0;
}

static int on_event(PyObject *unused, PyFrameObject *frame, int what, PyObject *argument)
{
    if (what != PyTrace_EXCEPTION || watcher == NULL)
        return 0;
    Py_AddPendingCall(calm, NULL);
    PyObject *answer = PyObject_CallFunctionObjArgs(watcher, PyTuple_GET_ITEM(argument, 1), PyTuple_GET_ITEM(argument, 2), NULL);
    if (answer == NULL)
        PyErr_Clear();
    Py_XDECREF(answer);
    return 0;
}

/* watch_raises(fn or None): fn(exception, traceback) is called in this thread where one is raised, and where it leaves a frame.
 * False where the program has a trace or profile function of its own, which stays. */
static PyObject *watch_raises(PyObject *module, PyObject *fn)
{
    PyThreadState *ts = PyThreadState_Get();
    int is_ours = ts->c_tracefunc == on_event;
    if (fn == Py_None) {
        if (is_ours) {
            ts->c_tracefunc = NULL;
            ts->cframe->use_tracing = ts->c_profilefunc ? 255 : 0;
        }
        Py_CLEAR(watcher);
        Py_RETURN_FALSE;
    }
    if (ts->c_profilefunc != NULL || (ts->c_tracefunc != NULL && !is_ours))
        Py_RETURN_FALSE;
    Py_XSETREF(watcher, Py_NewRef(fn));
    ts->c_tracefunc = on_event;
    ts->cframe->use_tracing = 0;
    Py_RETURN_TRUE;
}
#endif

/* ---- Generators, coroutines, asynchronous generators -------------------------------------------------- */

static int is_generator(PyObject *object)
{
    if (PyGen_CheckExact(object) || PyCoro_CheckExact(object) || PyAsyncGen_CheckExact(object))
        return 1;
    PyErr_Format(PyExc_TypeError, "%s is no generator", Py_TYPE(object)->tp_name);
    return 0;
}

/* generator_facts(g) -> (state, name, qualname, handled exception, (hooks, closed, running), finalizer or
 * None, code, FrameRef or None). A state of 0 is: runs. */
static PyObject *generator_facts(PyObject *module, PyObject *object)
{
    if (!is_generator(object))
        return NULL;
    PyGenObject *g = (PyGenObject *)object;
    PyObject *ref = g->gi_frame_state >= FRAME_COMPLETED ? Py_NewRef(Py_None) : new_ref((Frame *)g->gi_iframe);
    if (ref == NULL)
        return NULL;
    /* A plain generator has these fields too, but nobody ever sets them. */
    int is_async = !PyGen_CheckExact(g);
    PyObject *finalizer = is_async && g->gi_origin_or_finalizer ? g->gi_origin_or_finalizer : Py_None;
    return Py_BuildValue("iOOO(iii)OON", (int)g->gi_frame_state, g->gi_name, g->gi_qualname,
                         g->gi_exc_state.exc_value ? g->gi_exc_state.exc_value : Py_None,
                         is_async && g->gi_hooks_inited, is_async && g->gi_closed, is_async && g->gi_running_async, finalizer,
                         (PyObject *)sf_generator_code(g), ref);
}

/* The owner of the frame in a generator that new_generator() made, until it is filled; its stacktop says how
 * much room there is: a generator does not know its own size. */
#define OWNED_BY_NOBODY 0x5f

/* new_generator(type, slots, code, name, qualname) -> one that has ended, with room for a frame of `slots`. */
static PyObject *new_generator(PyObject *module, PyObject *args)
{
    PyTypeObject *type;
    PyObject *code, *name, *qualname;
    int slots;
    if (!PyArg_ParseTuple(args, "O!iO!UU", &PyType_Type, &type, &slots, &PyCode_Type, &code, &name, &qualname))
        return NULL;
    if ((type != &PyGen_Type && type != &PyCoro_Type && type != &PyAsyncGen_Type) || slots < 0)
        return PyErr_Format(PyExc_TypeError, "%s is no type of generators", type->tp_name);
    PyGenObject *g = PyObject_GC_NewVar(PyGenObject, type, slots);
    if (g == NULL)
        return NULL;
    g->gi_frame_state = FRAME_CLEARED;
    sf_empty_generator(g, (PyCodeObject *)code);
    ((Frame *)g->gi_iframe)->owner = OWNED_BY_NOBODY;
    ((Frame *)g->gi_iframe)->stacktop = slots;
    g->gi_weakreflist = NULL;
    g->gi_exc_state.exc_value = NULL;
    g->gi_exc_state.previous_item = NULL;
    g->gi_name = Py_NewRef(name);
    g->gi_qualname = Py_NewRef(qualname);
    g->gi_origin_or_finalizer = NULL;
    g->gi_hooks_inited = g->gi_closed = g->gi_running_async = 0;
    PyObject_GC_Track(g);
    return (PyObject *)g;
}

/* How many slots a frame of `code` needs in a generator. */
static PyObject *generator_slots(PyObject *module, PyObject *code)
{
    if (!PyCode_Check(code))
        return PyErr_Format(PyExc_TypeError, "%s is no code", Py_TYPE(code)->tp_name);
    return PyLong_FromLong(sf_slots((PyCodeObject *)code));
}

/* fill_generator(g, function, fast, stack, next, at, state, handled exception, (hooks, closed, running),
 * finalizer or None) */
static PyObject *fill_generator(PyObject *module, PyObject *args)
{
    PyObject *object, *function, *fast, *stack, *handled, *finalizer;
    int next, at, state, hooks, closed, running;
    if (!PyArg_ParseTuple(args, "OO!O!O!iiiO(iii)O", &object, &PyFunction_Type, &function, &PyList_Type, &fast, &PyList_Type,
                          &stack, &next, &at, &state, &handled, &hooks, &closed, &running,
                          &finalizer) || !is_generator(object))
        return NULL;
    PyGenObject *g = (PyGenObject *)object;
    PyCodeObject *co = (PyCodeObject *)((PyFunctionObject *)function)->func_code;
    Frame *empty = (Frame *)g->gi_iframe;
    if (g->gi_frame_state != FRAME_CLEARED || empty->owner != OWNED_BY_NOBODY || empty->stacktop < sf_slots(co))
        return PyErr_Format(PyExc_ValueError, "%R has no room for a frame of %U", object, co->co_qualname);
    if (state >= FRAME_EXECUTING)
        return PyErr_Format(PyExc_ValueError, "%d is no state of a suspended generator", state);
    Frame *f = (Frame *)g->gi_iframe;
    Frame old = *f;
    if (fill(f, function, Py_None, fast, stack, next, at) < 0) {
        *f = old;
        return NULL;
    }
    sf_leave_empty_generator(g, &old);
    f->owner = FRAME_OWNED_BY_GENERATOR;
    g->gi_exc_state.exc_value = handled == Py_None ? NULL : Py_NewRef(handled);
    Py_XSETREF(g->gi_origin_or_finalizer, finalizer == Py_None ? NULL : Py_NewRef(finalizer));
    g->gi_hooks_inited = hooks;
    g->gi_closed = closed;
    g->gi_running_async = running;
    g->gi_frame_state = (int8_t)state;
    Py_RETURN_NONE;
}

/* ---- Awaitables that C keeps to itself ---------------------------------------------------------------- */

/* async_generator_asend and async_generator_athrow, and the wrappers around them: what CPython's
 * genobject.c says of them, which is in no header. The self-test of awaitables.py holds it. */
typedef struct {
    PyObject_HEAD
    PyObject *generator;
    PyObject *value; /* sent, or the arguments of athrow */
    int state;
} AsyncStep;

#define ASYNC_STEP_CLOSED 2

/* async_step_facts(asend or athrow) -> (generator, value or None, state) */
static PyObject *async_step_facts(PyObject *module, PyObject *object)
{
    AsyncStep *step = (AsyncStep *)object;
    if (Py_TYPE(object) != &_PyAsyncGenASend_Type && strcmp(Py_TYPE(object)->tp_name, "async_generator_athrow") != 0)
        return PyErr_Format(PyExc_TypeError, "%s is no step of an asynchronous generator", Py_TYPE(object)->tp_name);
    return Py_BuildValue("OOi", step->generator, step->value ? step->value : Py_None, step->state);
}

static PyObject *set_async_step(PyObject *module, PyObject *args)
{
    PyObject *object;
    int state;
    if (!PyArg_ParseTuple(args, "Oi", &object, &state))
        return NULL;
    if (Py_TYPE(object) != &_PyAsyncGenASend_Type && strcmp(Py_TYPE(object)->tp_name, "async_generator_athrow") != 0)
        return PyErr_Format(PyExc_TypeError, "%s is no step of an asynchronous generator", Py_TYPE(object)->tp_name);
    AsyncStep *step = (AsyncStep *)object;
    step->state = state;
    if (state == ASYNC_STEP_CLOSED)
        ((PyAsyncGenObject *)step->generator)->ag_running_async = 0;
    Py_RETURN_NONE;
}

/* ---- The process ------------------------------------------------------------------------------------ */

PyAPI_FUNC(PyFrameObject *) PyFrame_New(PyThreadState *, PyCodeObject *, PyObject *, PyObject *);

/* new_frame(code, globals, locals or None) -> a frame object that never runs, for a traceback. */
static PyObject *new_frame(PyObject *module, PyObject *args)
{
    PyObject *code, *globals, *locals;
    if (!PyArg_ParseTuple(args, "O!O!O", &PyCode_Type, &code, &PyDict_Type, &globals, &locals))
        return NULL;
    return (PyObject *)PyFrame_New(PyThreadState_Get(), (PyCodeObject *)code, globals, locals == Py_None ? NULL : locals);
}

/* frame_ref(frame object) -> FrameRef, as long as the object's frame is where it is. */
static PyObject *frame_ref(PyObject *module, PyObject *object)
{
    if (!PyFrame_Check(object))
        return PyErr_Format(PyExc_TypeError, "%s is no frame", Py_TYPE(object)->tp_name);
    return new_ref(((PyFrameObject *)object)->f_frame);
}

/* fill_frame(frame object, fast, at): the object of a frame that never runs has these variables, and is at that unit. */
static PyObject *fill_frame(PyObject *module, PyObject *args)
{
    PyFrameObject *object;
    PyObject *fast;
    int at;
    if (!PyArg_ParseTuple(args, "O!O!i", &PyFrame_Type, &object, &PyList_Type, &fast, &at))
        return NULL;
    Frame *own = object->f_frame;
    PyCodeObject *co = sf_code(own);
    Py_ssize_t count = PyList_GET_SIZE(fast);
    if (own->owner != FRAME_OWNED_BY_FRAME_OBJECT || count != co->co_nlocalsplus || at < -1 || at >= Py_SIZE(co))
        return PyErr_Format(PyExc_ValueError, "the variables or the position do not fit %R", object);
    for (Py_ssize_t i = 0; i < count; i++)
        Py_XSETREF(own->localsplus[i], to_slot(PyList_GET_ITEM(fast, i)));
    if (at >= 0)
        sf_set_position(own, at + 1, at);
    Py_RETURN_NONE;
}

/* adopt(frame, object): `object`, which new_frame() made or which is that of a frame that was put down, is the frame
 * object of `frame` from now on. */
static PyObject *adopt(PyObject *module, PyObject *args)
{
    FrameRef *ref;
    PyFrameObject *object;
    if (!PyArg_ParseTuple(args, "O!O!", &FrameRef_Type, &ref, &PyFrame_Type, &object))
        return NULL;
    Frame *own = object->f_frame;
    if (own->owner == FRAME_OWNED_BY_THREAD && own->frame_obj == object && ref->frame->frame_obj == NULL &&
        sf_code(own) == sf_code(ref->frame)) {
        own->frame_obj = NULL;
        object->f_frame = ref->frame;
        ref->frame->frame_obj = object;
        Py_RETURN_NONE;
    }
    if (own->owner != FRAME_OWNED_BY_FRAME_OBJECT || ref->frame->frame_obj != NULL || sf_code(own) != sf_code(ref->frame))
        return PyErr_Format(PyExc_ValueError, "%R cannot be the object of that frame", object);
    for (int i = 0; i < own->stacktop; i++)
        Py_CLEAR(own->localsplus[i]);
    Py_CLEAR(own->f_locals);
    sf_drop_code(own);
    object->f_frame = ref->frame;
    ref->frame->frame_obj = (PyFrameObject *)Py_NewRef(object);
    /* The interpreter tracks it when the frame ends and the object takes over what it holds. */
    if (PyObject_GC_IsTracked((PyObject *)object))
        PyObject_GC_UnTrack(object);
    Py_RETURN_NONE;
}

/* In a copy of the process that has this thread only: some other thread may have held the lock of the
 * interpreter's lock just then. It is made anew, held by this thread, so that here it may be given back and
 * taken as ever. */
static void be_alone(PyThreadState *ts)
{
    struct _gil_runtime_state *gil = sf_gil(ts);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&gil->mutex, NULL);
    pthread_cond_init(&gil->cond, &monotonic);
#ifdef FORCE_SWITCHING
    pthread_mutex_init(&gil->switch_mutex, NULL);
    pthread_cond_init(&gil->switch_cond, &monotonic);
#endif
    sf_drop_requests(ts);
}

/* A copy of the process in which every other thread stands still for ever, with all its frames in memory,
 * and of which only this thread goes on. os.fork() would throw the others' states away. */
static PyObject *fork_still(PyObject *module, PyObject *unused)
{
    PyThreadState *ts = PyThreadState_Get();
    pid_t pid = fork();
    if (pid < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    if (pid == 0)
        be_alone(ts);
    return PyLong_FromLong(pid);
}

/* What is said through `fd` until its end, without giving the interpreter's lock away. */
static PyObject *listen_still(int fd)
{
    PyObject *said = PyByteArray_FromStringAndSize(NULL, 0);
    for (;;) {
        char piece[4096];
        ssize_t count = read(fd, piece, sizeof(piece));
        if (count == 0 || said == NULL)
            return said;
        if (count < 0) {
            if (errno == EINTR && PyErr_CheckSignals() == 0)
                continue;
            if (!PyErr_Occurred())
                PyErr_SetFromErrno(PyExc_OSError);
            Py_DECREF(said);
            return NULL;
        }
        Py_ssize_t size = PyByteArray_GET_SIZE(said);
        if (PyByteArray_Resize(said, size + count) < 0) {
            Py_DECREF(said);
            return NULL;
        }
        memcpy(PyByteArray_AS_STRING(said) + size, piece, count);
    }
}

/* fork_still_then(answer, ours, command) -> None in a copy as fork_still() makes it. Here no thread runs until the
 * copy has ended: the call returns what the copy said (answer and ours are a pipe's ends; ours is closed here), or,
 * if that is one byte 1, this process becomes `command`, so that no thread of it ever runs again. */
static PyObject *fork_still_then(PyObject *module, PyObject *args)
{
    int answer, ours;
    PyObject *command;
    if (!PyArg_ParseTuple(args, "iiO!", &answer, &ours, &PyTuple_Type, &command))
        return NULL;
    Py_ssize_t count = PyTuple_GET_SIZE(command);
    char **words = PyMem_Calloc(count + 1, sizeof(char *));
    if (words == NULL)
        return PyErr_NoMemory();
    PyObject *said = NULL;
    for (Py_ssize_t i = 0; i < count; i++) {
        words[i] = PyBytes_AsString(PyTuple_GET_ITEM(command, i));
        if (words[i] == NULL)
            goto done;
    }
    PyThreadState *ts = PyThreadState_Get();
    pid_t pid = fork();
    if (pid == 0) {
        be_alone(ts);
        PyMem_Free(words);
        Py_RETURN_NONE;
    }
    if (pid < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        goto done;
    }
    close(ours);
    said = listen_still(answer);
    if (said == NULL)
        kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    if (said != NULL && PyByteArray_GET_SIZE(said) == 1 && PyByteArray_AS_STRING(said)[0] == 1) {
        execv(words[0], words);
        PyErr_SetFromErrno(PyExc_OSError);
        Py_CLEAR(said);
    }
done:
    PyMem_Free(words);
    return said;
}

#include "_aside.h"

static PyObject *atexit_callbacks(PyObject *module, PyObject *unused)
{
    struct atexit_state *state = sf_atexit(PyThreadState_Get());
    PyObject *list = PyList_New(0);
    for (int i = 0; list && i < state->ncallbacks; i++) {
        if (state->callbacks[i] == NULL)
            continue;
        PyObject *item = Py_BuildValue("OOO", state->callbacks[i]->func, state->callbacks[i]->args,
                                       state->callbacks[i]->kwargs ? state->callbacks[i]->kwargs : Py_None);
        if (item == NULL || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

static PyMethodDef methods[] = {
    {"walk", walk, METH_VARARGS, "walk(thread_id=0) -> its frames, innermost first. 0 is the calling thread."},
    {"handled_exceptions", handled_exceptions, METH_VARARGS,
     "handled_exceptions(thread_id=0) -> what its generators, innermost first, and it handle just now, or None."},
    {"within", within, METH_VARARGS, "within(thread_id=0) -> 'a trace function', 'the garbage collector' or None."},
    {"leave_watch", leave_watch, METH_NOARGS, "leave_watch(): no callback is under way from here on."},
#if PY_VERSION_HEX < 0x030C0000
    {"watch_raises", watch_raises, METH_O, "watch_raises(fn or None) -> whether it is called now where something is raised."},
#endif
    {"thread_ids", thread_ids, METH_NOARGS, "thread_ids() -> the ids of all threads."},
    {"thread_facts", thread_facts, METH_VARARGS, "thread_facts(thread_id=0) -> (keys of its locals, contexts, native id)."},
    {"push", push, METH_VARARGS, "push(previous, function, locals, fast, stack, next, at) -> FrameRef."},
    {"enter_generator", enter_generator, METH_VARARGS, "enter_generator(previous, generator) -> FrameRef."},
    {"run", run, METH_O, "run(frame) -> (0, returned) | (1, yielded) | (2, raised)."},
    {"suspend", suspend, METH_O, "suspend(frame): its generator waits again, without having run."},
    {"call", call, METH_VARARGS, "call(previous, fn, args, kwargs) -> (0, returned) | (2, raised)."},
    {"deliver", deliver, METH_O, "deliver(fn): fn() -> (0, value) or (2, exception), returned or raised."},
    {"enter_context", enter_context, METH_O, "As Context.run() does before it calls."},
    {"leave_context", leave_context, METH_O, "As Context.run() does behind its call."},
    {"handle_exception", handle_exception, METH_O, "handle_exception(exception) -> the one before."},
    {"count_calls", count_calls, METH_O, "count_calls(count): that many calls are on the stack."},
    {"generator_facts", generator_facts, METH_O, NULL},
    {"generator_slots", generator_slots, METH_O, "generator_slots(code) -> how many a frame of it needs."},
    {"new_generator", new_generator, METH_VARARGS, "new_generator(type, slots, code, name, qualname)"},
    {"fill_generator", fill_generator, METH_VARARGS, NULL},
    {"async_step_facts", async_step_facts, METH_O, NULL},
    {"set_async_step", set_async_step, METH_VARARGS, NULL},
    {"new_frame", new_frame, METH_VARARGS, "new_frame(code, globals, locals) -> a frame that never runs."},
    {"frame_ref", frame_ref, METH_O, "frame_ref(frame object) -> FrameRef."},
    {"fill_frame", fill_frame, METH_VARARGS, "fill_frame(frame object, fast, at), of a frame that never runs."},
    {"adopt", adopt, METH_VARARGS, "adopt(frame, object): the object that new_frame() made stands for the frame."},
    {"fork_still", fork_still, METH_NOARGS, "fork_still() -> pid, or 0 in a copy where all other threads stand still."},
    {"fork_still_then", fork_still_then, METH_VARARGS,
     "fork_still_then(answer, ours, command) -> None in the copy; here what it said, or never, if that was b'\\1'."},
    ASIDE_METHODS,
    {"atexit_callbacks", atexit_callbacks, METH_NOARGS, "atexit_callbacks() -> [(function, args, kwargs)]"},
    {NULL, NULL, 0, NULL},
};

static PyObject *null_reduce(PyObject *self, PyObject *unused) { return PyUnicode_FromString("NULL"); }
static PyObject *null_repr(PyObject *self) { return PyUnicode_FromString("NULL"); }
static PyMethodDef null_methods[] = {{"__reduce__", null_reduce, METH_NOARGS, NULL}, {NULL}};
static PyTypeObject Null_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "stillframe.frames._frames.Null",
    .tp_basicsize = sizeof(PyObject),
    .tp_repr = null_repr,
    .tp_methods = null_methods,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_doc = "The type of NULL: a slot of a frame that holds no object.",
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "stillframe.frames._frames", "Live interpreter frames, read and made.", -1, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__frames(void)
{
    if (PyType_Ready(&FrameRef_Type) < 0 || PyType_Ready(&Null_Type) < 0)
        return NULL;
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL)
        return NULL;
    null_object = (PyObject *)PyObject_New(PyObject, &Null_Type);
    if (null_object == NULL || PyModule_AddObjectRef(module, "NULL", null_object) < 0 ||
        PyModule_AddObjectRef(module, "FrameRef", (PyObject *)&FrameRef_Type) < 0 ||
        PyModule_AddIntConstant(module, "SUSPENDED", SF_SUSPENDED) < 0 ||
        PyModule_AddIntConstant(module, "EXECUTING", FRAME_EXECUTING) < 0 ||
        PyModule_AddIntConstant(module, "POINTS_AT_NEXT", SF_POINTS_AT_NEXT) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
#endif
