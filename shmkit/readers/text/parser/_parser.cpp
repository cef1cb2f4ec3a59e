// The Python module around _parser.hpp, where the work is done; _parser.pyi says how to call it.
//
// It checks that whatever the fields say lies inside of `out`, and lets other threads run while
// it parses. It holds no state of its own, so it needs no global lock: setup.py says which API it is
// built against, the limited one or that of a free-threaded Python.

#include <Python.h>

#include "_columns_python.hpp"
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
                  const Py_buffer& packed, const Py_buffer& tables) {
    if (start < 0 || stop < start || stop > data.len - shmkit::behind) {
        return "start and stop are not in data, 16 bytes before its end";
    }
    if (itemsize <= 0) return "itemsize is not positive";
    if (packed.len % sizeof(shmkit::Field) ||
        reinterpret_cast<uintptr_t>(packed.buf) % alignof(shmkit::Field)) {
        return "fields are not rows of 5 int64";
    }
    const auto* const fields = static_cast<const shmkit::Field*>(packed.buf);
    const size_t count = packed.len / sizeof(shmkit::Field);
    size_t categories = 0;
    for (size_t i = 0; i < count; ++i) {
        const shmkit::Field& field = fields[i];
        if (field.offset < 0 || field.width < 0 || field.width > itemsize ||
            field.offset > itemsize - field.width) {
            return "a field is not in the record";
        }
        if (field.column < (i ? fields[i - 1].column : 0)) {
            return "fields are not sorted by column, or a column is negative";
        }
        categories += field.kind == 'C';
    }
    if (static_cast<size_t>(tables.len) != categories * sizeof(shmkit::Table) ||
        reinterpret_cast<uintptr_t>(tables.buf) % alignof(shmkit::Table)) {
        return "tables are not one for each category";
    }
    return nullptr;
}

PyObject* parse(PyObject*, PyObject* args, PyObject* options) {
    static const char* const names[] = {"data",    "start",     "stop",      "out",     "itemsize",
                                        "fields",  "delimiter", "comments",  "quotechar",
                                        "columns", "utf8",      "tables",    "max_rows", nullptr};
    Py_buffer data, out, packed, tables{};
    Py_ssize_t start, stop, itemsize, columns = -1, max_rows = PY_SSIZE_T_MAX;
    shmkit::Syntax syntax{-1, -1, -1, false, -1};
    int utf8 = 0;
    if (!PyArg_ParseTupleAndKeywords(args, options, "y*nnw*ny*|$O&O&O&npw*n:parse",
                                     const_cast<char**>(names), &data, &start, &stop, &out,
                                     &itemsize, &packed, character, &syntax.delimiter, character,
                                     &syntax.comment, character, &syntax.quote, &columns, &utf8,
                                     &tables, &max_rows)) {
        return nullptr;
    }
    syntax.utf8 = utf8 != 0;
    syntax.columns = columns;
    shmkit::Taken taken{0, 0, 0};
    const char* const reason = wrong(data, start, stop, itemsize, packed, tables);
    if (reason) {
        PyErr_SetString(PyExc_ValueError, reason);
    } else if (syntax.quote != not_covered) {
        const auto* const text = static_cast<const shmkit::byte*>(data.buf);
        const Py_ssize_t room = out.len / itemsize;
        Py_BEGIN_ALLOW_THREADS;
        taken = shmkit::parse(text + start, text + stop, syntax,
                              static_cast<const shmkit::Field*>(packed.buf),
                              packed.len / sizeof(shmkit::Field),
                              static_cast<shmkit::Table*>(tables.buf),
                              static_cast<shmkit::byte*>(out.buf), itemsize,
                              max_rows < room ? max_rows : room);
        Py_END_ALLOW_THREADS;
    }
    PyBuffer_Release(&data);
    PyBuffer_Release(&out);
    PyBuffer_Release(&packed);
    if (tables.obj) PyBuffer_Release(&tables);
    if (reason) return nullptr;
    return Py_BuildValue("LLL", static_cast<long long>(taken.rows),
                         static_cast<long long>(taken.nbytes),
                         static_cast<long long>(taken.lines));
}

PyObject* code(PyObject*, PyObject* args) {
    // Not y#: compiled with the headers of 3.13, that format is an error on 3.11 and 3.12.
    Py_buffer table, name;
    if (!PyArg_ParseTuple(args, "w*y*:code", &table, &name)) return nullptr;
    const bool whole = table.len == sizeof(shmkit::Table) &&
                       reinterpret_cast<uintptr_t>(table.buf) % alignof(shmkit::Table) == 0;
    int32_t found = -1;
    if (!whole) {
        PyErr_SetString(PyExc_ValueError, "table is not one table");
    } else if (name.len <= shmkit::Table::longest && !std::memchr(name.buf, 0, name.len)) {
        shmkit::byte padded[shmkit::Table::longest + 8] = {};
        std::memcpy(padded, name.buf, name.len);
        found = static_cast<shmkit::Table*>(table.buf)->code(padded, name.len);
    }
    PyBuffer_Release(&table);
    PyBuffer_Release(&name);
    return whole ? PyLong_FromLong(found) : nullptr;
}

PyObject* ends(PyObject*, PyObject* args) {
    Py_buffer text;
    Py_ssize_t start, stop;
    unsigned char mark;
    if (!PyArg_ParseTuple(args, "y*nnb:ends", &text, &start, &stop, &mark)) return nullptr;
    const bool inside = 2 <= start && start <= stop && stop <= text.len;
    shmkit::Ends found{0, 0};
    if (inside) {
        const auto* const bytes = static_cast<const shmkit::byte*>(text.buf);
        Py_BEGIN_ALLOW_THREADS;
        found = shmkit::ends(bytes + start, bytes + stop, mark);
        Py_END_ALLOW_THREADS;
    } else {
        PyErr_SetString(PyExc_ValueError, "start and stop are not in text, 2 bytes from its begin");
    }
    PyBuffer_Release(&text);
    if (!inside) return nullptr;
    return Py_BuildValue("LL", static_cast<long long>(found.lines),
                         static_cast<long long>(found.without_row));
}

PyCFunction with_options(PyCFunctionWithKeywords function) {
    return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

PyMethodDef methods[] = {
    {"code", code, METH_VARARGS,
     "code($module, table, name, /)\n--\n\n"
     "The code of a name in a table of parse, a new one if need be; -1 if it does not fit."},
    {"count", with_options(shmkit::python::count), METH_VARARGS | METH_KEYWORDS,
     "count($module, text, start, stop, *, delimiter=None, quotechar='\"', comment=None)\n--\n\n"
     "Count lines as if the text began outside of quotes, and as if inside; _parser.pyi tells more."},
    {"ends", ends, METH_VARARGS,
     "ends($module, text, start, stop, mark, /)\n--\n\n"
     "Count lines, and those that are sure to give no row; _parser.pyi tells more."},
    {"infer", with_options(shmkit::python::infer), METH_VARARGS | METH_KEYWORDS,
     "infer($module, text, fields, facts, missing, weak, *, delimiter=None, quotechar='\"', "
     "comment=None, decimal='.', skip_blanks=False)\n--\n\n"
     "What the fields of a sample are, column by column; _parser.pyi tells more."},
    {"parse", with_options(parse), METH_VARARGS | METH_KEYWORDS,
     "parse($module, data, start, stop, out, itemsize, fields, *, delimiter=None, comments=None, "
     "quotechar=None, columns=-1, utf8=False, tables=bytearray(), max_rows=sys.maxsize)\n--\n\n"
     "Parse lines of text into records, as far as they are covered; _parser.pyi tells more."},
    {"parse_columns", with_options(shmkit::python::parse_columns), METH_VARARGS | METH_KEYWORDS,
     "parse_columns($module, data, start, stop, columns, out, missing, tallies, fields, *, "
     "delimiter=None, quotechar='\"', comment=None, decimal='.', skip_blanks=False, "
     "tables=bytearray(), max_rows=sys.maxsize)\n--\n\n"
     "Parse lines of text into columns, up to a field that does not fit; _parser.pyi tells more."},
    {"split", with_options(shmkit::python::split), METH_VARARGS | METH_KEYWORDS,
     "split($module, text, *, delimiter=None, quotechar='\"', comment=None, skip_blanks=False, "
     "max_rows=sys.maxsize)\n--\n\n"
     "The fields of each line of a sample, without their quotes."},
    {"widths", with_options(shmkit::python::widths), METH_VARARGS | METH_KEYWORDS,
     "widths($module, text, *, delimiter=None, quotechar='\"', comment=None, skip_blanks=False, "
     "max_rows=sys.maxsize)\n--\n\n"
     "How many fields each line of a sample has."},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef_Slot slots[] = {
#ifdef Py_GIL_DISABLED
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},  // else the import would turn the lock on
#endif
    {0, nullptr},
};

// Each CPU has the first of these that it can run.
#if defined(PARSER_AVX512)
#define NAME "_parser_avx512"
#define INIT PyInit__parser_avx512
bool runs_here() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512vbmi") &&
           __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("lzcnt") &&
           __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("pclmul");
}
#elif defined(PARSER_AVX2)
#define NAME "_parser_avx2"
#define INIT PyInit__parser_avx2
bool runs_here() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("lzcnt") &&
           __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("pclmul");
}
#else
#define NAME "_parser"
#define INIT PyInit__parser
bool runs_here() { return true; }
#endif

PyModuleDef module = {
    PyModuleDef_HEAD_INIT, NAME,
    "Text to records, where it is sure to do as np.loadtxt does.",
    0, methods, slots, nullptr, nullptr, nullptr,
};

}  // namespace

PyMODINIT_FUNC INIT() {
    if (runs_here()) return PyModuleDef_Init(&module);
    PyErr_SetString(PyExc_ImportError, "this CPU has not the instructions");
    return nullptr;
}
