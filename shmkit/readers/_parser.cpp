// The Python module around _parser.hpp, where the work is done; _parser.pyi says how to call it.
//
// It checks that whatever the fields say lies inside of `out`, and lets other threads run while
// it parses. Built against the limited API, so that one binary serves every Python from 3.11 on.

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include "_parser.hpp"

namespace {

constexpr int not_covered = 256;  // as a character

// An option of one character or None, for PyArg_Parse.
int character(PyObject* option, void* result) {
    int& code = *static_cast<int*>(result);
    if (option == Py_None) {
        code = -1;
        return 1;
    }
    if (!PyUnicode_Check(option)) {
        PyErr_SetString(PyExc_TypeError, "delimiter, comments and quotechar are text or None");
        return 0;
    }
    const Py_UCS4 first = PyUnicode_GetLength(option) == 1 ? PyUnicode_ReadChar(option, 0) : 256;
    code = first < 128 ? static_cast<int>(first) : not_covered;
    return 1;
}

// Why these arguments would lead out of the buffers, or nullptr.
const char* wrong(const Py_buffer& data, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t itemsize,
                  const Py_buffer& packed) {
    if (start < 0 || stop < start || stop > data.len) return "start and stop are not in data";
    if (itemsize <= 0) return "itemsize is not positive";
    if (packed.len % sizeof(shmkit::Field) ||
        reinterpret_cast<uintptr_t>(packed.buf) % alignof(shmkit::Field)) {
        return "fields are not rows of 5 int64";
    }
    const auto* const fields = static_cast<const shmkit::Field*>(packed.buf);
    const size_t count = packed.len / sizeof(shmkit::Field);
    for (size_t i = 0; i < count; ++i) {
        const shmkit::Field& field = fields[i];
        if (field.offset < 0 || field.width < 0 || field.width > itemsize ||
            field.offset > itemsize - field.width) {
            return "a field is not in the record";
        }
        if (field.column < (i ? fields[i - 1].column : 0)) {
            return "fields are not sorted by column, or a column is negative";
        }
    }
    return nullptr;
}

PyObject* parse(PyObject*, PyObject* args, PyObject* options) {
    static const char* const names[] = {"data",    "start",     "stop",      "out",     "itemsize",
                                        "fields",  "delimiter", "comments",  "quotechar",
                                        "columns", "utf8",      "max_rows",  nullptr};
    Py_buffer data, out, packed;
    Py_ssize_t start, stop, itemsize, columns = -1, max_rows = PY_SSIZE_T_MAX;
    shmkit::Syntax syntax{-1, -1, -1, false, -1};
    int utf8 = 0;
    if (!PyArg_ParseTupleAndKeywords(args, options, "y*nnw*ny*|$O&O&O&npn:parse",
                                     const_cast<char**>(names), &data, &start, &stop, &out,
                                     &itemsize, &packed, character, &syntax.delimiter, character,
                                     &syntax.comment, character, &syntax.quote, &columns, &utf8,
                                     &max_rows)) {
        return nullptr;
    }
    syntax.utf8 = utf8 != 0;
    syntax.columns = columns;
    shmkit::Taken taken{0, 0, 0};
    const char* const reason = wrong(data, start, stop, itemsize, packed);
    if (reason) {
        PyErr_SetString(PyExc_ValueError, reason);
    } else if (syntax.quote != not_covered) {
        const auto* const text = static_cast<const shmkit::byte*>(data.buf);
        const Py_ssize_t room = out.len / itemsize;
        Py_BEGIN_ALLOW_THREADS;
        taken = shmkit::parse(text + start, text + stop, syntax,
                              static_cast<const shmkit::Field*>(packed.buf),
                              packed.len / sizeof(shmkit::Field),
                              static_cast<shmkit::byte*>(out.buf), itemsize,
                              max_rows < room ? max_rows : room);
        Py_END_ALLOW_THREADS;
    }
    PyBuffer_Release(&data);
    PyBuffer_Release(&out);
    PyBuffer_Release(&packed);
    if (reason) return nullptr;
    return Py_BuildValue("LLL", static_cast<long long>(taken.rows),
                         static_cast<long long>(taken.nbytes),
                         static_cast<long long>(taken.lines));
}

PyMethodDef methods[] = {
    {"parse", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(parse)),
     METH_VARARGS | METH_KEYWORDS,
     "parse($module, data, start, stop, out, itemsize, fields, *, delimiter=None, comments=None, "
     "quotechar=None, columns=-1, utf8=False, max_rows=sys.maxsize)\n--\n\n"
     "Parse lines of text into records, as far as they are covered; _parser.pyi tells more."},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef_Slot slots[] = {{0, nullptr}};

PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_parser",
    "Text to records, where it is sure to do as np.loadtxt does.",
    0, methods, slots, nullptr, nullptr, nullptr,
};

}  // namespace

PyMODINIT_FUNC PyInit__parser() { return PyModuleDef_Init(&module); }
