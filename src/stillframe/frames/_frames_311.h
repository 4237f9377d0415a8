/* What differs between CPython versions, for 3.11. The structs are CPython's own: where a patch release
 * changes one, the build or the self-test stops. */
#include "internal/pycore_frame.h"
#include "internal/pycore_code.h"
#include "internal/pycore_interp.h"
#include "internal/pycore_pystate.h"
#include "internal/pycore_runtime.h"

typedef _PyInterpreterFrame Frame;

/* FRAME_SUSPENDED: resumed by send(), and its instruction pushes what is sent. */
#define SF_SUSPENDED FRAME_SUSPENDED
/* The frame's instruction pointer is that of the last code unit that was executed. */
#define SF_POINTS_AT_NEXT 0

static inline PyCodeObject *sf_code(Frame *f) { return f->f_code; }
static inline PyObject *sf_function(Frame *f) { return (PyObject *)f->f_func; }
static inline int sf_is_shim(Frame *f) { return 0; }
static inline int sf_position(Frame *f) { return (int)(f->prev_instr - _PyCode_CODE(f->f_code)); }
static inline Frame *sf_current(PyThreadState *ts) { return ts->cframe->current_frame; }
static inline void sf_set_current(PyThreadState *ts, Frame *f) { ts->cframe->current_frame = f; }
static inline int sf_entered_from_c(Frame *f) { return f->is_entry || f->previous == NULL; }
static inline int sf_slots(PyCodeObject *co) { return co->co_nlocalsplus + co->co_stacksize; }

static inline void sf_set_position(Frame *f, int next, int at)
{
    f->prev_instr = _PyCode_CODE(f->f_code) + next - 1;
}

/* Takes references to both. */
static inline void sf_set_code(Frame *f, PyObject *function, PyCodeObject *co)
{
    f->f_func = (PyFunctionObject *)Py_NewRef(function);
    f->f_code = (PyCodeObject *)Py_NewRef(co);
    f->is_entry = false;
}

static inline void sf_drop_code(Frame *f)
{
    Py_DECREF(f->f_func);
    Py_DECREF(f->f_code);
}

/* An empty generator owns its code by gi_code on 3.11. */
static inline void sf_empty_generator(PyGenObject *g, PyCodeObject *co)
{
    g->gi_code = (PyCodeObject *)Py_NewRef(co);
}

static inline void sf_leave_empty_generator(PyGenObject *g, Frame *old)
{
    Py_SETREF(g->gi_code, (PyCodeObject *)Py_NewRef(((Frame *)g->gi_iframe)->f_code));
}

static inline PyCodeObject *sf_generator_code(PyGenObject *g) { return g->gi_code; }

static inline void sf_raise(PyObject *exception)
{
    PyErr_Restore(Py_NewRef(Py_TYPE(exception)), Py_NewRef(exception), PyException_GetTraceback(exception));
}

/* A new reference to the exception that was set, with its traceback. */
static inline PyObject *sf_raised(void)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL)
        PyException_SetTraceback(value, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
}

static inline struct _gil_runtime_state *sf_gil(PyThreadState *ts) { return &_PyRuntime.ceval.gil; }
static inline void sf_drop_requests(PyThreadState *ts)
{
    _Py_atomic_store_relaxed(&ts->interp->ceval.gil_drop_request, 0);
}

/* Has the thread that holds the interpreter's lock give it up where it next looks. */
static inline void sf_request_lock(PyThreadState *ts, PyThreadState *holder)
{
    _Py_atomic_store_relaxed(&ts->interp->ceval.gil_drop_request, 1);
    _Py_atomic_store_relaxed(&ts->interp->ceval.eval_breaker, 1);
}

/* Behind a callback of the interpreter that never returns. */
static inline void sf_leave_watch(PyThreadState *ts)
{
    ts->tracing = 0;
    ts->c_tracefunc = NULL;
    ts->cframe->use_tracing = ts->c_profilefunc ? 255 : 0;
}

static inline int sf_recursion_remaining(PyThreadState *ts) { return ts->recursion_remaining; }
static inline void sf_set_recursion_remaining(PyThreadState *ts, int n) { ts->recursion_remaining = n; }
static inline struct atexit_state *sf_atexit(PyThreadState *ts) { return &ts->interp->atexit; }

/* From 3.12 on the interpreter clears and pops a frame that ends; here its caller does. Neither
 * _PyFrame_Clear nor _PyThreadState_PopFrame is exported. */
static void sf_release(PyThreadState *ts, Frame *f)
{
    PyFrameObject *object = f->frame_obj;
    if (object != NULL) {
        f->frame_obj = NULL;
        if (Py_REFCNT(object) > 1) { /* somebody keeps the frame object: it takes the frame's contents over */
            size_t size = ((char *)&f->localsplus[f->stacktop]) - (char *)f;
            memcpy((Frame *)object->_f_frame_data, f, size);
            Frame *own = (Frame *)object->_f_frame_data;
            object->f_frame = own;
            own->owner = FRAME_OWNED_BY_FRAME_OBJECT;
            if (own->previous != NULL) {
                Frame *current = sf_current(ts);
                sf_set_current(ts, own->previous);
                object->f_back = (PyFrameObject *)Py_XNewRef((PyObject *)PyEval_GetFrame());
                sf_set_current(ts, current);
                own->previous = NULL;
            }
            if (!PyObject_GC_IsTracked((PyObject *)object))
                PyObject_GC_Track(object);
            Py_DECREF(object);
            return;
        }
        Py_DECREF(object);
    }
    for (int i = 0; i < f->stacktop; i++)
        Py_XDECREF(f->localsplus[i]);
    Py_XDECREF(f->f_locals);
    sf_drop_code(f);
}

static void sf_after_run(PyThreadState *ts, Frame *f)
{
    sf_release(ts, f);
    PyObject **base = (PyObject **)f;
    if (base != &ts->datastack_chunk->data[0]) {
        ts->datastack_top = base;
        return;
    }
    _PyStackChunk *chunk = ts->datastack_chunk, *previous = chunk->previous;
    ts->datastack_top = &previous->data[previous->top];
    ts->datastack_chunk = previous;
    ts->datastack_limit = (PyObject **)(((char *)previous) + previous->size);
    PyObjectArenaAllocator arena;
    PyObject_GetArenaAllocator(&arena);
    arena.free(arena.ctx, chunk, chunk->size);
}

/* What gen_send_ex2() does behind the interpreter, whose job it is from 3.12 on. */
static void sf_after_generator_run(PyThreadState *ts, PyGenObject *g, int has_result)
{
    Frame *f = (Frame *)g->gi_iframe;
    if (g->gi_frame_state == FRAME_EXECUTING)
        g->gi_frame_state = FRAME_COMPLETED;
    ts->exc_info = g->gi_exc_state.previous_item;
    g->gi_exc_state.previous_item = NULL;
    f->previous = NULL;
    if (has_result && g->gi_frame_state == FRAME_SUSPENDED)
        return;
    PyObject *type = NULL, *value = NULL, *traceback = NULL;
    if (!has_result) {
        const char *name = PyCoro_CheckExact(g) ? "coroutine" : PyAsyncGen_CheckExact(g) ? "async generator" : "generator";
        const char *raised = PyErr_ExceptionMatches(PyExc_StopIteration) ? "StopIteration"
            : PyAsyncGen_CheckExact(g) && PyErr_ExceptionMatches(PyExc_StopAsyncIteration) ? "StopAsyncIteration" : NULL;
        if (raised != NULL) {
            PyObject *cause = sf_raised();
            PyObject *text = PyUnicode_FromFormat("%s raised %s", name, raised);
            PyObject *error = text ? PyObject_CallOneArg(PyExc_RuntimeError, text) : NULL;
            Py_XDECREF(text);
            if (error != NULL) {
                PyException_SetCause(error, Py_NewRef(cause));
                PyException_SetContext(error, Py_NewRef(cause));
                PyErr_SetObject(PyExc_RuntimeError, error);
                Py_DECREF(error);
            }
            Py_DECREF(cause);
        }
        PyErr_Fetch(&type, &value, &traceback);
    }
    Py_CLEAR(g->gi_exc_state.exc_value);
    g->gi_frame_state = FRAME_CLEARED;
    sf_release(ts, f);
    if (type != NULL)
        PyErr_Restore(type, value, traceback);
}

/* threading.local finds a thread's values by an object that only this thread has: up to 3.12, in its dict. */
static inline PyObject *sf_local_keys(PyThreadState *ts)
{
    return ts->dict ? PyDict_Values(ts->dict) : PyList_New(0);
}
