/* What differs between CPython versions, for 3.12. The structs are CPython's own: where a patch release
 * changes one, the build or the self-test stops. */
#include "internal/pycore_frame.h"
#include "internal/pycore_code.h"
#include "internal/pycore_genobject.h"
#include "internal/pycore_interp.h"
#include "internal/pycore_pystate.h"

typedef _PyInterpreterFrame Frame;

#define SF_SUSPENDED FRAME_SUSPENDED
#define SF_POINTS_AT_NEXT 0

static inline PyCodeObject *sf_code(Frame *f) { return f->f_code; }
static inline PyObject *sf_function(Frame *f) { return f->f_funcobj; }
/* Frames of C itself, which the interpreter puts between a call from C and what it runs. */
static inline int sf_is_shim(Frame *f) { return f->owner == FRAME_OWNED_BY_CSTACK; }
static inline int sf_position(Frame *f) { return (int)(f->prev_instr - _PyCode_CODE(f->f_code)); }
static inline Frame *sf_current(PyThreadState *ts) { return ts->cframe->current_frame; }
static inline void sf_set_current(PyThreadState *ts, Frame *f) { ts->cframe->current_frame = f; }
static inline int sf_entered_from_c(Frame *f) { return f->previous == NULL || sf_is_shim(f->previous); }
static inline int sf_slots(PyCodeObject *co) { return _PyFrame_NumSlotsForCodeObject(co); }

static inline void sf_set_position(Frame *f, int next, int at)
{
    f->prev_instr = _PyCode_CODE(f->f_code) + next - 1;
}

/* Takes references to both. */
static inline void sf_set_code(Frame *f, PyObject *function, PyCodeObject *co)
{
    f->f_funcobj = Py_NewRef(function);
    f->f_code = (PyCodeObject *)Py_NewRef(co);
    f->return_offset = 0;
}

static inline void sf_drop_code(Frame *f)
{
    Py_DECREF(f->f_funcobj);
    Py_DECREF(f->f_code);
}

/* An empty generator owns its code by its frame. */
static inline void sf_empty_generator(PyGenObject *g, PyCodeObject *co)
{
    ((Frame *)g->gi_iframe)->previous = NULL;
    ((Frame *)g->gi_iframe)->f_code = (PyCodeObject *)Py_NewRef(co);
}

static inline void sf_leave_empty_generator(PyGenObject *g, Frame *old) { Py_DECREF(sf_code(old)); }
static inline PyCodeObject *sf_generator_code(PyGenObject *g) { return sf_code((Frame *)g->gi_iframe); }

static inline void sf_raise(PyObject *exception) { PyErr_SetRaisedException(Py_NewRef(exception)); }
static inline PyObject *sf_raised(void) { return PyErr_GetRaisedException(); }

static inline struct _gil_runtime_state *sf_gil(PyThreadState *ts) { return ts->interp->ceval.gil; }
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
    ts->what_event = -1;
}

static inline int sf_recursion_remaining(PyThreadState *ts) { return ts->py_recursion_remaining; }
static inline void sf_set_recursion_remaining(PyThreadState *ts, int n) { ts->py_recursion_remaining = n; }
static inline struct atexit_state *sf_atexit(PyThreadState *ts) { return &ts->interp->atexit; }

static inline void sf_after_run(PyThreadState *ts, Frame *f) {}
static inline void sf_after_generator_run(PyThreadState *ts, PyGenObject *g, int has_result) {}

/* threading.local finds a thread's values by an object that only this thread has: up to 3.12, in its dict. */
static inline PyObject *sf_local_keys(PyThreadState *ts)
{
    return ts->dict ? PyDict_Values(ts->dict) : PyList_New(0);
}
