// The Python functions around _columns.hpp and its neighbours; _parser.pyi says how to call them.
//
// They check that whatever they are given lies inside of its buffers, and let other threads run
// while they work. A sample is copied first, to have room around it that may be loaded.

#pragma once

#include <new>

#include "_columns.hpp"
#include "_columns_count.hpp"
#include "_columns_infer.hpp"

namespace shmkit::python {

// A buffer that is given back at the end.
class Buffer {
  public:
    Buffer() = default;
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() {
        if (view_.obj) PyBuffer_Release(&view_);
    }
    // For PyArg_Parse.
    Py_buffer* operator&() { return &view_; }
    bool take(PyObject* object, int flags) {
        return PyObject_GetBuffer(object, &view_, flags) == 0;
    }
    byte* begin() const { return static_cast<byte*>(view_.buf); }
    Py_ssize_t nbytes() const { return view_.len; }
    // Whether these are as many things, at an address for such.
    template <typename T>
    bool holds(size_t count) const {
        return static_cast<size_t>(view_.len) == count * sizeof(T) &&
               reinterpret_cast<uintptr_t>(view_.buf) % alignof(T) == 0;
    }

  private:
    Py_buffer view_{};
};

constexpr int not_a_byte = 256;

// An option of one ASCII character or None, for PyArg_Parse.
inline int option(PyObject* given, void* result) {
    int& code = *static_cast<int*>(result);
    code = -1;
    if (given == Py_None) return 1;
    if (PyUnicode_Check(given) && PyUnicode_GetLength(given) == 1) {
        const Py_UCS4 c = PyUnicode_ReadChar(given, 0);
        if (c > 0 && c < 128) {
            code = static_cast<int>(c);
            return 1;
        }
    }
    PyErr_SetString(PyExc_ValueError,
                    "delimiter, quotechar, comment and decimal are one ASCII character or None");
    return 0;
}

// Whether these signs can be told apart from one another and from numbers.
inline bool wrong(const Dialect& dialect) {
    const int signs[] = {dialect.delimiter, dialect.quote, dialect.comment, dialect.decimal};
    for (int i = 0; i < 4; ++i) {
        const bool is_line_end = signs[i] == '\r' || (signs[i] == '\n' && i != 0);
        bool same = false;
        for (int k = 0; k < i; ++k) same |= signs[i] >= 0 && signs[i] == signs[k];
        if (is_line_end || same) {
            PyErr_SetString(PyExc_ValueError,
                            "delimiter, quotechar, comment and decimal differ, and end no line");
            return true;
        }
    }
    if (dialect.decimal != '.' && dialect.decimal != ',') {
        PyErr_SetString(PyExc_ValueError, "decimal is . or ,");
        return true;
    }
    return false;
}

inline PyObject* value_error(const char* reason) {
    PyErr_SetString(PyExc_ValueError, reason);
    return nullptr;
}

// Runs `work` while other threads may run; false, with an error set, if there was no memory.
template <typename Work>
bool without_gil(Work work) {
    bool done = true;
    Py_BEGIN_ALLOW_THREADS;
    try {
        work();
    } catch (const std::bad_alloc&) {
        done = false;
    }
    Py_END_ALLOW_THREADS;
    if (!done) PyErr_NoMemory();
    return done;
}

// A text with a line end, and with room around it.
class Copied {
  public:
    explicit Copied(const Buffer& text) {
        const byte *const begin = text.begin(), *const end = begin + text.nbytes();
        bytes_.reserve(static_cast<size_t>(text.nbytes() + 2 * around + 1));
        bytes_.resize(around);
        bytes_.insert(bytes_.end(), begin, end);
        if (begin < end && end[-1] != '\n') bytes_.push_back('\n');
        bytes_.resize(bytes_.size() + around);
    }
    const byte* begin() const { return bytes_.data() + around; }
    const byte* end() const { return bytes_.data() + bytes_.size() - around; }

  private:
    std::vector<byte> bytes_;
};

// ---- parse_columns ------------------------------------------------------------------------------

inline bool known(const Column& column) {
    const int64_t n = column.width;
    switch (column.kind) {
        case 'i':
        case 'u': return n == 1 || n == 2 || n == 4 || n == 8;
        case 'f': return n == 4 || n == 8;
        case 'w': return n == 8;
        case 'b': return n == 1;
        case 'M': return n == 8 && 0 <= column.unit && column.unit <= 4;
        case 'C': return n == 2;
        case 'S': return n > 0;
        default: return false;
    }
}

inline PyObject* parse_columns(PyObject*, PyObject* args, PyObject* options) {
    static const char* const names[] = {"data",        "start",     "stop",     "columns",
                                        "out",         "missing",   "tallies",  "fields",
                                        "delimiter",   "quotechar", "comment",  "decimal",
                                        "skip_blanks", "tables",    "max_rows", nullptr};
    Buffer data, packed, tallies, tables;
    PyObject *outs, *words;
    Py_ssize_t start, stop, fields, max_rows = PY_SSIZE_T_MAX;
    Dialect dialect{-1, '"', -1, '.', false};
    int skip_blanks = 0;
    if (!PyArg_ParseTupleAndKeywords(args, options, "y*nny*OOw*n|$O&O&O&O&pw*n:parse_columns",
                                     const_cast<char**>(names), &data, &start, &stop, &packed,
                                     &outs, &words, &tallies, &fields, option, &dialect.delimiter,
                                     option, &dialect.quote, option, &dialect.comment, option,
                                     &dialect.decimal, &skip_blanks, &tables, &max_rows)) {
        return nullptr;
    }
    dialect.skip_blanks = skip_blanks != 0;
    if (wrong(dialect)) return nullptr;
    if (start < around || stop < start || stop > data.nbytes() - around) {
        return value_error("start and stop are not in data, 64 bytes from its ends");
    }
    const size_t count = static_cast<size_t>(packed.nbytes()) / sizeof(Column);
    if (!packed.holds<Column>(count)) return value_error("columns are not rows of 6 int64");
    if (!tallies.holds<int64_t>(2 * count)) return value_error("tallies are not 2 int64 a column");
    if (PySequence_Size(outs) != static_cast<Py_ssize_t>(count) ||
        PySequence_Size(words) != static_cast<Py_ssize_t>(count)) {
        return PyErr_Occurred() ? nullptr : value_error("out and missing are not one a column");
    }
    try {
        std::vector<Buffer> buffers(count), missing_buffers(count);
        std::vector<MissingWords> missing(count);
        std::vector<Target> targets(count);
        auto* table = reinterpret_cast<Table*>(tables.begin());
        size_t categories = 0;
        int64_t room = max_rows;
        for (size_t i = 0; i < count; ++i) {
            Target& target = targets[i];
            target.column = reinterpret_cast<const Column*>(packed.begin())[i];
            const Column& column = target.column;
            if (!known(column)) return value_error("a column is of no known kind, width or unit");
            if (column.field < 0 || column.field >= fields)
                return value_error("a column is not in the line");
            PyObject* const out = PySequence_GetItem(outs, static_cast<Py_ssize_t>(i));
            if (!out) return nullptr;
            const bool taken = buffers[i].take(out, PyBUF_WRITABLE);
            Py_DecRef(out);
            if (!taken) return nullptr;
            room = std::min<int64_t>(room, buffers[i].nbytes() / column.width);
            target.out = buffers[i].begin();
            categories += column.kind == 'C';
            target.table = column.kind == 'C' ? table + categories - 1 : nullptr;
            PyObject* const word = PySequence_GetItem(words, static_cast<Py_ssize_t>(i));
            if (!word) return nullptr;
            const bool good = word == Py_None || missing_buffers[i].take(word, PyBUF_SIMPLE);
            if (good && word != Py_None) {
                missing[i] = MissingWords(missing_buffers[i].begin(),
                                          static_cast<size_t>(missing_buffers[i].nbytes()),
                                          static_cast<byte>(dialect.decimal));
            }
            Py_DecRef(word);
            if (!good) return nullptr;
            target.missing = &missing[i];
        }
        if (!tables.holds<Table>(categories))
            return value_error("tables are not one for each category");
        Parsed parsed;
        const bool done = without_gil([&] {
            parsed = shmkit::parse_columns(data.begin() + start, data.begin() + stop, dialect,
                                           targets.data(), static_cast<int64_t>(count), fields,
                                           std::max<int64_t>(room, 0));
        });
        if (!done) return nullptr;
        auto* const tally = reinterpret_cast<int64_t*>(tallies.begin());
        for (size_t i = 0; i < count; ++i) {
            tally[2 * i] += targets[i].missing_found;
            tally[2 * i + 1] += targets[i].not_ascii_found;
        }
        return Py_BuildValue(
            "LLLLLL", static_cast<long long>(parsed.rows), static_cast<long long>(parsed.nbytes),
            static_cast<long long>(parsed.fit), static_cast<long long>(parsed.column),
            static_cast<long long>(parsed.start + start),
            static_cast<long long>(parsed.stop + start));
    } catch (const std::bad_alloc&) {
        return PyErr_NoMemory();
    }
}

// ---- samples ------------------------------------------------------------------------------------

inline PyObject* infer(PyObject*, PyObject* args, PyObject* options) {
    static const char* const names[] = {"text",    "fields",      "facts",     "missing",
                                        "weak",    "delimiter",   "quotechar", "comment",
                                        "decimal", "skip_blanks", nullptr};
    Buffer text, facts, missing, weak;
    Py_ssize_t fields;
    Dialect dialect{-1, '"', -1, '.', false};
    int skip_blanks = 0;
    if (!PyArg_ParseTupleAndKeywords(
            args, options, "y*nw*z*z*|$O&O&O&O&p:infer", const_cast<char**>(names), &text, &fields,
            &facts, &missing, &weak, option, &dialect.delimiter, option, &dialect.quote, option,
            &dialect.comment, option, &dialect.decimal, &skip_blanks)) {
        return nullptr;
    }
    dialect.skip_blanks = skip_blanks != 0;
    if (wrong(dialect)) return nullptr;
    if (fields < 0 || !facts.holds<Facts>(static_cast<size_t>(fields))) {
        return value_error("facts are not one a field");
    }
    Inferred found{0, 0, 0, 0, 0, 0};
    const bool done = without_gil([&] {
        const auto words = [&](const Buffer& given) {
            if (!given.begin()) return MissingWords();
            return MissingWords(given.begin(), static_cast<size_t>(given.nbytes()),
                                static_cast<byte>(dialect.decimal));
        };
        const Copied copy(text);
        found = shmkit::infer(copy.begin(), copy.end(), dialect, fields, words(missing),
                              words(weak), reinterpret_cast<Facts*>(facts.begin()));
    });
    if (!done) return nullptr;
    return Py_BuildValue(
        "LLLLLL", static_cast<long long>(found.rows), static_cast<long long>(found.nbytes),
        static_cast<long long>(found.ragged), static_cast<long long>(found.ragged_fields),
        static_cast<long long>(found.ragged_start), static_cast<long long>(found.ragged_stop));
}

// Appends something to a list and drops it; false if an error is set.
inline bool append(PyObject* list, PyObject* item) {
    const bool good = item && PyList_Append(list, item) == 0;
    Py_DecRef(item);
    return good;
}

template <bool stored, typename Item>
PyObject* each_line(const Copied& text, const Dialect& dialect, Py_ssize_t most, Item item) {
    PyObject* const found = PyList_New(0);
    if (!found) return nullptr;
    Rows<stored> rows(dialect, 0);
    bool good = true;
    rows.pieces(text.begin(), text.end(), [&](const byte*) {
        rows.lines([&](uint32_t first, uint32_t fields) {
            if (most <= 0) return false;
            --most;
            return good = append(found, item(rows, first, fields));
        });
        return good && most > 0;
    });
    if (good) return found;
    Py_DecRef(found);
    return nullptr;
}

// What `item` makes of each line of a sample, in a list.
template <typename Item>
PyObject* lines(PyObject* args, PyObject* options, const char* format, Item item) {
    static const char* const names[] = {"text",        "delimiter", "quotechar", "comment",
                                        "skip_blanks", "max_rows",  nullptr};
    Buffer text;
    Py_ssize_t most = PY_SSIZE_T_MAX;
    Dialect dialect{-1, '"', -1, '.', false};
    int skip_blanks = 0;
    if (!PyArg_ParseTupleAndKeywords(args, options, format, const_cast<char**>(names), &text,
                                     option, &dialect.delimiter, option, &dialect.quote, option,
                                     &dialect.comment, &skip_blanks, &most)) {
        return nullptr;
    }
    dialect.skip_blanks = skip_blanks != 0;
    // Here nothing is a number.
    dialect.decimal = dialect.delimiter == '.' ? ',' : '.';
    if (wrong(dialect)) return nullptr;
    try {
        const Copied copy(text);
        if (dialect.delimiter < 0 || dialect.skip_blanks) {
            return each_line<true>(copy, dialect, most, item);
        }
        return each_line<false>(copy, dialect, most, item);
    } catch (const std::bad_alloc&) {
        return PyErr_NoMemory();
    }
}

inline PyObject* widths(PyObject*, PyObject* args, PyObject* options) {
    return lines(args, options, "y*|$O&O&O&pn:widths",
                 [](const auto&, uint32_t, uint32_t fields) { return PyLong_FromLong(fields); });
}

inline PyObject* split(PyObject*, PyObject* args, PyObject* options) {
    std::vector<byte> scratch;
    return lines(args, options, "y*|$O&O&O&pn:split",
                 [&](const auto& rows, uint32_t first, uint32_t fields) {
                     PyObject* row = PyList_New(0);
                     for (uint32_t i = first; row && i < first + fields; ++i) {
                         const Text text = content(rows.field_at(i), rows.quote(), scratch);
                         const char* const begin = reinterpret_cast<const char*>(text.begin);
                         if (!append(row, PyBytes_FromStringAndSize(begin, text.nbytes()))) {
                             Py_DecRef(row);
                             row = nullptr;
                         }
                     }
                     return row;
                 });
}

// ---- count --------------------------------------------------------------------------------------

inline PyObject* count(PyObject*, PyObject* args, PyObject* options) {
    static const char* const names[] = {"text",      "start",   "stop", "delimiter",
                                        "quotechar", "comment", nullptr};
    Buffer text;
    Py_ssize_t start, stop;
    Dialect dialect{-1, '"', -1, '.', false};
    if (!PyArg_ParseTupleAndKeywords(args, options, "y*nn|$O&O&O&:count", const_cast<char**>(names),
                                     &text, &start, &stop, option, &dialect.delimiter, option,
                                     &dialect.quote, option, &dialect.comment)) {
        return nullptr;
    }
    dialect.decimal = dialect.delimiter == '.' ? ',' : '.';
    if (wrong(dialect)) return nullptr;
    if (start < 2 || stop < start || stop > text.nbytes()) {
        return value_error("start and stop are not in text, 2 bytes from its begin");
    }
    Counted found[2];
    bool odd = false;
    without_gil(
        [&] { odd = shmkit::count(text.begin() + start, text.begin() + stop, dialect, found); });
    const auto of = [&](const Counted& one) {
        return Py_BuildValue(
            "LLLL", static_cast<long long>(one.lines), static_cast<long long>(one.without_row),
            static_cast<long long>(one.strays), static_cast<long long>(one.first_end));
    };
    return Py_BuildValue("NNN", of(found[0]), of(found[1]), PyBool_FromLong(odd));
}

}  // namespace shmkit::python
