// Text to records, without Python: the core of shmkit.readers.text.parser._parser.
//
//   text      chr1 \t 10469 \t 87.50 \t 7 \t 1 \n chr1 \t ...
//                  ^        ^        ^    ^    ^       ^       marks: found ahead, 64 bytes at once
//             │       │        │
//             ▼       ▼        ▼ each field, up to its mark, as its kind says
//   record   |chr1\0\0|10469  |87.5f |7   |1   |               written in place
//             S        i4       f4     i4   i4
//
// np.loadtxt says what a text means. The parser takes the lines of which it is sure, and stops
// before the first line of which it is not: one that np.loadtxt may refuse, or that it reads by
// a rule that is not repeated here. So whatever is odd may be left out below, and nothing that
// is left out can be wrong.
//
// As the end of a field is known before the field is read, its bytes are taken 8 at a time without
// a look at each. Nothing behind the end is taken for the field, but up to 7 bytes there are
// loaded. The text may change meanwhile (a mapped file) without harm to the memory.
//
// Most lines are alike: each field ends at the next mark. These are read together, a column at a
// time (its ends are `columns` marks apart) and four numbers at a time; all others one by one.

#pragma once

#include <algorithm>
#include <vector>

#include "_parser_names.hpp"
#include "_parser_numbers.hpp"

namespace shmkit {

constexpr int64_t behind = 16;  // bytes behind the text that may be loaded

// Where one field of the record comes from and goes to; an array of them is sorted by column.
struct Field {
    int64_t kind;     // 'i', 'u', 'f', 'b', 'S' or 'U', as in numpy; 'C': text as its code
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

// ---- marks --------------------------------------------------------------------------------------

// The bytes that may end a field, or make it odd: blanks, control characters, what is not ASCII,
// the delimiter, the comment sign and the quote. They are found some hundred at a time.
class Marks {
  public:
    Marks(const byte* start, const byte* stop, byte delimiter, byte comment, byte quote)
        : block_(start), stop_(stop), signs_{delimiter, comment, quote} {}

    // The next ones, behind which is nullptr; the very last one is the end of the text. Before the
    // first is the last one that was found before.
    [[gnu::noinline]] const byte* const* find() {
        const byte** end = found_ + 1;
        found_[0] = end_[-1];
        for (; block_ < stop_ && end <= found_ + room - 64; block_ += 64) {
            uint64_t bits = in_block();
            const byte** const next = end + __builtin_popcountll(bits);
            for (; end < next; end += 8) {  // fewer would be more jumps; the last are written over
                for (int i = 0; i < 8; ++i, bits &= bits - 1) {
                    end[i] = block_ + __builtin_ctzll(bits | uint64_t{1} << 63);
                }
            }
            end = next;
        }
        if (end == found_ + 1) *end++ = stop_;
        *end = nullptr;
        end_ = end;
        return found_ + 1;
    }
    const byte* const* end() const { return end_; }

  private:
    static constexpr int room = 1024;
    const byte *block_, *const stop_;
    const byte signs_[3];
    const byte *found_[room + 8] = {}, **end_ = found_ + 1;

    // A bit for each of the next 64 bytes.
    uint64_t in_block() const {
        if (stop_ - block_ >= 64) return in(block_);
        byte rest[64] = {};
        std::memcpy(rest, block_, stop_ - block_);
        return in(rest) & ((uint64_t{1} << (stop_ - block_)) - 1);
    }
    uint64_t in(const byte* p) const {
        uint64_t bits = 0;
#ifdef __SSE2__
        const auto all = [](byte c) { return _mm_set1_epi8(static_cast<char>(c)); };
        for (int i = 0; i < 64; i += 16) {
            const __m128i text = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + i));
            __m128i found = _mm_cmplt_epi8(text, all(' ' + 1));  // what is not ASCII is negative
            for (const byte c : signs_) found = _mm_or_si128(found, _mm_cmpeq_epi8(text, all(c)));
            bits |= static_cast<uint64_t>(_mm_movemask_epi8(found)) << i;
        }
#else
        for (int i = 0; i < 64; i += 8) {
            const uint64_t word = load8(p + i);
            uint64_t found = ~((word | highs) - ones * (' ' + 1)) | word;
            for (const byte c : signs_) found |= equal(word, c);
            bits |= ((found & highs) >> 7) * 0x0102040810204080 >> 56 << i;
        }
#endif
        return bits;
    }
};

// ---- lines --------------------------------------------------------------------------------------

template <bool white>  // whether white space separates the fields
class Parser {
  public:
    Parser(const Syntax& syntax, const Field* fields, int64_t count, Table* tables,
           const byte* start, const byte* stop)
        : delimiter_(white ? ' ' : static_cast<byte>(syntax.delimiter)),
          comment_(syntax.comment < 0 ? '\n' : static_cast<byte>(syntax.comment)),
          quote_(syntax.quote < 0 ? '\n' : static_cast<byte>(syntax.quote)),
          utf8_(syntax.utf8),
          columns_(syntax.columns),
          start_(start),
          stop_(stop),
          marks_(start, stop, delimiter_, comment_, quote_) {
        meaning_[quote_] = quote;
        meaning_[byte{'\n'}] = meaning_[byte{'\r'}] = meaning_[comment_] = end_of_data;
        meaning_[byte{' '}] = meaning_[byte{'\t'}] = blank;
        if (!white) meaning_[delimiter_] = separator;
        for (int64_t i = 0; i < count; ++i) {
            Table* const table = fields[i].kind == 'C' ? tables++ : nullptr;
            steps_.push_back({each_of(fields[i]), fields[i].column - wanted_, fields[i], table});
            wanted_ = fields[i].column + 1;
        }
    }

    Taken parse(byte* out, int64_t itemsize, int64_t max_rows) {
        Taken taken{0, 0, 0};
        Place at{start_, marks_.find()};
        int64_t one_by_one = 1;  // lines to be read so: the first, as there is no mark before it
        int64_t most = lanes;    // to be read together: more and more, as long as that goes well
        while (at.p < stop_ && taken.rows < max_rows) {
            if (one_by_one-- <= 0 && 0 < columns_ && wanted_ <= columns_) {
                const int64_t room = std::min(most, max_rows - taken.rows);
                const Block block = lines_at(at.mark, room, out, itemsize);
                const bool good = block.lines && together(block);
                if (good) {
                    at.mark += block.lines * block.columns;
                    at.p = at.mark[-1] + 1;
                    if (!*at.mark) at.mark = marks_.find();
                    taken.rows += block.lines;
                    taken.lines += block.lines;
                    out += block.lines * itemsize;
                }
                most = good ? std::min(2 * most, most_together) : lanes;
                one_by_one = good ? 0 : block.lines;
                if (good) continue;
            }
            Place next = white ? blanks(at) : at;
            const bool row = !at_end(next.p);
            next = row ? record(next, out) : line_end(next);
            if (!next.p) break;
            at = next;
            ++taken.lines;
            if (row) {
                ++taken.rows;
                out += itemsize;
            }
        }
        taken.nbytes = at.p - start_;
        return taken;
    }

  private:
    // A place in the text, and the first mark that is not before it. No place is a line that is
    // not covered.
    struct Place {
        const byte* p;
        const byte* const* mark;
    };
    static constexpr Place nowhere{nullptr, nullptr};

    // Lines with the same number of marks: the first mark, and how many each line has.
    struct Block {
        const byte* const* mark;
        int64_t lines, columns;
        byte* out;  // the first record
        int64_t itemsize;
    };

    // How a column is read: the first ones are numbers in native bytes.
    enum class Way { in4, in8, real4, real8, number, bytes, characters, category, skipped };
    struct Step {
        bool (Parser::*each)(const Field&, Table*, int64_t, const Block&) const;
        int64_t skipped;  // columns before it
        Field field;
        Table* table;  // of a category
    };

    static constexpr int64_t most_together = 1 << 10;  // lines: more than there are marks for

    // Without a comment sign or a quote, the line end stands for it.
    const byte delimiter_, comment_, quote_;
    const bool utf8_;
    const int64_t columns_;
    int64_t wanted_ = 0;  // columns up to the last one that is wanted
    std::vector<Step> steps_;
    const byte *const start_, *const stop_;
    Marks marks_;
    enum Meaning : byte { other, end_of_data, blank, separator, quote } meaning_[256] = {};

    static decltype(Step::each) each_of(const Field& field) {
        const bool native = !field.swapped, in4 = field.width == 4, in8 = field.width == 8;
        switch (field.kind) {
            case 'C': return &Parser::each<Way::category>;
            case 'S': return &Parser::each<Way::bytes>;
            case 'U': return &Parser::each<Way::characters>;
            case 'i':
                if (native && in4) return &Parser::each<Way::in4>;
                if (native && in8) return &Parser::each<Way::in8>;
                break;
            case 'f':
                if (native) return in4 ? &Parser::each<Way::real4> : &Parser::each<Way::real8>;
        }
        return &Parser::each<Way::number>;
    }

    // As many lines as there are marks for, at most `most`.
    Block lines_at(const byte* const* mark, int64_t most, byte* out, int64_t itemsize) const {
        int64_t columns = columns_;
        if (marks_.end() - mark > columns && *mark[columns - 1] == '\r') ++columns;
        return {mark, std::min(most, (marks_.end() - mark) / columns), columns, out, itemsize};
    }

    // Reads lines of which each field ends at the next mark. Says whether they are such lines, and
    // all is covered.
    [[gnu::noinline]] bool together(const Block& block) const {
        const Field none{};
        int64_t column = 0;
        for (const Step& step : steps_) {
            for (; column < step.field.column; ++column) {
                if (!each<Way::skipped>(none, nullptr, column, block)) return false;
            }
            // Only lines that are taken give names: those wait until all is known to be good.
            const bool good = step.table ? each<Way::skipped>(none, nullptr, column, block)
                                         : (this->*step.each)(step.field, nullptr, column, block);
            if (!good) return false;
            ++column;
        }
        for (; column < block.columns; ++column) {
            if (!each<Way::skipped>(none, nullptr, column, block)) return false;
        }
        for (const Step& step : steps_) {
            if (step.table && !(this->*step.each)(step.field, step.table, step.field.column, block)) {
                return false;
            }
        }
        return true;
    }

    // Reads a column of a block.
    template <Way way>
    bool each(const Field& field, Table* table, int64_t column, const Block& block) const {
        constexpr bool real = way == Way::real4 || way == Way::real8;
        const bool line_feed = column == columns_, last = column + 1 == block.columns;
        const byte found = *block.mark[column];
        byte behind = white && meaning_[found] == blank ? found : delimiter_;
        if (column + 1 >= columns_) behind = last ? '\n' : '\r';
        const int64_t least = !line_feed && (white || columns_ == 1);  // bytes
        const byte* const* mark = block.mark + column;
        byte* out = block.out + field.offset;
        int64_t left = block.lines;
        if constexpr (real || way == Way::in4 || way == Way::in8) {
            for (; left >= lanes; left -= lanes) {
                uint64_t digits[lanes], odd = 0, lengths = 0;  // less 1
                int64_t negative[lanes], any_negative = 0;
                byte others = 0;
                double divisor[lanes];
                int32_t values[lanes];
                const byte* const* next = mark;
                for (int i = 0; i < lanes; ++i, next += block.columns) {
                    const byte *p = next[-1] + 1, *const end = *next;
                    negative[i] = *p == '-';
                    any_negative |= negative[i];
                    p += negative[i];
                    const uint64_t n = end - p;
                    digits[i] = first(as_digits(load8(p)), n);
                    lengths |= n - 1;
                    others |= *end ^ behind;
                    if constexpr (real) {
                        const uint64_t marks = not_digit(digits[i]), point = marks & -marks;
                        const uint64_t one = point >> 7, before = one - 1, whole = one * 255;
                        odd |= (digits[i] & whole) ^ one * ('.' ^ '0');
                        lengths |= n - 1 - (point != 0);
                        const int digits_behind = (__builtin_clzll(point | 1) + 1) >> 3;  // or 8
                        divisor[i] = powers.divisor[digits_behind][negative[i]];
                        const uint64_t rest = digits[i] & ~(before | whole);
                        digits[i] = point ? rest | (digits[i] & before) << 8 : digits[i];
                    }
                }
                if (others || lengths > 7 || odd || !values_of(digits, values)) break;
                mark = next;
                for (int i = 0; i < lanes; ++i, out += block.itemsize) {
                    if constexpr (way == Way::real4) {
                        const float value = static_cast<float>(values[i] / divisor[i]);
                        std::memcpy(out, &value, 4);
                    } else if constexpr (way == Way::real8) {
                        const double value = values[i] / divisor[i];
                        std::memcpy(out, &value, 8);
                    } else {
                        if (any_negative && negative[i]) values[i] = -values[i];
                        const int64_t value = values[i];
                        std::memcpy(out, &value, way == Way::in4 ? 4 : 8);
                    }
                }
            }
        }
        for (; left; --left, mark += block.columns, out += block.itemsize) {
            const byte *const p = mark[-1] + 1, *const end = *mark;
            const int64_t n = end - p;
            if (*end != behind || n < least || (line_feed && n)) return false;
            if constexpr (way == Way::bytes) {
                if (n > field.width) return false;
                copy(p, n, out, field.width);
            } else if constexpr (way == Way::characters) {
                if (4 * n > field.width) return false;
                for (int64_t i = 0; i < n; ++i) store(out + 4 * i, int32_t{p[i]}, field.swapped);
                std::memset(out + 4 * n, 0, field.width - 4 * n);
            } else if constexpr (way == Way::category) {
                const int32_t code = table->code(p, n);
                if (code < 0) return false;
                store(out, static_cast<uint16_t>(code), field.swapped);
            } else if constexpr (way != Way::skipped) {
                if (!number(field, p, end, out)) return false;
            }
        }
        return true;
    }

    // Behind the mark at this place.
    Place pass(Place at) {
        if (!*++at.mark) at.mark = marks_.find();
        return {at.p + 1, at.mark};
    }

    // A line with data.
    [[gnu::always_inline]] Place record(Place at, byte* out) {
        const Step *step = steps_.data(), *const end = step + steps_.size();
        for (;;) {
            for (int64_t left = step->skipped; left; --left) {
                if (!(at = skip(at)).p || !(at = next_column(at)).p) return nowhere;
            }
            if (!(at = value(*step, at, out + step->field.offset)).p) return nowhere;
            if (++step == end) break;
            if (!(at = next_column(at)).p) return nowhere;
        }
        if (*at.p == '\n' && wanted_ == columns_) return pass(at);
        for (int64_t column = wanted_;; ++column) {
            at = blanks(at);
            if (at_end(at.p)) return columns_ < 0 || column == columns_ ? line_end(at) : nowhere;
            if (column == columns_) return nowhere;
            if (!white && !(at = next_column(at)).p) return nowhere;
            if (!(at = skip(at)).p) return nowhere;
        }
    }

    // Whether the data of the line end here.
    bool at_end(const byte* p) const { return meaning_[*p] == end_of_data; }

    // Behind the blanks that separate columns, or surround a number between delimiters.
    Place blanks(Place at) {
        while (at.p == *at.mark && meaning_[*at.p] == blank) at = pass(at);
        return at;
    }

    // Where the next line begins, from where the data of this one end.
    [[gnu::noinline]] Place line_end(Place at) {
        if (*at.p == comment_ && *at.p != '\n') {
            const byte* end =
                static_cast<const byte*>(std::memchr(at.p + 1, '\n', stop_ - at.p - 1));
            if (!end) return nowhere;
            if (end[-1] == '\r') --end;
            if (std::memchr(at.p, '\r', end - at.p) || !valid(at.p, end)) return nowhere;
            while (*at.mark < end) at = pass(at);
            at.p = end;
        }
        if (*at.p == '\r') at = pass(at);
        return at.p < stop_ && *at.p == '\n' ? pass(at) : nowhere;  // \r alone may end a line
    }

    // The field behind the one that ends here.
    Place next_column(Place at) {
        if (*at.p != delimiter_) {
            if (!white) at = blanks(at);  // behind a number
            if (*at.p != (white ? '\t' : delimiter_)) return nowhere;
        }
        return white ? blanks(pass(at)) : pass(at);
    }

    // The end of a field that no record holds.
    [[gnu::noinline]] Place skip(Place at) {
        bool ascii = true;
        const Place end = text_end(at, ascii);
        return end.p && (ascii || valid(at.p, end.p)) ? end : nowhere;
    }

    // The end of a field of text.
    Place text_end(Place at, bool& ascii) {
        const byte* const start = at.p;
        for (;; at = pass(at)) {
            at.p = *at.mark;
            const Meaning meaning = meaning_[*at.p];
            if (meaning == separator) return at;
            if (meaning == end_of_data || (white && meaning == blank)) {
                return white && at.p == start ? nowhere : at;
            }
            if (meaning == quote && at.p == start) return nowhere;
            if (*at.p >= 0x80) ascii = false;
            // White space to np.loadtxt, or odd.
            if (*at.p == 0 || (white && meaning == other && *at.p < 0x80)) return nowhere;
        }
    }

    // Whether np.loadtxt reads this text as one piece.
    bool valid(const byte* p, const byte* end) const {
        while (p < end) {
            const int32_t c = decode(p, end);
            if (c < 0 || (c >= 0x80 && (!utf8_ || (white && is_space(c))))) return false;
        }
        return true;
    }

    // Reads a field and writes it to `out`; gives the place behind it.
    [[gnu::always_inline]] Place value(const Step& step, Place at, byte* out) {
        if (step.field.kind == 'S') return bytes(step.field, at, out);
        if (step.field.kind == 'C') return category(step, at, out);
        if (step.field.kind == 'U') return characters(step.field, at, out);
        if (!white) at = blanks(at);
        return number(step.field, at.p, *at.mark, out) ? Place{*at.mark, at.mark} : nowhere;
    }

    static bool number(const Field& field, const byte* p, const byte* end, byte* out) {
        if (field.kind != 'f') return integer(field, p, end, out);
        double value;
        if (!read_double(p, end, value)) return false;
        if (field.width == 4) {
            store(out, static_cast<float>(value), field.swapped);
        } else {
            store(out, value, field.swapped);
        }
        return true;
    }

    static bool integer(const Field& field, const byte* p, const byte* end, byte* out) {
        const bool negative = *p == '-';
        p += negative | (*p == '+');
        const int64_t n = end - p;
        uint64_t value = 0;
        if (0 < n && n <= 8) {
            if (!read_short(p, n, value)) return false;
        } else {
            int count = 0;
            if (digits(p, end, value, count) != end || count == 0 || count > most_digits) {
                return false;
            }
        }
        switch (field.kind << 4 | field.width) {
            case 'i' << 4 | 1: return put<int8_t>(value, negative, field.swapped, out);
            case 'i' << 4 | 2: return put<int16_t>(value, negative, field.swapped, out);
            case 'i' << 4 | 4: return put<int32_t>(value, negative, field.swapped, out);
            case 'i' << 4 | 8: return put<int64_t>(value, negative, field.swapped, out);
            case 'u' << 4 | 1: return put<uint8_t>(value, negative, field.swapped, out);
            case 'u' << 4 | 2: return put<uint16_t>(value, negative, field.swapped, out);
            case 'u' << 4 | 4: return put<uint32_t>(value, negative, field.swapped, out);
            case 'u' << 4 | 8: return put<uint64_t>(value, negative, field.swapped, out);
            default:  // bool('300') is True
                *out = value != 0;
                return value <= (uint64_t{1} << 63) - !negative;
        }
    }

    template <typename T>
    static bool put(uint64_t value, bool negative, bool swapped, byte* out) {
        const bool is_signed = std::numeric_limits<T>::is_signed;
        const uint64_t limit = static_cast<uint64_t>(std::numeric_limits<T>::max());
        if (value > limit + (negative && is_signed) || (negative && !is_signed)) return false;
        store(out, static_cast<T>(negative ? 0 - value : value), swapped);
        return true;
    }

    [[gnu::always_inline]] Place bytes(const Field& field, Place at, byte* out) {
        bool ascii = true;
        const byte* p = at.p;
        at = text_end(at, ascii);
        if (!at.p || !ascii || at.p - p > field.width) return nowhere;
        copy(p, at.p - p, out, field.width);
        return at;
    }

    [[gnu::always_inline]] Place category(const Step& step, Place at, byte* out) {
        bool ascii = true;
        const byte* const p = at.p;
        at = text_end(at, ascii);
        if (!at.p || !(ascii || valid(p, at.p))) return nowhere;
        const int32_t code = step.table->code(p, at.p - p);
        if (code < 0) return nowhere;
        store(out, static_cast<uint16_t>(code), step.field.swapped);
        return at;
    }

    [[gnu::noinline]] Place characters(const Field& field, Place at, byte* out) {
        bool ascii = true;
        const byte* p = at.p;
        at = text_end(at, ascii);
        if (!at.p || !(ascii || valid(p, at.p))) return nowhere;
        byte* const out_end = out + field.width;
        for (; p < at.p; out += 4) {
            if (out == out_end) return nowhere;
            store(out, decode(p, at.p), field.swapped);
        }
        std::memset(out, 0, out_end - out);
        return at;
    }
};

struct Ends {
    int64_t lines, without_row;
};

// How many lines end in p..stop, where two bytes are before p; see _parser.pyi.
inline Ends ends(const byte* p, const byte* stop, byte mark) {
    Ends found{0, 0};
    while (p < stop) {
        byte lines = 0, without_row = 0;  // in a byte each, the compiler takes 16 in one go
        const int count = stop - p < 240 ? static_cast<int>(stop - p) : 240;
        for (int i = 0; i < count; ++i) {
            const bool end = p[i] == '\n', cut = p[i - 1] == '\r';
            lines += end | cut;
            without_row += ((p[i - 1] == '\n') & (end | (p[i] == mark))) |
                           ((p[i - 2] == '\n') & cut & end);
        }
        found.lines += lines;
        found.without_row += without_row;
        p += count;
    }
    return found;
}

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
        case 'C':
            return width == 2;
        case 'S':
            return width > 0;
        case 'U':
            return width > 0 && width % 4 == 0;
        default:
            return false;
    }
}

// Fills records from the lines in start..stop until max_rows or a line that is not covered: as the
// last line is that has no end. Records behind the last row may have been begun then.
// Each field of kind 'C' has a table, in their order.
inline Taken parse(const byte* start, const byte* stop, const Syntax& syntax, const Field* fields,
                   int64_t count, Table* tables, byte* out, int64_t itemsize, int64_t max_rows) {
    bool all = covered(syntax) && count > 0;
    for (int64_t i = 0; i < count; ++i) {  // two fields of one column are left to np.loadtxt
        all = all && covered(fields[i]) && (i == 0 || fields[i].column > fields[i - 1].column);
    }
    while (stop > start && stop[-1] != '\n') --stop;
    if (!all || start == stop) return {0, 0, 0};
    if (syntax.delimiter < 0) {
        Parser<true> parser(syntax, fields, count, tables, start, stop);
        return parser.parse(out, itemsize, max_rows);
    }
    Parser<false> parser(syntax, fields, count, tables, start, stop);
    return parser.parse(out, itemsize, max_rows);
}

}  // namespace shmkit
