/* Calls of native functions that go to functions written in Python instead, while they are diverted.
 *
 *     sorted ──► its method definition ──► CPython's C                as it comes
 *     sorted ──► a definition of ours ──► may it call back? ──► Python         diverted
 *                                              └── no ──► CPython's C
 *
 * The object `sorted` stays what it is: only the definition that it points to is another one, with the same name,
 * flags and documentation. For a class it is `tp_vectorcall`, which its calls go through.
 *
 * Invariants:
 *   * A call that is not well-formed goes to CPython's C, whose errors these are.
 *   * So does one of which it is known that it runs no Python code; where that is not known, it is diverted.
 *   * While a trace or profile function is set, every call goes to C: what it sees is what it always saw.
 *   * Only the main interpreter's calls are diverted: the functions written in Python are its own.
 */
#define PY_SSIZE_T_CLEAN
#define Py_BUILD_CORE 1
#include <Python.h>
#if PY_VERSION_HEX >= 0x030d0000
#include "internal/pycore_dict.h"
#include "internal/pycore_setobject.h"
#endif
#if PY_VERSION_HEX >= 0x030c0000
#include "internal/pycore_interp.h"
#endif

#define MOST 20 /* calls of so many functions can be diverted; EACH_SLOT lists them */

enum { METHOD = 1, ITEMS = 2, SPREAD = 4, SECOND = 8 };
/* METHOD: the first argument is self. ITEMS: not only iterating may call back, but what is done with the items.
 * SPREAD: several arguments are the items. SECOND: what calls back is the second argument. */

typedef struct {
    PyObject *target; /* a builtin function, a method's descriptor, or a class; NULL: the slot is free */
    PyObject *stand_in;
    PyMethodDef *original;
    vectorcallfunc original_call;
    PyMethodDef definition;
    Py_ssize_t least, most; /* positional arguments, without self; most < 0: any number */
    PyObject *keywords;     /* a tuple; None: any */
    int what;
    int is_active;
} Diversion;

static Diversion diversions[MOST];
static PyInterpreterState *interpreter;
static PyObject *str_key, *str_reverse;
static PyTypeObject *itemgetter;

/* ---- May it call back? ------------------------------------------------------------------------------- */

static int is_atom(PyObject *o)
{
    PyTypeObject *t = Py_TYPE(o);
    return t == &PyLong_Type || t == &PyUnicode_Type || t == &PyFloat_Type || o == Py_None || t == &PyBool_Type ||
           t == &PyBytes_Type || t == &PyComplex_Type;
}

static int is_container(PyObject *o)
{
    PyTypeObject *t = Py_TYPE(o);
    return t == &PyList_Type || t == &PyTuple_Type || t == &PyDict_Type || t == &PySet_Type ||
           t == &PyFrozenSet_Type || t == &PyUnicode_Type || t == &PyBytes_Type || t == &PyByteArray_Type ||
           t == &PyRange_Type || t == &PyDictKeys_Type || t == &PyDictValues_Type || t == &PyDictItems_Type ||
           t == &PyListIter_Type || t == &PyTupleIter_Type || t == &PyRangeIter_Type || t == &PyUnicodeIter_Type ||
           t == &PyBytesIter_Type || t == &PySetIter_Type || t == &PyDictIterKey_Type ||
           t == &PyDictIterValue_Type || t == &PyDictIterItem_Type || is_atom(o);
}

static int iterates_natively(PyObject *o);

static int visit_source(PyObject *o, void *unused)
{
    if (PyTuple_CheckExact(o)) {
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(o); i++)
            if (!iterates_natively(PyTuple_GET_ITEM(o, i)))
                return 1;
        return 0;
    }
    return !iterates_natively(o);
}

/* Whether iterating runs no Python code. What cannot even be iterated does not either. */
static int iterates_natively(PyObject *o)
{
    if (is_container(o))
        return 1;
    PyTypeObject *t = Py_TYPE(o);
    if (t == &PyZip_Type || t == &PyEnum_Type || t == &PyReversed_Type)
        return t->tp_traverse(o, visit_source, NULL) == 0;
    return 0;
}

static int are_atoms(PyObject *const *items, Py_ssize_t size, int depth)
{
    for (Py_ssize_t i = 0; i < size; i++) {
        if (is_atom(items[i]))
            continue;
        if (depth == 0 || !PyTuple_CheckExact(items[i]) ||
            !are_atoms(((PyTupleObject *)items[i])->ob_item, PyTuple_GET_SIZE(items[i]), depth - 1))
            return 0;
    }
    return 1;
}

/* Whether whatever is done with the items of `o` (compare, add, ask for their truth) runs no Python code. */
static int holds_atoms(PyObject *o)
{
    PyTypeObject *t = Py_TYPE(o);
    if (PyList_Check(o))
        return are_atoms(((PyListObject *)o)->ob_item, PyList_GET_SIZE(o), 2);
    if (t == &PyTuple_Type)
        return are_atoms(((PyTupleObject *)o)->ob_item, PyTuple_GET_SIZE(o), 2);
    int is_values = t == &PyDictValues_Type, is_keys = t == &PyDictKeys_Type || t == &PyDict_Type;
    if (is_values || is_keys) {
        PyObject *key, *value, *dict = t == &PyDict_Type ? o : (PyObject *)((_PyDictViewObject *)o)->dv_dict;
        Py_ssize_t at = 0;
        while (PyDict_CheckExact(dict) && PyDict_Next(dict, &at, &key, &value))
            if (!is_atom(is_values ? value : key))
                return 0;
        return PyDict_CheckExact(dict);
    }
    if (t == &PySet_Type || t == &PyFrozenSet_Type) {
        PyObject *key;
        Py_ssize_t at = 0;
        Py_hash_t hash;
        while (_PySet_NextEntry(o, &at, &key, &hash))
            if (!is_atom(key))
                return 0;
        return 1;
    }
    return is_atom(o) || t == &PyRange_Type || t == &PyByteArray_Type;
}

static int is_native_key(PyObject *key)
{
    PyTypeObject *t = Py_TYPE(key);
    if (t == &PyCFunction_Type) {
        PyObject *self = PyCFunction_GET_SELF(key);
        return self == NULL || PyModule_CheckExact(self);
    }
    return key == Py_None || t == &PyMethodDescr_Type || t == itemgetter;
}

/* Whether someone traces or profiles: an exception in a hidden frame would be reported for its caller. */
static int is_watched(PyInterpreterState *interp)
{
#if PY_VERSION_HEX >= 0x030c0000
    return interp->monitors.tools[PY_MONITORING_EVENT_RAISE] || interp->monitors.tools[PY_MONITORING_EVENT_PY_UNWIND];
#else
    PyThreadState *ts = PyThreadState_Get();
    return ts->c_tracefunc || ts->c_profilefunc;
#endif
}

/* Whether the call is well-formed and may run Python code. `args` is without self. */
static int is_for_stand_in(Diversion *d, PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names,
                           PyObject *const *values)
{
    if (!d->is_active || nargs < d->least || (d->most >= 0 && nargs > d->most))
        return 0;
    if (PyInterpreterState_Get() != interpreter || is_watched(interpreter))
        return 0;
    PyObject *key = Py_None;
    for (Py_ssize_t i = 0; names && i < PyTuple_GET_SIZE(names); i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        if (d->keywords != Py_None && PySequence_Contains(d->keywords, name) != 1) {
            PyErr_Clear();
            return 0;
        }
        if (PyUnicode_Compare(name, str_key) == 0)
            key = values[i];
        if (PyUnicode_Compare(name, str_reverse) == 0 && !PyBool_Check(values[i]))
            return 0;
    }
    if (d->what & SECOND)
        return 1;
    if (d->what & SPREAD && nargs > 1)
        return !(are_atoms(args, nargs, 2) && is_native_key(key));
    PyObject *first = nargs ? args[0] : self;
    if (d->what & ITEMS)
        return !(holds_atoms(first) && is_native_key(key));
    for (Py_ssize_t i = 0; i < nargs; i++)
        if (!iterates_natively(args[i]))
            return 1;
    return 0;
}

/* ---- The ways in which C calls ----------------------------------------------------------------------- */

/* Answers whether the call was diverted; if so, *result is what it came to. `args` is without self. */
static int is_diverted(Diversion *d, PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names,
                       PyObject **result)
{
    if (!is_for_stand_in(d, self, args, nargs, names, args + nargs))
        return 0;
    PyObject *stand_in = Py_NewRef(d->stand_in);
    if (!(d->what & METHOD)) {
        *result = PyObject_Vectorcall(stand_in, args, nargs, names);
    } else {
        Py_ssize_t size = nargs + (names ? PyTuple_GET_SIZE(names) : 0);
        PyObject **all = PyMem_Malloc(sizeof(PyObject *) * (size + 1));
        if (all == NULL) {
            *result = PyErr_NoMemory();
        } else {
            all[0] = self;
            memcpy(all + 1, args, sizeof(PyObject *) * size);
            *result = PyObject_Vectorcall(stand_in, all, nargs + 1, names);
            PyMem_Free(all);
        }
    }
    Py_DECREF(stand_in);
    return 1;
}

static PyObject *call_o(int slot, PyObject *self, PyObject *arg)
{
    PyObject *result;
    if (is_diverted(&diversions[slot], self, &arg, 1, NULL, &result))
        return result;
    return diversions[slot].original->ml_meth(self, arg);
}

static PyObject *call_fast(int slot, PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *result;
    if (is_diverted(&diversions[slot], self, args, nargs, NULL, &result))
        return result;
    return ((_PyCFunctionFast)(void (*)(void))diversions[slot].original->ml_meth)(self, args, nargs);
}

static PyObject *call_fast_keywords(int slot, PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    PyObject *result;
    if (is_diverted(&diversions[slot], self, args, nargs, names, &result))
        return result;
    return ((_PyCFunctionFastWithKeywords)(void (*)(void))diversions[slot].original->ml_meth)(self, args, nargs, names);
}

static PyObject *call_method(int slot, PyObject *self, PyTypeObject *cls, PyObject *const *args, size_t nargs,
                             PyObject *names)
{
    PyObject *result;
    if (is_diverted(&diversions[slot], self, args, PyVectorcall_NARGS(nargs), names, &result))
        return result;
    return ((PyCMethod)(void (*)(void))diversions[slot].original->ml_meth)(self, cls, args, nargs, names);
}

static PyObject *call_tuple(int slot, PyObject *self, PyObject *args, PyObject *kwargs)
{
    Diversion *d = &diversions[slot];
    PyObject *result = NULL, *names = NULL, *values[8];
    Py_ssize_t nargs = PyTuple_GET_SIZE(args), named = kwargs ? PyDict_GET_SIZE(kwargs) : 0;
    /* More names than any of these functions knows are an error, which is CPython's to raise. */
    if (named <= 2 && nargs + named <= 8) {
        memcpy(values, ((PyTupleObject *)args)->ob_item, sizeof(PyObject *) * nargs);
        if (named) {
            PyObject *name, *value;
            Py_ssize_t at = 0, i = 0;
            names = PyTuple_New(named);
            while (names && PyDict_Next(kwargs, &at, &name, &value)) {
                PyTuple_SET_ITEM(names, i, Py_NewRef(name));
                values[nargs + i++] = value;
            }
            if (names == NULL)
                return NULL;
        }
        int is_done = is_diverted(d, self, values, nargs, names, &result);
        Py_XDECREF(names);
        if (is_done)
            return result;
    } else if (named == 0 && is_diverted(d, self, ((PyTupleObject *)args)->ob_item, nargs, NULL, &result)) {
        return result;
    }
    if (d->original->ml_flags & METH_KEYWORDS)
        return ((PyCFunctionWithKeywords)(void (*)(void))d->original->ml_meth)(self, args, kwargs);
    return d->original->ml_meth(self, args);
}

static PyObject *call_class(int slot, PyObject *cls, PyObject *const *args, size_t nargs, PyObject *names)
{
    PyObject *result;
    if (is_diverted(&diversions[slot], NULL, args, PyVectorcall_NARGS(nargs), names, &result))
        return result;
    return diversions[slot].original_call(cls, args, nargs, names);
}

/* C calls a function by its address alone: each slot has its own, for each way to be called. */
#define SLOT(N)                                                                                                        \
    static PyObject *o_##N(PyObject *s, PyObject *a) { return call_o(N, s, a); }                                       \
    static PyObject *fast_##N(PyObject *s, PyObject *const *a, Py_ssize_t n) { return call_fast(N, s, a, n); }         \
    static PyObject *keywords_##N(PyObject *s, PyObject *const *a, Py_ssize_t n, PyObject *k)                          \
    {                                                                                                                  \
        return call_fast_keywords(N, s, a, n, k);                                                                      \
    }                                                                                                                  \
    static PyObject *method_##N(PyObject *s, PyTypeObject *c, PyObject *const *a, size_t n, PyObject *k)               \
    {                                                                                                                  \
        return call_method(N, s, c, a, n, k);                                                                          \
    }                                                                                                                  \
    static PyObject *tuple_##N(PyObject *s, PyObject *a, PyObject *k) { return call_tuple(N, s, a, k); }               \
    static PyObject *plain_##N(PyObject *s, PyObject *a) { return call_tuple(N, s, a, NULL); }                         \
    static PyObject *class_##N(PyObject *c, PyObject *const *a, size_t n, PyObject *k)                                 \
    {                                                                                                                  \
        return call_class(N, c, a, n, k);                                                                              \
    }
#define EACH_SLOT(DO)                                                                                                  \
    DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) DO(15) DO(16)       \
        DO(17) DO(18) DO(19)
EACH_SLOT(SLOT)

typedef void (*Any)(void);
#define WAYS(N)                                                                                                        \
    {(Any)o_##N, (Any)fast_##N, (Any)keywords_##N, (Any)method_##N, (Any)tuple_##N, (Any)plain_##N, (Any)class_##N},
static const Any ways[MOST][7] = {EACH_SLOT(WAYS)};

static int way_of(int flags)
{
    switch (flags & (METH_O | METH_FASTCALL | METH_KEYWORDS | METH_METHOD | METH_VARARGS)) {
    case METH_O: return 0;
    case METH_FASTCALL: return 1;
    case METH_FASTCALL | METH_KEYWORDS: return 2;
    case METH_METHOD | METH_FASTCALL | METH_KEYWORDS: return 3;
    case METH_VARARGS | METH_KEYWORDS: return 4;
    case METH_VARARGS: return 5;
    }
    return -1;
}

/* ---- Functions for Python ---------------------------------------------------------------------------- */

static PyMethodDef **definition_of(PyObject *target)
{
    if (PyCFunction_CheckExact(target))
        return &((PyCFunctionObject *)target)->m_ml;
    if (Py_IS_TYPE(target, &PyMethodDescr_Type))
        return &((PyMethodDescrObject *)target)->d_method;
    return NULL;
}

/* A slot is for ever that of its first target: bound methods may have its definition. */
static int slot_of(PyObject *target)
{
    int slot = 0;
    while (slot < MOST && diversions[slot].target != NULL && diversions[slot].target != target)
        slot++;
    return slot;
}

static PyObject *divert(PyObject *module, PyObject *args)
{
    PyObject *target, *stand_in, *keywords;
    Py_ssize_t least, most;
    int what;
    if (!PyArg_ParseTuple(args, "OO!nnOi", &target, &PyFunction_Type, &stand_in, &least, &most, &keywords, &what))
        return NULL;
    PyMethodDef **definition = definition_of(target);
    int slot = slot_of(target), way = definition ? way_of((*definition)->ml_flags) : 6;
    if (slot == MOST || way < 0 || diversions[slot].is_active ||
        (definition == NULL && !(PyType_Check(target) && ((PyTypeObject *)target)->tp_vectorcall)))
        return PyErr_Format(PyExc_ValueError, "calls of %R cannot be diverted", target);
    Diversion *d = &diversions[slot];
    Py_XSETREF(d->target, Py_NewRef(target));
    Py_XSETREF(d->stand_in, Py_NewRef(stand_in));
    Py_XSETREF(d->keywords, Py_NewRef(keywords));
    d->least = least;
    d->most = most;
    d->what = what;
    d->is_active = 1;
    interpreter = PyInterpreterState_Get();
    if (definition) {
        d->original = *definition;
        d->definition = *d->original;
        d->definition.ml_meth = (PyCFunction)ways[slot][way];
        *definition = &d->definition;
    } else {
        d->original_call = ((PyTypeObject *)target)->tp_vectorcall;
        ((PyTypeObject *)target)->tp_vectorcall = (vectorcallfunc)ways[slot][way];
    }
    Py_RETURN_NONE;
}

static PyObject *restore(PyObject *module, PyObject *unused)
{
    for (int slot = 0; slot < MOST; slot++) {
        Diversion *d = &diversions[slot];
        if (!d->is_active)
            continue;
        PyMethodDef **definition = definition_of(d->target);
        if (definition)
            *definition = d->original;
        else
            ((PyTypeObject *)d->target)->tp_vectorcall = d->original_call;
        d->is_active = 0;
    }
    Py_RETURN_NONE;
}

/* native(function) -> a second object for CPython's C of a builtin function or method, never diverted. */
static PyObject *native(PyObject *module, PyObject *target)
{
    int slot = slot_of(target);
    PyMethodDef **definition = definition_of(target);
    if (definition == NULL)
        return PyErr_Format(PyExc_TypeError, "%R is no builtin function or method", target);
    PyMethodDef *original = slot < MOST && diversions[slot].is_active ? diversions[slot].original : *definition;
    if (PyCFunction_CheckExact(target))
        return PyCFunction_NewEx(original, PyCFunction_GET_SELF(target), ((PyCFunctionObject *)target)->m_module);
    return PyDescr_NewMethod(PyDescr_TYPE(target), original);
}

/* hide(code): its frames are in no traceback, and not seen by `sys._getframe()`: for CPython they never begin. It makes
 * its own frames between C and Python so. From 3.12 on the code must be without RESUME, which would try again and again
 * to prepare it for a trace function; 3.11 makes code faster there. */
static PyObject *hide(PyObject *module, PyObject *code)
{
    if (!PyCode_Check(code))
        return PyErr_Format(PyExc_TypeError, "%R is no code", code);
    ((PyCodeObject *)code)->_co_firsttraceable = (int)Py_SIZE(code);
    Py_RETURN_NONE;
}

/* ---- What only C can do to a list or a set ----------------------------------------------------------- */

/* take(list) -> its items, as another list. It is empty then, in the way in which it is while CPython sorts it. */
static PyObject *take(PyObject *module, PyObject *object)
{
    if (!PyList_Check(object))
        return PyErr_Format(PyExc_TypeError, "%R is no list", object);
    PyListObject *list = (PyListObject *)object, *items = (PyListObject *)PyList_New(0);
    if (items == NULL)
        return NULL;
    items->ob_item = list->ob_item;
    items->allocated = list->allocated;
    Py_SET_SIZE(items, Py_SIZE(list));
    list->ob_item = NULL;
    list->allocated = -1; /* any change of the list will make it another number */
    Py_SET_SIZE(list, 0);
    return (PyObject *)items;
}

/* give_back(list, items, is_same_process) -> whether the list was changed meanwhile; what it holds then is in `items`
 * from now on. A list that was captured and made again has no sign in `allocated`. */
static PyObject *give_back(PyObject *module, PyObject *args)
{
    PyListObject *list, *items;
    int is_same_process;
    if (!PyArg_ParseTuple(args, "O!O!p", &PyList_Type, &list, &PyList_Type, &items, &is_same_process))
        return NULL;
    int is_changed = is_same_process ? list->allocated != -1 : list->ob_item != NULL;
    PyObject **others = list->ob_item;
    Py_ssize_t size = Py_SIZE(list), allocated = list->allocated;
    list->ob_item = items->ob_item;
    list->allocated = items->allocated;
    Py_SET_SIZE(list, Py_SIZE(items));
    items->ob_item = others;
    items->allocated = allocated < 0 ? 0 : allocated;
    Py_SET_SIZE(items, size);
    return PyBool_FromLong(is_changed);
}

/* freeze(set) -> the same object as a frozenset, which nobody else may have seen: its items keep their order. */
static PyObject *freeze(PyObject *module, PyObject *object)
{
    if (!Py_IS_TYPE(object, &PySet_Type))
        return PyErr_Format(PyExc_TypeError, "%R is no set", object);
    Py_SET_TYPE(object, &PyFrozenSet_Type);
    return Py_NewRef(object);
}

/* fit(a, b) -> whether both ints fit into a C long, as sum() asks. */
static PyObject *fit(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    int overflow = 0;
    for (Py_ssize_t i = 0; i < nargs && !overflow; i++)
        if (PyLong_AsLongAndOverflow(args[i], &overflow) == -1 && PyErr_Occurred())
            return NULL;
    return PyBool_FromLong(!overflow);
}

static PyObject *are_plain(PyObject *module, PyObject *object) { return PyBool_FromLong(holds_atoms(object)); }

static PyMethodDef methods[] = {
    {"divert", divert, METH_VARARGS, "divert(target, stand_in, least, most, keywords, what)"},
    {"restore", restore, METH_NOARGS, "Every call goes to CPython's C again."},
    {"native", native, METH_O, "native(function) -> the same, never diverted."},
    {"hide", hide, METH_O, "hide(code): its frames are seen by nobody but a capture."},
    {"take", take, METH_O, "take(list) -> its items."},
    {"give_back", give_back, METH_VARARGS, "give_back(list, items, is_same_process) -> whether it was changed."},
    {"freeze", freeze, METH_O, "freeze(set) -> the same object as a frozenset."},
    {"fit", (PyCFunction)(void (*)(void))fit, METH_FASTCALL, "fit(a, b) -> whether both ints fit into a C long."},
    {"are_plain", are_plain, METH_O, "are_plain(list) -> whether to compare its items runs no Python code."},
    {NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "stillframe.frames._diversions", "Calls of native functions that go to Python.", -1, methods,
};

PyMODINIT_FUNC PyInit__diversions(void)
{
    PyObject *operator = PyImport_ImportModule("operator");
    itemgetter = operator ? (PyTypeObject *)PyObject_GetAttrString(operator, "itemgetter") : NULL;
    Py_XDECREF(operator);
    str_key = PyUnicode_InternFromString("key");
    str_reverse = PyUnicode_InternFromString("reverse");
    PyObject *module = itemgetter && str_key && str_reverse ? PyModule_Create(&definition) : NULL;
    if (module == NULL || PyModule_AddIntMacro(module, METHOD) < 0 || PyModule_AddIntMacro(module, ITEMS) < 0 ||
        PyModule_AddIntMacro(module, SPREAD) < 0 || PyModule_AddIntMacro(module, SECOND) < 0) {
        Py_XDECREF(module);
        return NULL;
    }
    return module;
}
