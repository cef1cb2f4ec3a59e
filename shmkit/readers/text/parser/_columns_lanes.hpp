// Eight numbers of a column at once, in as many lanes of a vector as the CPU has.
//
//   texts    "87.5"   "-3"     "1e5"         each in a lane of 8 bytes, its last byte the highest
//   digits   00008705 00000003  1?5          sign and point taken out, what is before them zeros
//   value    875      3         odd          `values`: neighbours joined three times
//   number   87.5     -3        odd          divided by 10**1, sign put on
//
// A lane that holds anything else is odd: it is read by itself, by read_double. So is what a lane
// could not read exactly. The rounding is that of _parser_numbers.hpp: a quotient or a product of
// two exact doubles rounds once, and for more digits `nearest` is done in lanes, with its product of
// 64 x 64 bits.
//
// FMA must be off, as it rounds once where two roundings are wanted.

#pragma once

#include "_columns_vector.hpp"

namespace shmkit {

constexpr int group = 8;  // numbers

// Texts of a column, as offsets into the whole; up to 32 bytes before an end may be loaded.
struct Texts {
    const byte* text;
    const uint32_t *start, *end;
    Texts from(int64_t i) const { return {text, start + i, end + i}; }
};

// The last 8 bytes of each text.
inline Words last_words(const Texts& texts) {
    Words found;
    for (int i = 0; i < in_vector; ++i) found[i] = load8(texts.text + texts.end[i] - 8);
    return found;
}

// The 32 bytes of each text before its `tail` last ones, by eights.
inline void last_words(const Texts& texts, int tail, Words (&found)[4]) {
#if defined(__AVX512DQ__)
    // Two texts of 32 bytes in each vector, which are then transposed.
    __m512i two[4];
    for (int i = 0; i < 4; ++i) {
        const auto load = [&](int k) {
            const byte* const p = texts.text + texts.end[k] - tail - 32;
            return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
        };
        two[i] = _mm512_inserti64x4(_mm512_castsi256_si512(load(2 * i)), load(2 * i + 1), 1);
    }
    const __m512i even = _mm512_setr_epi64(0, 4, 8, 12, 2, 6, 10, 14);
    const __m512i odd = _mm512_setr_epi64(1, 5, 9, 13, 3, 7, 11, 15);
    for (int i = 0; i < 2; ++i) {
        const __m512i low = _mm512_permutex2var_epi64(two[0], i ? odd : even, two[1]);
        const __m512i high = _mm512_permutex2var_epi64(two[2], i ? odd : even, two[3]);
        found[i] = reinterpret_cast<Words>(_mm512_shuffle_i64x2(low, high, 0x44));
        found[i + 2] = reinterpret_cast<Words>(_mm512_shuffle_i64x2(low, high, 0xee));
    }
#else
    for (int i = 0; i < in_vector; ++i) {
        const byte* const p = texts.text + texts.end[i] - tail;
        for (int k = 0; k < 4; ++k) found[k][i] = load8(p + 8 * (k - 4));
    }
#endif
}

inline Masks lengths(const Texts& texts) {
#if defined(__AVX512DQ__)
    const __m256i n =
        _mm256_sub_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(texts.end)),
                         _mm256_loadu_si256(reinterpret_cast<const __m256i*>(texts.start)));
    return reinterpret_cast<Masks>(_mm512_cvtepu32_epi64(n));
#else
    Masks n;
    for (int i = 0; i < in_vector; ++i) n[i] = texts.end[i] - texts.start[i];
    return n;
#endif
}

// How numbers are written, and what is a number.
struct Style {
    byte point;        // '.' or ','
    bool keeps_zeros;  // whole numbers that begin with a zero are odd, but for 0 itself
};

constexpr uint64_t sign_bit = uint64_t{1} << 63;

// The highest n bytes of each lane; n up to 8.
inline Words last_bytes(Masks n) {
    // Shifted in two steps, as one by 64 bits is not defined.
    const Words bits = reinterpret_cast<Words>(8 - n) * 8;
    return (all(~uint64_t{0}) << (bits >> 1)) << (bits - (bits >> 1));
}

// ---- up to 8 characters -------------------------------------------------------------------------

// Numbers of at most 8 characters, as doubles or int64; gives the odd ones.
template <bool real>
[[gnu::always_inline]] inline unsigned short_numbers(const Texts& texts, const Style& style,
                                                     byte* out) {
    const Masks n = lengths(texts);
    Masks odd = (n < 1) | (n > 8);
    Words kept = last_bytes(n & 15);  // of more, it does not matter
    const Words text = last_words(texts) & kept;
    const Words begin = kept & ~(kept << 8);
    const Words minus = bytes_equal(text, '-') & begin;
    const Masks negative = minus != 0;
    kept &= ~minus;
    Words digits = (text ^ ones * '0') & kept;
    Masks count = n + negative;  // digits: a mask that is set is -1
    Words behind{};
    Masks pointed{};
    if constexpr (real) {
        const Words points = bytes_equal(digits, style.point ^ '0');
        const Words point = points & -points, before = point - 1;  // its lowest bit, and below
        pointed = points != 0;
        odd |= points != (point << 8) - point;  // two points
        const Words rest = digits & ~(before | points);
        digits = select(pointed, rest | (digits & before) << 8, digits);
        count += pointed;
        behind = select(pointed, count_bytes(~(before | points)), Words{});
    }
    odd |= (count < 1) | not_digits(digits);
    if (style.keeps_zeros) {
        const Words head = kept & ~(kept << 8);
        odd |= ((digits & head) == 0) & (count > 1) & ~pointed;
    }
    Words value = values(digits);
    if constexpr (real) {
        Doubles number = as_doubles(value);
#if defined(__AVX512DQ__)
        const __m512d tens = _mm512_setr_pd(1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7);
        number /= reinterpret_cast<Doubles>(
            _mm512_permutexvar_pd(reinterpret_cast<__m512i>(behind), tens));
#else
        Doubles tens;
        for (int i = 0; i < in_vector; ++i) tens[i] = powers.of10[behind[i] & 7];
        number /= tens;
#endif
        value = reinterpret_cast<Words>(number) ^ (as_words(negative) & sign_bit);
    } else {
        value = (value ^ as_words(negative)) - as_words(negative);
    }
    std::memcpy(out, &value, sizeof value);
    return lanes_of(odd);
}

// ---- up to 24 digits, and exponents -------------------------------------------------------------

// value * 10**exponent, rounded as `nearest` does it; adds those to `odd` that it cannot: where the
// value is 0 or the exponent not in -27..-1.
inline Doubles nearest_lanes(Words value, Masks exponent, Masks& odd) {
    Masks i = -exponent;
    const Masks wrong = (value == 0) | (i < 1) | (i > 27);
    odd |= wrong;
#if defined(__AVX512DQ__)
    i = (i & ~wrong) - wrong;
    const Words shift =
        reinterpret_cast<Words>(_mm512_lzcnt_epi64(reinterpret_cast<__m512i>(value)));
    const Words x = value << (shift & 63);
    const Words inverse = look_up(powers.inverse, reinterpret_cast<Words>(i));
    // powers.up, by the logarithm of 5.
    const Words up = 63 - (multiply_low(reinterpret_cast<Words>(i), all(1217359)) >> 19);
    // The upper half of the product of x and inverse, from those of their halves.
    const Words ll = multiply_low(x, inverse), lh = multiply_low(x, inverse >> 32);
    const Words hl = multiply_low(x >> 32, inverse), hh = multiply_low(x >> 32, inverse >> 32);
    const Words middle = (ll >> 32) + (lh & 0xffffffff) + (hl & 0xffffffff);
    Words cut = hh + (middle >> 32) + (lh >> 32) + (hl >> 32);
    const Words half = all(1 << 9) << (cut >> 63);
    odd |= (cut & (2 * half - 1)) == half - 1;
    cut = cut >> 1 | 1;
    const Words binary = reinterpret_cast<Words>(exponent) - shift + up - 62 + 1023;
    return as_doubles(cut) * reinterpret_cast<Doubles>(binary << 52);
#else
    // There is no product of 64 bits in lanes: one after another.
    Doubles found{};
    for (int k = 0; k < in_vector; ++k) {
        if (!wrong[k]) found[k] = nearest(value[k], static_cast<int>(exponent[k]));
    }
    return found;
#endif
}

// What a text says: value * 10**exponent.
struct Decimals {
    Words value;
    Masks exponent, negative, odd;
};

// As np.savetxt writes them: 1.234567890123456789e+00. Says whether all of these are such.
[[gnu::always_inline]] inline bool savetxt_decimals(const Texts& texts, const Style& style,
                                                    Decimals& found) {
    Words words[4] = {};
    last_words(texts, 0, words);
    const Words sign = words[3] >> 40 & 0xff;
    found.negative = words[0] >> 56 == '-';
    const Masks odd = (lengths(texts) != 24 - found.negative) |
                      ((words[1] >> 8 & 0xff) != style.point) | ((words[3] >> 32 & 0xdf) != 'E') |
                      ((sign != '-') & (sign != '+'));
    // The first digit moves up over the point; the last ones are of the number, and of its power.
    const Words first = (words[1] & 0xff) << 8 | (words[1] & ~uint64_t{0xffff});
    const Words digits[3] = {(first ^ ones * '0') & ~uint64_t{0xff}, words[2] ^ ones * '0',
                             (words[3] ^ ones * '0') & 0xffff0000ffffffff};
    if (lanes_of(odd | not_digits(digits[0]) | not_digits(digits[1]) | not_digits(digits[2]))) {
        return false;
    }
    const Words last = fours(digits[2]), power = last >> 32;
    found.value = values(digits[0]) * 1000000000000 + multiply_low(values(digits[1]), all(10000)) +
                  (last & 0xffffffff);
    found.exponent = reinterpret_cast<Masks>(select(sign == '-', -power, power)) - 18;
    found.odd = Masks{};
    return true;
}

// Up to 24 characters, behind which may be an exponent of four, as e+00.
template <bool real, bool scientific>
[[gnu::always_inline]] inline Decimals decimals(const Texts& texts, const Style& style) {
    constexpr int tail = scientific ? 4 : 0;
    Masks n = lengths(texts) - tail;
    Masks odd = (n < 1) | (n > 24);
    n &= 31;
    // Lane by lane: the last 8 bytes, those before, and the ones before these.
    Words kept[3], words[4] = {};
    last_words(texts, tail, words);
    Words digits[3] = {words[1], words[2], words[3]};
    Masks left = n;
    for (int k = 2; k >= 0; --k, left -= 8) {
        const Masks here = (left & (left > 0));
        const Masks most = (here & (here < 8)) | (8 & (here >= 8));
        kept[k] = last_bytes(most);
        digits[k] &= kept[k];
    }
    Masks negative{};
    Words carried = all(0);  // the byte before the lane is kept
    for (int k = 0; k < 3; ++k) {
        const Words begin = kept[k] & ~(kept[k] << 8 | carried);
        const Words minus = bytes_equal(digits[k], '-') & begin;
        carried = kept[k] >> 56;
        negative |= minus != 0;
        kept[k] &= ~minus;
        digits[k] = (digits[k] ^ ones * '0') & kept[k];
    }
    Masks count = n + negative;
    Masks pointed{};
    Words behind{};
    if constexpr (real) {
        // From the last lane on: what is before the point moves up by a byte, over it.
        for (int k = 2; k >= 0; --k) {
            const Words from_before = k ? digits[k - 1] >> 56 : Words{};
            const Words points = bytes_equal(digits[k], style.point ^ '0');
            const Words point = points & -points, before = point - 1;
            const Masks here = points != 0;
            odd |= (points != (point << 8) - point) | (here & pointed);
            const Words rest = digits[k] & ~(before | points);
            const Words moved = (digits[k] & before) << 8 | from_before;
            digits[k] = select(here, rest | moved,
                               select(pointed, digits[k] << 8 | from_before, digits[k]));
            behind += select(here, count_bytes(~(before | points)), Words{}) +
                      select(here | pointed, Words{}, all(8));
            pointed |= here;
        }
        behind &= as_words(pointed);
        count += pointed;
    }
    odd |= (count < 1) | not_digits(digits[0]) | not_digits(digits[1]) | not_digits(digits[2]);
    if (style.keeps_zeros && !scientific) {
        Words head{};
        carried = Words{};
        for (int k = 0; k < 3; ++k) {
            head |= digits[k] & kept[k] & ~(kept[k] << 8 | carried);
            carried = kept[k] >> 56;
        }
        odd |= (head == 0) & (count > 1) & ~pointed;
    }
    const Words top = values(digits[0]);
    odd |= top > 999;  // more than 19 digits: it may not fit in 64 bits
    Words value = top * 10000000000000000 +
                  (multiply_low(values(digits[1]), all(100000000)) + values(digits[2]));
    Masks exponent = -reinterpret_cast<Masks>(behind);
    if constexpr (scientific) {
        const Words text = last_words(texts) >> 32;  // e, sign, two digits
        const Words tens = (text >> 16 & 0xff) - '0', one = (text >> 24) - '0';
        const Words sign = text >> 8 & 0xff;
        odd |= ((text & 0xdf) != 'E') | (tens > 9) | (one > 9) | ((sign != '-') & (sign != '+'));
        const Words power = tens * 10 + one;
        exponent += reinterpret_cast<Masks>(select(sign == '-', -power, power));
    }
    return {value, exponent, negative, odd};
}

// As doubles, which divide or multiply what is exact, or are nearest to what is not.
[[gnu::always_inline]] inline Doubles rounded(Decimals& from) {
    const Masks large = ((from.value >> 53) != 0) | (from.exponent < -22) | (from.exponent > 22);
    if (lanes_of(large & ~from.odd)) return nearest_lanes(from.value, from.exponent, from.odd);
    const Masks divided = from.exponent < 0;
    const Words power = select(divided, reinterpret_cast<Words>(-from.exponent),
                               reinterpret_cast<Words>(from.exponent));
    const Doubles whole = as_doubles(from.value);
    const Doubles ten = reinterpret_cast<Doubles>(look_up(powers.of10, power & ~as_words(large)));
    return reinterpret_cast<Doubles>(select(divided, reinterpret_cast<Words>(whole / ten),
                                            reinterpret_cast<Words>(whole * ten)));
}

// Numbers of more characters, as doubles or, without a point, as int64; gives the odd ones.
template <bool real, bool scientific>
[[gnu::always_inline]] inline unsigned long_numbers(const Texts& texts, const Style& style,
                                                    byte* out) {
    Decimals found;
    if (!scientific || !savetxt_decimals(texts, style, found)) {
        found = decimals<real, scientific>(texts, style);
    }
    Words number;
    if constexpr (real) {
        number = reinterpret_cast<Words>(rounded(found)) ^ (as_words(found.negative) & sign_bit);
    } else {
        found.odd |= (found.value >> 63) != 0;
        number = (found.value ^ as_words(found.negative)) - as_words(found.negative);
    }
    std::memcpy(out, &number, sizeof number);
    return lanes_of(found.odd);
}

// The same one after another, by read_double or digits.
template <bool real>
[[gnu::always_inline]] inline unsigned each_number(const Texts& texts, const Style& style,
                                                   byte* out) {
    unsigned odd = 0;
    for (int i = 0; i < in_vector; ++i, out += 8) {
        const byte *p = texts.text + texts.start[i], *const end = texts.text + texts.end[i];
        const byte* const first = p + (*p == '-');
        const bool zero_first = first[0] == '0' && static_cast<unsigned>(first[1] - '0') <= 9;
        bool good =
            p < end && !zero_first && (static_cast<unsigned>(*first - '0') <= 9 || *first == '.');
        if constexpr (real) {
            double number = 0;
            // A whole number is no odd one here that is one below: inference relies on that.
            good = good && style.point == '.' && read_double(p, end, number) &&
                   (end - first < most_digits ||
                    std::memchr(first, '.', static_cast<size_t>(end - first)));
            std::memcpy(out, &number, 8);
        } else {
            uint64_t value = 0;
            int count = 0;
            good = good && end - first < most_digits && digits(first, end, value, count) == end;
            if (first != p) value = 0 - value;
            std::memcpy(out, &value, 8);
        }
        odd |= unsigned{!good} << i;
    }
    return odd;
}

// Groups of eight numbers as doubles or int64; writes a bit for each odd one, whose value is void.
template <bool real>
[[gnu::noinline]] inline void numbers(Texts texts, int64_t groups, const Style& style, byte* out,
                                      byte* odd) {
    const Style own = style;
    for (int64_t i = 0; i < groups; ++i) {
        unsigned found = 0;
        for (int lane = 0; lane < group; lane += in_vector) {
            // The first text says how the others are likely to be written.
            const byte* const end = texts.text + *texts.end;
            unsigned here;
            if (*texts.end - *texts.start <= 8) {
                here = short_numbers<real>(texts, own, out);
            } else if (in_vector == 2) {  // these take more steps than they save
                here = each_number<real>(texts, own, out);
            } else if (real && (end[-4] | 0x20) == 'e') {
                here = long_numbers<real, real>(texts, own, out);
            } else {
                here = long_numbers<real, false>(texts, own, out);
            }
            found |= here << lane;
            texts = texts.from(in_vector);
            out += 8 * in_vector;
        }
        odd[i] = static_cast<byte>(found);
    }
}

}  // namespace shmkit
