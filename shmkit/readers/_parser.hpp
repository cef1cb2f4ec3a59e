// Text to records, without Python: the core of shmkit.readers._parser.
//
//   text      chr1 \t 10469 \t 87.50 \t 7 \t 1 \n chr1 \t ...      each byte is looked at once or
//             │       │        │                                   twice, 8 at a time in a register
//             ▼       ▼        ▼ each field where the one before it ended, as its kind says
//   record   |chr1\0\0|10469  |87.5f |7   |1   |                   written in place
//             S        i4       f4     i4   i4
//
// np.loadtxt says what a text means. The parser takes the lines of which it is sure, and stops
// before the first line of which it is not: one that np.loadtxt may refuse, or that it reads by
// a rule that is not repeated here. So whatever is odd may be left out below, and nothing that
// is left out can be wrong.
//
// Every function takes the place in the text and gives the place after what it read, or nullptr
// where the line is not covered. Nothing is read at or behind `stop`, so the text needs no mark
// at its end, and may even change meanwhile (a mapped file) without harm to the memory.

#pragma once

#include <charconv>
#include <cstdint>
#include <cstring>
#include <limits>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the first byte of a text must be the lowest of a word; np.loadtxt does it here"
#endif

namespace shmkit {

using byte = unsigned char;
using wide = unsigned __int128;

// Where one field of the record comes from and goes to; an array of them is sorted by column.
struct Field {
    int64_t kind;     // 'i', 'u', 'f', 'b', 'S' or 'U', as in numpy
    int64_t width;    // bytes in the record
    int64_t offset;   // in the record
    int64_t column;   // of the file, from 0
    int64_t swapped;  // whether its bytes are in the other order
};

struct Syntax {
    int delimiter;    // a byte, or -1: white space
    int comment;      // a byte, or -1: none
    int quote;        // a byte, or -1: none
    bool utf8;        // else lines that are not ASCII are not covered
    int64_t columns;  // that each line has, or -1: any number that has those of the fields
};

struct Taken {
    int64_t rows, nbytes, lines;
};

// ---- words of 8 bytes ---------------------------------------------------------------------------

constexpr uint64_t ones = 0x0101010101010101, highs = 0x8080808080808080;

// The 8 bytes at p, the first one lowest; zeros from stop on.
inline uint64_t load8(const byte* p, const byte* stop) {
    uint64_t word = 0;
    if (stop - p >= 8) {
        std::memcpy(&word, p, 8);
    } else {
        for (int i = 0; p < stop; ++p, i += 8) word |= uint64_t{*p} << i;
    }
    return word;
}

// The byte at p; from stop on, a line end.
inline byte at(const byte* p, const byte* stop) { return p < stop ? *p : '\n'; }

// These mark bytes by their high bit. Only the first mark of `equal` is sure to be right.
inline uint64_t equal(uint64_t word, byte c) {
    const uint64_t x = word ^ (ones * c);
    return (x - ones) & ~x & highs;
}
inline uint64_t control_or_not_ascii(uint64_t word) {
    return (~((word | highs) - ones * 0x20) | word) & highs;
}
inline uint64_t not_digit(uint64_t word) {
    const uint64_t x = word ^ (ones * '0');
    return (((x & ~highs) + ones * (0x80 - 10)) | x) & highs;
}

inline int first_mark(uint64_t marks) { return marks ? __builtin_ctzll(marks) >> 3 : 8; }

// The number that the first n bytes spell, which are digits; 1 <= n <= 8.
inline uint64_t value_of(uint64_t word, int n) {
    word = (word & ones * 0x0f) << (64 - 8 * n);  // zeros before it, as if written so
    word = word * (1 + (10 << 8)) >> 8;           // digits to pairs, to fours, to the eight
    word = (word & 0x00ff00ff00ff00ff) * (1 + (100 << 16)) >> 16;
    return (word & 0x0000ffff0000ffff) * (1 + (uint64_t{10000} << 32)) >> 32;
}

// ---- numbers ------------------------------------------------------------------------------------

constexpr int most_digits = 19;  // of which every number fits in 64 bits

struct Powers {
    uint64_t of5[28];      // 5**27 is the last in 64 bits; each shifted up to fill them
    uint64_t inverse[28];  // 2**127 / of5, cut; that of 5**0 would not fit and is not used
    int up[28];            // by how many bits of5 is shifted
    double of10[23];       // 10**22 is the last that is exact
    uint64_t of10_small[9];
    constexpr Powers() : of5(), inverse(), up(), of10(), of10_small() {
        uint64_t power = 1;
        for (int i = 0; i < 28; ++i, power *= 5) {
            up[i] = __builtin_clzll(power);
            of5[i] = power << up[i];
            inverse[i] = static_cast<uint64_t>((wide{1} << 127) / of5[i]);
        }
        double ten = 1;
        for (double& p : of10) p = ten, ten *= 10;
        power = 1;
        for (uint64_t& p : of10_small) p = power, power *= 10;
    }
};
constexpr Powers powers;

// Appends digits to the value and adds their number to count; past most_digits the value is void.
inline const byte* digits(const byte* p, const byte* stop, uint64_t& value, int& count) {
    while (count <= most_digits) {
        const uint64_t word = load8(p, stop);
        const int n = first_mark(not_digit(word));
        if (n == 0) break;
        value = value * powers.of10_small[n] + value_of(word, n);
        count += n;
        p += n;
        if (n < 8) break;
    }
    return p;
}

// The double nearest to value * 10**exponent, the even one of two; 0 < value, |exponent| <= 27.
inline double nearest(uint64_t value, int exponent) {
    // A product or quotient of integers, cut to 63 or 64 bits, of which the last also says whether
    // something was cut off: the processor's rounding of these is that of the exact number.
    const int i = exponent < 0 ? -exponent : exponent;
    const uint64_t power = powers.of5[i];
    const int shift = __builtin_clzll(value);
    value <<= shift;
    uint64_t cut;
    if (exponent < 0) {
        // By multiplying, the quotient is too small by something between 0 and 2, both excluded.
        // That changes no rounding unless the bits behind those of a double are just below a half.
        cut = static_cast<uint64_t>(wide{value} * powers.inverse[i] >> 64);
        const uint64_t half = cut >> 63 ? 1 << 10 : 1 << 9;
        if ((cut & (2 * half - 1)) != half - 1) {
            cut |= 1;
        } else {
            const wide dividend = wide{value} << 63;
            cut = static_cast<uint64_t>(dividend / power);
            cut |= wide{cut} * power != dividend;
        }
    } else {
        const wide product = wide{value} * power;
        cut = static_cast<uint64_t>(product >> 64);
        cut |= static_cast<uint64_t>(product) != 0;
    }
    const int binary = exponent - shift + (exponent < 0 ? powers.up[i] - 63 : 64 - powers.up[i]);
    const uint64_t bits = static_cast<uint64_t>(binary + 1023) << 52;
    double scale;  // 2**binary
    std::memcpy(&scale, &bits, 8);
    return static_cast<double>(cut) * scale;
}

// Whether the text begins with the word, which is in lower case.
inline bool begins(const byte* p, const byte* stop, const char* word) {
    for (; *word; ++word, ++p) {
        if ((at(p, stop) | 0x20) != *word) return false;
    }
    return true;
}

// A float as np.loadtxt takes it: a decimal number, inf, infinity or nan, with or without a sign.
inline const byte* read_double(const byte* p, const byte* stop, double& result) {
    const bool negative = at(p, stop) == '-';
    p += negative || at(p, stop) == '+';
    const byte* const start = p;
    uint64_t value = 0;
    int count = 0, exponent = 0;
    const uint64_t word = load8(p, stop), marks = not_digit(word);
    const int before = first_mark(marks);
    if (marks && static_cast<byte>(word >> 8 * before) == '.') {
        // The digits around the point, as far as they are in this word, are read in one go.
        const int end = first_mark(marks & (marks - 1));
        const uint64_t head = (uint64_t{1} << 8 * before) - 1;
        count = end - 1;
        if (count == 0) return nullptr;
        value = value_of((word & head) | (word >> 8 & ~head), count);
        p += end;
        if (end == 8) p = digits(p, stop, value, count);
        exponent = before - count;
    } else {
        p = digits(p, stop, value, count);
        if (at(p, stop) == '.') {
            const int whole = count;
            p = digits(p + 1, stop, value, count);
            exponent = whole - count;
        }
    }
    if (count == 0) {
        const bool nan = begins(start, stop, "nan");
        if (!nan && !begins(start, stop, "inf")) return nullptr;
        result = nan ? std::numeric_limits<double>::quiet_NaN()
                     : std::numeric_limits<double>::infinity();
        if (negative) result = -result;
        return start + (begins(start, stop, "infinity") ? 8 : 3);
    }
    if (count > most_digits) {  // there may be more
        bool point = false;
        for (p = start; p < stop && ((*p >= '0' && *p <= '9') || (*p == '.' && !point)); ++p) {
            point |= *p == '.';
        }
    }
    if ((at(p, stop) | 0x20) == 'e') {
        ++p;
        const bool minus = at(p, stop) == '-';
        p += minus || at(p, stop) == '+';
        uint64_t power = 0;
        int length = 0;
        p = digits(p, stop, power, length);
        if (length == 0 || length > 8) return nullptr;
        exponent += minus ? -static_cast<int>(power) : static_cast<int>(power);
    }
    if (count <= most_digits && value >> 53 == 0 && -22 <= exponent && exponent <= 22) {
        // Both numbers are exact as doubles, so that this rounds once (Clinger 1990).
        result = static_cast<double>(value);
        result = exponent < 0 ? result / powers.of10[-exponent] : result * powers.of10[exponent];
    } else if (count <= most_digits && value != 0 && -27 <= exponent && exponent <= 27) {
        result = nearest(value, exponent);
    } else {
        const char* const end = reinterpret_cast<const char*>(p);
        const auto read = std::from_chars(reinterpret_cast<const char*>(start), end, result);
        if (read.ptr != end || read.ec != std::errc()) return nullptr;
    }
    if (negative) result = -result;
    return p;
}

// ---- text ---------------------------------------------------------------------------------------

// The next character of well-formed UTF-8, or -1.
inline int32_t decode(const byte*& p, const byte* end) {
    int32_t c = *p++;
    if (c < 0x80) return c;
    if (c < 0xc2 || c > 0xf4) return -1;
    const int more = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    if (end - p < more) return -1;
    c &= 0x3f >> more;
    for (int i = 0; i < more; ++i, ++p) {
        if ((*p & 0xc0) != 0x80) return -1;
        c = c << 6 | (*p & 0x3f);
    }
    const int32_t least = more == 1 ? 0x80 : more == 2 ? 0x800 : 0x10000;
    return c < least || c > 0x10ffff || c >> 11 == 0xd800 >> 11 ? -1 : c;
}

// Whether a character that is not ASCII is white space to np.loadtxt.
inline bool is_space(int32_t c) {
    return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
           c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

// Writes a value of any alignment in either byte order.
template <typename T>
inline void store(byte* out, T value, bool swapped) {
    byte bytes[sizeof(T)];
    std::memcpy(bytes, &value, sizeof(T));
    if (swapped) {
        for (size_t i = 0; i < sizeof(T); ++i) out[i] = bytes[sizeof(T) - 1 - i];
    } else {
        std::memcpy(out, bytes, sizeof(T));
    }
}

// ---- lines --------------------------------------------------------------------------------------

template <bool white>  // whether white space separates the fields
class Parser {
  public:
    Parser(const Syntax& syntax, const Field* fields, int64_t count, const byte* stop)
        : delimiter_(white ? ' ' : static_cast<byte>(syntax.delimiter)),
          comment_(syntax.comment < 0 ? '\n' : static_cast<byte>(syntax.comment)),
          quote_(syntax.quote),
          utf8_(syntax.utf8),
          columns_(syntax.columns),
          fields_(fields),
          fields_end_(fields + count),
          stop_(stop) {
        meaning_[byte{'\n'}] = meaning_[byte{'\r'}] = meaning_[comment_] = end_of_data;
        meaning_[byte{' '}] = meaning_[byte{'\t'}] = blank;
        if (!white) meaning_[delimiter_] = separator;
    }

    Taken parse(const byte* const start, byte* out, int64_t itemsize, int64_t max_rows) const {
        Taken taken{0, 0, 0};
        const byte* p = start;
        while (p < stop_ && taken.rows < max_rows) {
            const byte* next = white ? blanks(p) : p;
            const bool row = !at_end(next);
            next = row ? record(next, out) : line_end(next);
            if (!next) break;
            p = next;
            ++taken.lines;
            if (row) {
                ++taken.rows;
                out += itemsize;
            }
        }
        taken.nbytes = p - start;
        return taken;
    }

  private:
    const byte delimiter_, comment_;  // comment_: the line end where there is none
    const int quote_;
    const bool utf8_;
    const int64_t columns_;
    const Field *const fields_, *const fields_end_;
    const byte* const stop_;
    enum Meaning : byte { other, end_of_data, blank, separator } meaning_[256] = {};

    // A line with data.
    const byte* record(const byte* p, byte* out) const {
        int64_t column = 0;
        for (const Field* field = fields_;;) {
            for (; column < field->column; ++column) {
                if (!(p = skip(p)) || !(p = next_column(p))) return nullptr;
            }
            const byte* const end = value(*field, p, out + field->offset);
            if (!end) return nullptr;
            if (++field == fields_end_) {
                p = end;
                break;
            }
            // The next field may want the same column, of which this one may be a part: "12" in
            // "12.5". Else it is reached by the loop above.
            if (field->column == column) {
                if (!at_end(end) && !next_column(end)) return nullptr;
            } else {
                if (!(p = next_column(end))) return nullptr;
                ++column;
            }
        }
        ++column;
        while (!at_end(p)) {
            if (column == columns_ || !(p = next_column(p)) || !(p = skip(p))) return nullptr;
            ++column;
        }
        return columns_ < 0 || column == columns_ ? line_end(p) : nullptr;
    }

    Meaning meaning(const byte* p) const { return meaning_[at(p, stop_)]; }

    // Whether the data of the line end here.
    bool at_end(const byte* p) const { return meaning(p) == end_of_data; }

    // Behind the blanks that separate columns, or surround a number between delimiters.
    const byte* blanks(const byte* p) const {
        while (meaning(p) == blank) ++p;
        return p;
    }

    // Where the next line begins; p is where the data of this one end.
    const byte* line_end(const byte* p) const {
        if (p < stop_ && *p == comment_ && *p != '\n') {
            const byte* end = static_cast<const byte*>(std::memchr(p + 1, '\n', stop_ - p - 1));
            end = !end ? stop_ : end[-1] == '\r' ? end - 1 : end;
            if (std::memchr(p, '\r', end - p) || !valid(p, end)) return nullptr;
            p = end;
        }
        if (p < stop_ && *p == '\r') {  // alone it may end a line, or not
            if (++p >= stop_ || *p != '\n') return nullptr;
        }
        return p < stop_ ? p + 1 : p;
    }

    // The field after the one that was read up to p.
    const byte* next_column(const byte* p) const {
        if (white) return meaning(p - 1) == blank ? p : nullptr;
        return meaning(p) == separator ? p + 1 : nullptr;
    }

    // The end of a field that no record holds.
    const byte* skip(const byte* p) const {
        bool ascii = true;
        const byte* const end = at(p, stop_) == quote_ ? nullptr : text_end(p, ascii);
        if (!end || !(ascii || valid(p, end))) return nullptr;
        return white ? blanks(end) : end;
    }

    // The end of a field of text.
    const byte* text_end(const byte* const start, bool& ascii) const {
        const byte* p = start;
        for (;;) {
            const uint64_t word = load8(p, stop_);
            const uint64_t marks =
                control_or_not_ascii(word) | equal(word, delimiter_) | equal(word, comment_);
            p += first_mark(marks);
            if (marks == 0) continue;
            const byte c = at(p, stop_);
            if (meaning_[c] == end_of_data || meaning_[c] == (white ? blank : separator)) break;
            if (c >= 0x80) {
                ascii = false;
            } else if (c == 0 || white) {  // white space to np.loadtxt, or odd
                return nullptr;
            }
            ++p;
        }
        return white && p == start ? nullptr : p < stop_ ? p : stop_;
    }

    // Whether np.loadtxt reads this text as one piece.
    bool valid(const byte* p, const byte* end) const {
        while (p < end) {
            const int32_t c = decode(p, end);
            if (c < 0 || (c >= 0x80 && (!utf8_ || (white && is_space(c))))) return false;
        }
        return true;
    }

    // Reads a field and writes it to `out`; gives the place behind it and the blanks after it.
    const byte* value(const Field& field, const byte* p, byte* out) const {
        if (at(p, stop_) == quote_) return nullptr;
        if (field.kind == 'S' || field.kind == 'U') {
            p = field.kind == 'S' ? bytes(field, p, out) : characters(field, p, out);
            return white && p ? blanks(p) : p;
        }
        p = field.kind == 'f' ? real(field, p, out) : integer(field, p, out);
        return p ? blanks(p) : p;
    }

    const byte* integer(const Field& field, const byte* p, byte* out) const {
        bool negative = false;
        uint64_t value = 0;
        int count = 0;
        const byte* end = digits(p, stop_, value, count);
        if (count == 0) {
            p = blanks(p);
            negative = at(p, stop_) == '-';
            p += negative || at(p, stop_) == '+';
            end = digits(p, stop_, value, count);
        }
        if (count == 0 || count > most_digits || (negative && field.kind == 'u')) return nullptr;
        const int64_t width = field.kind == 'b' ? 8 : field.width;  // bool('300') is True
        const uint64_t limit = std::numeric_limits<uint64_t>::max() >> (64 - 8 * width);
        if (value > (field.kind == 'u' ? limit : (limit >> 1) + negative)) return nullptr;
        if (negative) value = 0 - value;
        if (field.kind == 'b') value = value != 0;
        switch (field.width) {
            case 1: store<uint8_t>(out, static_cast<uint8_t>(value), field.swapped); break;
            case 2: store<uint16_t>(out, static_cast<uint16_t>(value), field.swapped); break;
            case 4: store<uint32_t>(out, static_cast<uint32_t>(value), field.swapped); break;
            default: store<uint64_t>(out, value, field.swapped); break;
        }
        return end;
    }

    const byte* real(const Field& field, const byte* p, byte* out) const {
        double value;
        const byte* const end = read_double(white ? p : blanks(p), stop_, value);
        if (!end) return nullptr;
        if (field.width == 4) {
            store(out, static_cast<float>(value), field.swapped);
        } else {
            store(out, value, field.swapped);
        }
        return end;
    }

    const byte* bytes(const Field& field, const byte* p, byte* out) const {
        bool ascii = true;
        const byte* const end = text_end(p, ascii);
        if (!end || !ascii || end - p > field.width) return nullptr;
        for (int64_t left = field.width; left > 0; left -= 8, out += 8) {
            uint64_t word = load8(p, stop_);
            if (end - p < 8) word &= (uint64_t{1} << 8 * (end - p)) - 1;
            p += end - p < 8 ? end - p : 8;
            if (left >= 8) {
                std::memcpy(out, &word, 8);
            } else {
                for (int64_t i = 0; i < left; ++i, word >>= 8) out[i] = static_cast<byte>(word);
            }
        }
        return end;
    }

    const byte* characters(const Field& field, const byte* p, byte* out) const {
        bool ascii = true;
        const byte* const end = text_end(p, ascii);
        if (!end || !(ascii || valid(p, end))) return nullptr;
        byte* const out_end = out + field.width;
        for (; p < end; out += 4) {
            if (out == out_end) return nullptr;
            store(out, decode(p, end), field.swapped);
        }
        std::memset(out, 0, out_end - out);
        return end;
    }
};

// Whether these characters can separate fields at all, and can be in no number.
inline bool covered(const Syntax& syntax) {
    const int both[] = {syntax.delimiter, syntax.comment};
    for (const int c : both) {
        const int lower = c | 0x20;
        if (c >= 0 && (c == 0 || c >= 0x80 || (c >= '0' && c <= '9') ||
                       (lower >= 'a' && lower <= 'z') || std::strchr("+-.\r\n", c))) {
            return false;
        }
    }
    return syntax.comment < 0 || (syntax.comment > ' ' && syntax.comment != syntax.delimiter);
}

inline bool covered(const Field& field) {
    const int64_t width = field.width;
    switch (field.kind) {
        case 'i':
        case 'u':
            return width == 1 || width == 2 || width == 4 || width == 8;
        case 'f':
            return width == 4 || width == 8;
        case 'b':
            return width == 1;
        case 'S':
            return width > 0;
        case 'U':
            return width > 0 && width % 4 == 0;
        default:
            return false;
    }
}

// Fills records from the lines in start..stop until max_rows or a line that is not covered. The
// record behind the last one may have been begun then.
inline Taken parse(const byte* start, const byte* stop, const Syntax& syntax, const Field* fields,
                   int64_t count, byte* out, int64_t itemsize, int64_t max_rows) {
    bool all = covered(syntax) && count > 0;
    for (int64_t i = 0; i < count; ++i) all = all && covered(fields[i]);
    if (!all) return {0, 0, 0};
    if (syntax.delimiter < 0) {
        return Parser<true>(syntax, fields, count, stop).parse(start, out, itemsize, max_rows);
    }
    return Parser<false>(syntax, fields, count, stop).parse(start, out, itemsize, max_rows);
}

}  // namespace shmkit
