// Digits of a text to numbers, 8 bytes in one word at a time; the double nearest to a decimal.
//
//   text    1 0 4 6 9 \t        in a word of 8 bytes, the first one lowest:
//   word    0 0 0 1 0 4 6 9     `first` shifts what is behind the number out at the top
//   pairs   00  01  04  69      `value_of`: neighbours are joined three times
//   fours   0001    0469
//   value   10469

#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <limits>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the first byte of a text must be the lowest of a word; np.loadtxt does it here"
#endif

namespace shmkit {

using byte = unsigned char;
using wide = unsigned __int128;

// ---- words of 8 bytes ---------------------------------------------------------------------------

constexpr uint64_t ones = 0x0101010101010101, highs = 0x8080808080808080;

// The 8 bytes at p, the first one lowest.
inline uint64_t load8(const byte* p) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    return word;
}

// The byte at p; at the end of a field, a line end.
inline byte at(const byte* p, const byte* end) { return p < end ? *p : '\n'; }

// These mark bytes by their high bit.
inline uint64_t equal(uint64_t word, byte c) {
    const uint64_t x = word ^ (ones * c);
    return ~(((x & ~highs) + ~highs) | x) & highs;
}

// Characters as what they differ from '0' by: digits as their value. Marks bytes that are more than
// 9 by their high bit; of several ones some may be wrong, and all bytes before the first are right.
inline uint64_t as_digits(uint64_t word) { return word ^ ones * '0'; }
inline uint64_t not_digit(uint64_t digits) {
    return ((digits + ones * (0x80 - 10)) | digits) & highs;
}

inline int first_mark(uint64_t marks) { return marks ? __builtin_ctzll(marks) >> 3 : 8; }

// The number that 8 digits spell.
inline uint64_t value_of(uint64_t digits) {
    digits = digits * (1 + (10 << 8)) >> 8;  // to pairs, to fours, to the eight
    digits = (digits & 0x00ff00ff00ff00ff) * (1 + (100 << 16)) >> 16;
    return (digits & 0x0000ffff0000ffff) * (1 + (uint64_t{10000} << 32)) >> 32;
}

// Writes n bytes, at most 8, with zeros behind them up to 8.
inline void copy8(const byte* p, int64_t n, byte* out) {
    const uint64_t word = n < 8 ? load8(p) & ((uint64_t{1} << 8 * n) - 1) : load8(p);
    std::memcpy(out, &word, 8);
}

// Writes n bytes with zeros behind them; 7 bytes behind them may be loaded.
[[gnu::always_inline]] inline void copy(const byte* p, int64_t n, byte* out, int64_t width) {
    for (;; width -= 8, out += 8, n -= 8, p += 8) {
        uint64_t word = 0;
        if (n > 0) word = n < 8 ? load8(p) & ((uint64_t{1} << 8 * n) - 1) : load8(p);
        if (width < 8) {
            if (width & 4) std::memcpy(out, &word, 4), out += 4, word >>= 32;
            if (width & 2) std::memcpy(out, &word, 2), out += 2, word >>= 16;
            if (width & 1) *out = static_cast<byte>(word);
            return;
        }
        std::memcpy(out, &word, 8);
    }
}

// The first n of 8 bytes behind zeros; 1 <= n <= 8.
inline uint64_t first(uint64_t word, int64_t n) { return word << (-8 * n & 63); }

constexpr int lanes = 4;

// The numbers that 8 digits spell, of each; says whether they are digits.
inline bool values_of(const uint64_t (&digits)[lanes], int32_t (&values)[lanes]) {
#ifdef __SSE2__
    const __m128i a = _mm_set_epi64x(digits[1], digits[0]), nine = _mm_set1_epi8(9);
    const __m128i b = _mm_set_epi64x(digits[3], digits[2]), zero = _mm_setzero_si128();
    const __m128i more = _mm_or_si128(_mm_subs_epu8(a, nine), _mm_subs_epu8(b, nine));
    const auto fours = [](__m128i x) {
        x = _mm_srli_epi16(_mm_mullo_epi16(x, _mm_set1_epi16(1 + (10 << 8))), 8);
        return _mm_madd_epi16(x, _mm_set1_epi32(100 + (1 << 16)));
    };
    const __m128i all = _mm_packs_epi32(fours(a), fours(b));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(values),
                     _mm_madd_epi16(all, _mm_set1_epi32(10000 + (1 << 16))));
    return _mm_movemask_epi8(_mm_cmpeq_epi8(more, zero)) == 0xffff;
#else
    uint64_t more = 0;
    for (int i = 0; i < lanes; ++i) {
        more |= not_digit(digits[i]);
        values[i] = static_cast<int32_t>(value_of(digits[i]));
    }
    return !more;
#endif
}

// ---- numbers ------------------------------------------------------------------------------------

constexpr int most_digits = 19;  // of which every number fits in 64 bits

struct Powers {
    uint64_t of5[28];      // 5**27 is the last in 64 bits; each shifted up to fill them
    uint64_t inverse[28];  // 2**127 / of5, cut; that of 5**0 would not fit and is not used
    int up[28];            // by how many bits of5 is shifted
    double of10[23];       // 10**22 is the last that is exact
    double divisor[9][2];  // 10**i and -10**i for i digits behind the point; 8 is for no point
    uint64_t of10_small[9];
    constexpr Powers() : of5(), inverse(), up(), of10(), divisor(), of10_small() {
        uint64_t power = 1;
        for (int i = 0; i < 28; ++i, power *= 5) {
            up[i] = __builtin_clzll(power);
            of5[i] = power << up[i];
            inverse[i] = static_cast<uint64_t>((wide{1} << 127) / of5[i]);
        }
        double ten = 1;
        for (double& p : of10) p = ten, ten *= 10;
        for (int i = 0; i < 9; ++i) divisor[i][0] = of10[i % 8], divisor[i][1] = -of10[i % 8];
        power = 1;
        for (uint64_t& p : of10_small) p = power, power *= 10;
    }
};
constexpr Powers powers;

// Appends digits to the value and adds their number to count; past most_digits the value is void.
inline const byte* digits(const byte* p, const byte* end, uint64_t& value, int& count) {
    while (p < end && count <= most_digits) {
        const uint64_t word = as_digits(load8(p));
        const int n = first_mark(not_digit(word));
        if (n == 0) break;
        value = value * powers.of10_small[n] + value_of(first(word, n));
        count += n;
        p += n;
        if (n < 8) break;
    }
    return p;
}

// The double nearest to value * 10**exponent, the even one of two; 0 < value, |exponent| <= 27.
inline double nearest(uint64_t value, int exponent) {
    // A product or quotient of integers, cut to 62 or 63 bits, of which the last also says whether
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
    cut = cut >> 1 | (cut & 1);  // to a signed number: without a sign, half of them take a jump
    const int binary = exponent - shift + (exponent < 0 ? powers.up[i] - 62 : 65 - powers.up[i]);
    const uint64_t bits = static_cast<uint64_t>(binary + 1023) << 52;
    double scale;  // 2**binary
    std::memcpy(&scale, &bits, 8);
    return static_cast<double>(static_cast<int64_t>(cut)) * scale;
}

// Whether the text begins with the word, which is in lower case.
inline bool begins(const byte* p, const byte* end, const char* word) {
    for (; *word; ++word, ++p) {
        if ((at(p, end) | 0x20) != *word) return false;
    }
    return true;
}

// Digits, and nothing else; 1 <= n <= 8.
inline bool read_short(const byte* p, int64_t n, uint64_t& value) {
    const uint64_t digits = first(as_digits(load8(p)), n);
    value = value_of(digits);
    return !not_digit(digits);
}

// A float of 24 characters as np.savetxt writes it, like 1.234567890123456789e+00; false for most
// others, and where `nearest` is not for it.
inline bool read_savetxt(const byte* p, double& result) {
    const uint64_t high = as_digits(load8(p + 2)), low = as_digits(load8(p + 10));
    const auto digit = [p](int i) { return static_cast<unsigned>(p[i] - '0'); };
    const unsigned head = digit(0), tail = 10 * digit(18) + digit(19);
    const int power = static_cast<int>(10 * digit(22) + digit(23));
    const bool minus = p[21] == '-';
    if (p[1] != '.' || p[20] != 'e' || !(minus || p[21] == '+') || not_digit(high) ||
        not_digit(low) || std::max({head, digit(18), digit(19), digit(22), digit(23)}) > 9) {
        return false;
    }
    const int exponent = (minus ? -power : power) - 18;
    const uint64_t value = head * 1000000000000000000 + value_of(high) * 10000000000 +
                           value_of(low) * 100 + tail;
    if (value == 0 || exponent < -27 || exponent > 27) return false;
    result = nearest(value, exponent);
    return true;
}

// A float as np.loadtxt takes it: a decimal number, inf, infinity or nan, with or without a sign.
inline bool read_double(const byte* p, const byte* const end, double& result) {
    const bool negative = *p == '-';
    p += negative | (*p == '+');
    if (end - p == 24 && read_savetxt(p, result)) {
        result *= 1 - 2 * negative;
        return true;
    }
    const byte* const start = p;
    uint64_t value = 0;
    int count = 0, exponent = 0;
    const uint64_t word = as_digits(load8(p)), marks = not_digit(word);
    const int before = first_mark(marks);
    if (marks && static_cast<byte>(word >> 8 * before) == ('.' ^ '0')) {
        // The digits around the point, as far as they are in this word, are read in one go.
        const int behind = first_mark(marks & (marks - 1));
        const uint64_t head = (uint64_t{1} << 8 * before) - 1;
        count = behind - 1;
        if (count == 0) return false;
        value = value_of(first((word & head) | (word >> 8 & ~head), count));
        p += behind;
        if (behind == 8) p = digits(p, end, value, count);
        exponent = before - count;
    } else {
        p = digits(p, end, value, count);
        if (at(p, end) == '.') {
            const int whole = count;
            p = digits(p + 1, end, value, count);
            exponent = whole - count;
        }
    }
    if (count == 0) {
        const bool nan = begins(start, end, "nan");
        if (!nan && !begins(start, end, "inf")) return false;
        result = nan ? std::numeric_limits<double>::quiet_NaN()
                     : std::numeric_limits<double>::infinity();
        if (negative) result = -result;
        return start + (begins(start, end, "infinity") ? 8 : 3) == end;
    }
    if (count > most_digits) {  // there may be more
        bool point = false;
        for (p = start; p < end && ((*p >= '0' && *p <= '9') || (*p == '.' && !point)); ++p) {
            point |= *p == '.';
        }
    }
    if ((at(p, end) | 0x20) == 'e') {
        ++p;
        const bool minus = at(p, end) == '-';
        p += minus || at(p, end) == '+';
        uint64_t power = 0;
        int length = 0;
        p = digits(p, end, power, length);
        if (length == 0 || length > 8) return false;
        exponent += minus ? -static_cast<int>(power) : static_cast<int>(power);
    }
    if (p != end) return false;
    if (count <= most_digits && value >> 53 == 0 && -22 <= exponent && exponent <= 22) {
        // Both numbers are exact as doubles, so that this rounds once (Clinger 1990).
        result = static_cast<double>(value);
        result = exponent < 0 ? result / powers.of10[-exponent] : result * powers.of10[exponent];
    } else if (count <= most_digits && value != 0 && -27 <= exponent && exponent <= 27) {
        result = nearest(value, exponent);
    } else {
        const char* const last = reinterpret_cast<const char*>(end);
        const auto read = std::from_chars(reinterpret_cast<const char*>(start), last, result);
        if (read.ptr != last || read.ec != std::errc()) return false;
    }
    if (negative) result = -result;
    return true;
}

}  // namespace shmkit
