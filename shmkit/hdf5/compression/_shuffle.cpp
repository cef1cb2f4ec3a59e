// HDF5's shuffle filter, both ways: items to planes of bytes, and planes to items.
//
//     items   a0 a1 a2 │ b0 b1 b2 │ c0 c1 c2          planes   a0 b0 c0 │ a1 b1 c1 │ a2 b2 c2
//
// 1. Sixteen items are taken at a time. Of their bytes, sixteen (one group) of each item make a
//    square, one register a row, which is turned over in registers.
// 2. To turn it over takes four rounds. A round merges the bytes of two registers, one of each in
//    turn, as cards are shuffled: that moves each byte's row number by one bit into its column's.
// 3. The last group of an item may have fewer bytes than sixteen. Its squares are written first:
//    what they write too much falls into bytes that are written afterwards.
// 4. Items of 2, 4, 8 and 16 bytes, which most numbers are, fill their registers, so that fewer
//    rounds do: one for each bit of the size to make items, four to make planes.
// 5. The last items, for which step 3 would write, or a register read, behind the end, go byte by
//    byte, as all do on a processor without such registers.

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#define HAS_REGISTERS
#elif defined(__aarch64__)
#include <arm_neon.h>
#define HAS_REGISTERS
#endif

namespace {

using byte = std::uint8_t;
using size = std::size_t;

constexpr size LANES = 16;  // bytes of a register

#ifdef HAS_REGISTERS

#if defined(__SSE2__)
using Register = __m128i;
Register load(const byte* from) {
    return _mm_loadu_si128(reinterpret_cast<const Register*>(from));
}
void store(byte* to, Register bytes) { _mm_storeu_si128(reinterpret_cast<Register*>(to), bytes); }
Register zero() { return _mm_setzero_si128(); }
Register low(Register a, Register b) { return _mm_unpacklo_epi8(a, b); }
Register high(Register a, Register b) { return _mm_unpackhi_epi8(a, b); }
#else
using Register = uint8x16_t;
Register load(const byte* from) { return vld1q_u8(from); }
void store(byte* to, Register bytes) { vst1q_u8(to, bytes); }
Register zero() { return vdupq_n_u8(0); }
Register low(Register a, Register b) { return vzip1q_u8(a, b); }
Register high(Register a, Register b) { return vzip2q_u8(a, b); }
#endif

// Merge the first half of the registers with the second, byte by byte, so many times.
template <size COUNT, int ROUNDS>
inline void merge(Register* rows) {
    for (int round = 0; round < ROUNDS; ++round) {
        Register merged[COUNT];
        for (size k = 0; k < COUNT / 2; ++k) {
            merged[2 * k] = low(rows[k], rows[k + COUNT / 2]);
            merged[2 * k + 1] = high(rows[k], rows[k + COUNT / 2]);
        }
        std::memcpy(rows, merged, sizeof merged);
    }
}

// Items whose bytes fill registers, WIDTH of them for sixteen items; gives how many items are done.
template <size WIDTH, int ROUNDS>
size dense_items(const byte* planes, byte* items, size stride, size count) {
    size i = 0;
    for (; i + LANES <= count; i += LANES) {
        Register rows[WIDTH];
        for (size k = 0; k < WIDTH; ++k) rows[k] = load(planes + k * stride + i);
        merge<WIDTH, ROUNDS>(rows);
        for (size k = 0; k < WIDTH; ++k) store(items + i * WIDTH + k * LANES, rows[k]);
    }
    return i;
}

template <size WIDTH>
size dense_planes(const byte* items, byte* planes, size count) {
    size i = 0;
    for (; i + LANES <= count; i += LANES) {
        Register rows[WIDTH];
        for (size k = 0; k < WIDTH; ++k) rows[k] = load(items + i * WIDTH + k * LANES);
        merge<WIDTH, 4>(rows);
        for (size k = 0; k < WIDTH; ++k) store(planes + k * count + i, rows[k]);
    }
    return i;
}

// One group of sixteen items: the bytes from `first` on of each, as many as a register holds.
inline void group_items(
    const byte* planes, byte* items, size stride, size width, size first, size i) {
    Register rows[LANES];
    for (size k = 0; k < LANES; ++k) {
        rows[k] = first + k < width ? load(planes + (first + k) * stride + i) : zero();
    }
    merge<LANES, 4>(rows);
    for (size k = 0; k < LANES; ++k) store(items + (i + k) * width + first, rows[k]);
}

inline void group_planes(
    const byte* items, byte* planes, size count, size width, size first, size i) {
    Register rows[LANES];
    for (size k = 0; k < LANES; ++k) rows[k] = load(items + (i + k) * width + first);
    merge<LANES, 4>(rows);
    for (size k = 0; k < LANES && first + k < width; ++k) {
        store(planes + (first + k) * count + i, rows[k]);
    }
}

// How many items, a multiple of sixteen, may be done so that no register goes beyond the last one.
size inside(size width, size count) {
    size spare = width % LANES ? (LANES - width % LANES + width - 1) / width : 0;
    return count > spare ? (count - spare) / LANES * LANES : 0;
}

size fast_items(const byte* planes, byte* items, size stride, size width, size count) {
    switch (width) {
        case 2: return dense_items<2, 1>(planes, items, stride, count);
        case 4: return dense_items<4, 2>(planes, items, stride, count);
        case 8: return dense_items<8, 3>(planes, items, stride, count);
        case 16: return dense_items<16, 4>(planes, items, stride, count);
    }
    size stop = inside(width, count), whole = width / LANES * LANES;
    for (size i = 0; i < stop; i += LANES) {
        if (whole < width) group_items(planes, items, stride, width, whole, i);
        for (size first = 0; first < whole; first += LANES) {
            group_items(planes, items, stride, width, first, i);
        }
    }
    return stop;
}

size fast_planes(const byte* items, byte* planes, size width, size count) {
    switch (width) {
        case 2: return dense_planes<2>(items, planes, count);
        case 4: return dense_planes<4>(items, planes, count);
        case 8: return dense_planes<8>(items, planes, count);
        case 16: return dense_planes<16>(items, planes, count);
    }
    size stop = inside(width, count);
    for (size i = 0; i < stop; i += LANES) {
        for (size first = 0; first < width; first += LANES) {
            group_planes(items, planes, count, width, first, i);
        }
    }
    return stop;
}

#else

size fast_items(const byte*, byte*, size, size, size) { return 0; }
size fast_planes(const byte*, byte*, size, size) { return 0; }

#endif

void to_items(const byte* planes, byte* items, size stride, size width, size count) {
    for (size i = fast_items(planes, items, stride, width, count); i < count; ++i) {
        for (size k = 0; k < width; ++k) items[i * width + k] = planes[k * stride + i];
    }
}

void to_planes(const byte* items, byte* planes, size width, size count) {
    for (size i = fast_planes(items, planes, width, count); i < count; ++i) {
        for (size k = 0; k < width; ++k) planes[k * count + i] = items[i * width + k];
    }
}

class Buffer {
  public:
    ~Buffer() { PyBuffer_Release(&view_); }
    bool get(PyObject* object, int flags) { return PyObject_GetBuffer(object, &view_, flags) == 0; }
    byte* begin() const { return static_cast<byte*>(view_.buf); }
    size nbytes() const { return static_cast<size>(view_.len); }

  private:
    Py_buffer view_{};
};

// The arguments of both functions: (bytes, bytes to be filled, bytes of an item).
bool arguments(PyObject* given, Buffer& from, Buffer& to, size& width) {
    PyObject *source, *target;
    Py_ssize_t itemsize;
    if (!PyArg_ParseTuple(given, "OOn", &source, &target, &itemsize)) return false;
    if (!from.get(source, PyBUF_SIMPLE) || !to.get(target, PyBUF_WRITABLE)) return false;
    width = static_cast<size>(itemsize);
    if (itemsize < 1 || from.nbytes() % width || to.nbytes() % width ||
        to.nbytes() > from.nbytes()) {
        PyErr_SetString(PyExc_ValueError, "the buffers hold no whole items, or too few");
        return false;
    }
    return true;
}

PyObject* unshuffle(PyObject*, PyObject* given) {
    Buffer from, to;
    size width;
    if (!arguments(given, from, to, width)) return nullptr;
    PyThreadState* state = PyEval_SaveThread();
    to_items(from.begin(), to.begin(), from.nbytes() / width, width, to.nbytes() / width);
    PyEval_RestoreThread(state);
    Py_RETURN_NONE;
}

PyObject* shuffle(PyObject*, PyObject* given) {
    Buffer from, to;
    size width;
    if (!arguments(given, from, to, width)) return nullptr;
    if (to.nbytes() != from.nbytes()) {
        PyErr_SetString(PyExc_ValueError, "the planes take as many bytes as the items");
        return nullptr;
    }
    PyThreadState* state = PyEval_SaveThread();
    to_planes(from.begin(), to.begin(), width, to.nbytes() / width);
    PyEval_RestoreThread(state);
    Py_RETURN_NONE;
}

PyMethodDef methods[] = {
    {"shuffle", shuffle, METH_VARARGS, nullptr},
    {"unshuffle", unshuffle, METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef_Slot slots[] = {
#ifdef Py_GIL_DISABLED
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},  // else the import would turn the lock on
#endif
    {0, nullptr},
};

PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_shuffle", "Items to planes of bytes, and back.",
    0, methods, slots, nullptr, nullptr, nullptr,
};

}  // namespace

PyMODINIT_FUNC PyInit__shuffle() { return PyModuleDef_Init(&module); }
