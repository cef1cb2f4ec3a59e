// One field to one value: what fits a column, what is missing, and what is wrong with the rest.
//
//   field ──▶ content ──▶ trimmed ──▶ a number, time or truth ──▶ written
//   between   without      for all       │ it is none
//   its ends  its quotes   but text      ▼
//                                     a missing word ──▶ NaN, NaT
//                                        │ nor that
//                                        ▼
//                                     the first thing that is wrong with it (Fit)

#pragma once

#include <vector>

#include "_columns_index.hpp"
#include "_columns_lanes.hpp"
#include "_columns_times.hpp"
#include "_parser.hpp"

namespace shmkit {

// Why a field does not fit its column; _parser.pyi tells more.
enum class Fit : int64_t {
    good = 0,
    ragged = 1,      // the line has another number of fields
    missing = 2,     // a missing word, where the type has no value for it
    fraction = 3,    // a number, but no whole one
    too_large = 4,   // a whole number that the type does not hold, or not exactly
    zero_first = 5,  // a whole number that begins with a zero, in a column that was guessed
    no_number = 6,   // no number, time or truth
    too_long = 7,    // text
    not_utf8 = 8,    // text
    nul = 9,         // text that ends in a NUL, which fixed-width text would lose
    too_fine = 10,   // a time that the unit does not hold
    offset = 11,     // a time with an offset from UTC among such without, or the other way
    too_many = 12,   // different texts in a category
};

// Where a column comes from and what it becomes; a row of int64.
struct Column {
    int64_t kind;   // 'i', 'u', 'f', 'b', 'M', 'S' as in numpy; 'w' whole as float64; 'C' category
    int64_t width;  // bytes of a value
    int64_t field;  // of the line, from 0
    int64_t unit;   // of 'M'
    int64_t guessed;  // whether the type was inferred: see Fit::zero_first
    int64_t offsets;  // of 'M': whether its times have an offset
};

// The field without blanks around it.
struct Text {
    const byte *begin, *end;
    int64_t nbytes() const { return end - begin; }
    Text trimmed() const {
        Text text = *this;
        while (text.begin < text.end && is_blank(*text.begin)) ++text.begin;
        while (text.begin < text.end && is_blank(text.end[-1])) --text.end;
        return text;
    }
    static bool is_blank(byte c) { return c == ' ' || c == '\t' || c == '\r'; }
};

// What a field says: without the quotes around it. Where there are other quotes in it, or text
// behind the closing one, it is put together in `scratch`.
inline Text content(Text field, int quote, std::vector<byte>& scratch) {
    if (field.begin == field.end || *field.begin != quote) return field;
    const byte* p = field.begin + 1;
    const auto* const next =
        static_cast<const byte*>(std::memchr(p, quote, static_cast<size_t>(field.end - p)));
    if (next && next == field.end - 1) return {p, next};
    scratch.clear();
    bool inside = true;
    for (; p < field.end; ++p) {
        if (inside && *p == quote) {
            if (p + 1 < field.end && p[1] == quote) {
                ++p;
            } else {
                inside = false;
                continue;
            }
        }
        scratch.push_back(*p);
    }
    const size_t nbytes = scratch.size();
    scratch.resize(nbytes + 32);  // which may be loaded
    return {scratch.data(), scratch.data() + nbytes};
}

// ---- numbers ------------------------------------------------------------------------------------

// Infinity or zero for a decimal number that is too large or too small for a double.
inline bool read_beyond(const byte* p, const byte* end, double& result) {
    const bool negative = p < end && *p == '-';
    p += p < end && (*p == '-' || *p == '+');
    int64_t scale = 0, digits_found = 0;  // scale: of the first digit that is not zero
    bool point = false, any = false;
    for (; p < end; ++p) {
        if (*p == '.' && !point) {
            point = true;
            continue;
        }
        if (static_cast<unsigned>(*p - '0') > 9) break;
        ++digits_found;
        any |= *p != '0';
        if (any && !point) ++scale;
        if (!any && point) --scale;
    }
    if (!digits_found) return false;
    int64_t power = 0;
    if (p < end && (*p | 0x20) == 'e') {
        ++p;
        const bool minus = p < end && *p == '-';
        p += p < end && (*p == '-' || *p == '+');
        const byte* const first = p;
        for (; p < end && static_cast<unsigned>(*p - '0') <= 9; ++p) {
            power = std::min<int64_t>(power * 10 + (*p - '0'), int64_t{1} << 50);
        }
        if (p == first) return false;
        if (minus) power = -power;
    }
    if (p != end) return false;
    result = any && scale + power > 0 ? std::numeric_limits<double>::infinity() : 0;
    if (negative) result = -result;
    return true;
}

// A float as float() takes it but for "_"; the point may be a comma.
inline bool read_real(Text text, byte point, double& result) {
    if (text.begin == text.end) return false;
    if (point == '.') {
        return read_double(text.begin, text.end, result) ||
               read_beyond(text.begin, text.end, result);
    }
    byte few[64];
    std::vector<byte> many;
    byte* copied = few;
    const size_t nbytes = static_cast<size_t>(text.nbytes());
    if (nbytes + 32 > sizeof few) {
        many.resize(nbytes + 32);
        copied = many.data();
    } else {
        std::memset(few, 0, sizeof few);
    }
    for (size_t i = 0; i < nbytes; ++i) {
        const byte c = text.begin[i];
        if (c == '.') return false;
        copied[i] = c == point ? byte{'.'} : c;
    }
    return read_double(copied, copied + nbytes, result) ||
           read_beyond(copied, copied + nbytes, result);
}

struct Whole {
    uint64_t size;
    bool negative, zero_first, fits;  // fits: into 64 bits
};

// Digits, with or without a sign.
inline bool read_whole(Text text, Whole& whole) {
    const byte* p = text.begin;
    whole.negative = p < text.end && *p == '-';
    p += p < text.end && (*p == '-' || *p == '+');
    if (p == text.end) return false;
    whole.zero_first = *p == '0' && text.end - p > 1;
    while (*p == '0' && text.end - p > 1) ++p;
    const byte* const first = p;
    whole.size = 0;
    int count = 0;
    p = digits(p, text.end, whole.size, count);
    whole.fits = count <= most_digits;
    if (p == text.end && count == most_digits + 1) {  // 20 digits may fit
        byte all_but_one[most_digits + 8] = {};
        std::memcpy(all_but_one, first, most_digits);
        uint64_t head = 0;
        int few = 0;
        digits(all_but_one, all_but_one + most_digits, head, few);
        whole.fits = !__builtin_mul_overflow(head, 10, &whole.size) &&
                     !__builtin_add_overflow(whole.size, text.end[-1] - '0', &whole.size);
    }
    while (p < text.end && static_cast<unsigned>(*p - '0') <= 9) ++p;
    whole.fits &= p - first <= most_digits + 1;
    return p == text.end;
}

// true or false in any case.
inline bool read_truth(Text text, byte& truth) {
    const int64_t n = text.nbytes();
    truth = n == 4;
    if (n == 4) return begins(text.begin, text.end, "true");
    return n == 5 && begins(text.begin, text.end, "false");
}

// ---- missing words ------------------------------------------------------------------------------

// The words that mean missing in a column. Those that are numbers mean the number: -9999 is
// -9999.0, too.
class MissingWords {
  public:
    MissingWords() = default;
    // Words with a line end between them; an empty one is the empty field.
    MissingWords(const byte* words, size_t nbytes, byte point) {
        const byte *p = words, *const end = words + nbytes;
        for (;;) {
            const auto* next =
                static_cast<const byte*>(std::memchr(p, '\n', static_cast<size_t>(end - p)));
            if (!next) next = end;
            std::vector<byte> word(p, next);
            const size_t length = word.size();
            word.resize(length + 32);
            double number;
            if (read_real({word.data(), word.data() + length}, point, number) && number == number) {
                numbers_.push_back(number);
            }
            word.resize(length);
            if (length == 0) {
                empty_ = true;
            } else {
                first_[word[0] >> 6] |= uint64_t{1} << (word[0] & 63);
            }
            words_.push_back(std::move(word));
            if (next == end) return;
            p = next + 1;
        }
    }
    bool any() const { return !words_.empty(); }
    bool empty() const { return empty_; }
    const std::vector<double>& numbers() const { return numbers_; }
    bool has(double number) const {
        return std::find(numbers_.begin(), numbers_.end(), number) != numbers_.end();
    }
    // Which word it is, or -1.
    int64_t find(Text text) const {
        const size_t n = static_cast<size_t>(text.nbytes());
        if (n != 0 && !(first_[*text.begin >> 6] >> (*text.begin & 63) & 1)) return -1;
        for (size_t i = 0; i < words_.size(); ++i) {
            const std::vector<byte>& word = words_[i];
            if (word.size() == n && (n == 0 || std::memcmp(word.data(), text.begin, n) == 0)) {
                return static_cast<int64_t>(i);
            }
        }
        return -1;
    }
    bool has(Text text) const { return find(text) >= 0; }

  private:
    std::vector<std::vector<byte>> words_;
    std::vector<double> numbers_;
    uint64_t first_[4] = {};  // a bit for each byte that begins one
    bool empty_ = false;
};

// ---- text ---------------------------------------------------------------------------------------

inline bool is_ascii(Text text) {
    byte any = 0;
    for (const byte* p = text.begin; p < text.end; ++p) any |= *p;
    return any < 0x80;
}

inline bool is_utf8(Text text) {
    for (const byte* p = text.begin; p < text.end;) {
        if (decode(p, text.end) < 0) return false;
    }
    return true;
}

}  // namespace shmkit
