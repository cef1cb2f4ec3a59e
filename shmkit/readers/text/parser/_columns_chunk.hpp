// 64 bytes of a text at once: which of them are a byte, and which are inside of quotes.
//
//   text     1 , " a , b " \n 2 , " c \n d " \n
//   quotes       ^       ^          ^      ^       a bit for each byte that is a quote
//   inside       xxxxxxx            xxxxxx         the xor of all these bits up to a byte

#pragma once

#include "_parser_numbers.hpp"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace shmkit {

// How a text is split into fields.
struct Dialect {
    int delimiter;     // a byte; '\n': each line is one field; -1: white space
    int quote;         // a byte, or -1: none
    int comment;       // a byte, or -1: none; a line that begins with it is no row
    int decimal;       // '.' or ','
    bool skip_blanks;  // whether blanks behind a delimiter are no part of the field
};

// The next 64 bytes of a text: a bit for each that is some byte, is not ASCII, or is that or a
// control character.
class Chunk {
  public:
#if defined(__AVX512BW__)
    explicit Chunk(const byte* p) : text_(_mm512_loadu_si512(p)) {}
    uint64_t equal(int c) const {
        return _mm512_cmpeq_epi8_mask(text_, _mm512_set1_epi8(static_cast<char>(c)));
    }
    uint64_t not_ascii() const { return _mm512_movepi8_mask(text_); }
    uint64_t not_printed() const { return _mm512_cmplt_epi8_mask(text_, _mm512_set1_epi8(' ')); }

  private:
    __m512i text_;
#elif defined(__AVX2__)
    explicit Chunk(const byte* p)
        : low_(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))),
          high_(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32))) {}
    uint64_t equal(int c) const {
        const __m256i all = _mm256_set1_epi8(static_cast<char>(c));
        return bits(_mm256_cmpeq_epi8(low_, all), _mm256_cmpeq_epi8(high_, all));
    }
    uint64_t not_ascii() const { return bits(low_, high_); }
    uint64_t not_printed() const {
        const __m256i all = _mm256_set1_epi8(' ');
        return bits(_mm256_cmpgt_epi8(all, low_), _mm256_cmpgt_epi8(all, high_));
    }

  private:
    __m256i low_, high_;
    static uint64_t bits(__m256i low, __m256i high) {
        return static_cast<uint32_t>(_mm256_movemask_epi8(low)) |
               static_cast<uint64_t>(static_cast<uint32_t>(_mm256_movemask_epi8(high))) << 32;
    }
#elif defined(__SSE2__)
    explicit Chunk(const byte* p) {
        for (int i = 0; i < 4; ++i) {
            text_[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 16 * i));
        }
    }
    uint64_t equal(int c) const {
        const __m128i all = _mm_set1_epi8(static_cast<char>(c));
        uint64_t found = 0;
        for (int i = 0; i < 4; ++i) found |= bits(_mm_cmpeq_epi8(text_[i], all)) << 16 * i;
        return found;
    }
    uint64_t not_ascii() const {
        uint64_t found = 0;
        for (int i = 0; i < 4; ++i) found |= bits(text_[i]) << 16 * i;
        return found;
    }
    uint64_t not_printed() const {
        const __m128i all = _mm_set1_epi8(' ');
        uint64_t found = 0;
        for (int i = 0; i < 4; ++i) found |= bits(_mm_cmplt_epi8(text_[i], all)) << 16 * i;
        return found;
    }

  private:
    __m128i text_[4];
    static uint64_t bits(__m128i x) { return static_cast<uint64_t>(_mm_movemask_epi8(x)); }
#else
    explicit Chunk(const byte* p) {
        for (int i = 0; i < 8; ++i) text_[i] = load8(p + 8 * i);
    }
    uint64_t equal(int c) const {
        uint64_t found = 0;
        for (int i = 0; i < 8; ++i) {
            found |= bits(shmkit::equal(text_[i], static_cast<byte>(c))) << 8 * i;
        }
        return found;
    }
    uint64_t not_ascii() const {
        uint64_t found = 0;
        for (int i = 0; i < 8; ++i) found |= bits(text_[i] & highs) << 8 * i;
        return found;
    }
    uint64_t not_printed() const {
        uint64_t found = 0;
        for (int i = 0; i < 8; ++i) {
            const uint64_t below = ~((text_[i] | highs) - ones * ' ') | text_[i];
            found |= bits(below & highs) << 8 * i;
        }
        return found;
    }

  private:
    uint64_t text_[8];
    static uint64_t bits(uint64_t marks) { return (marks >> 7) * 0x0102040810204080 >> 56; }
#endif
};

// A bit is set where an odd number of bits is set up to it, itself included.
inline uint64_t parity_up_to(uint64_t bits) {
#if defined(__PCLMUL__)
    const __m128i all = _mm_set1_epi8(-1);
    const __m128i x = _mm_set_epi64x(0, static_cast<int64_t>(bits));
    return static_cast<uint64_t>(_mm_cvtsi128_si64(_mm_clmulepi64_si128(x, all, 0)));
#else
    for (int i = 1; i < 64; i *= 2) bits ^= bits << i;
    return bits;
#endif
}

// All bits, or none, as the highest one is.
inline uint64_t filled(uint64_t bits) {
    return -(bits >> 63);
}

// The quotes of a text, chunk by chunk: what is inside of them, and which are out of place.
struct Quotes {
    uint64_t inside;           // all bits: the text so far ended inside of quotes
    uint64_t may_open = 1;     // bit 0: the byte before may be before an opening quote,
    uint64_t just_closed = 0;  // or was a closing one
    uint64_t doubled = 0;      // not 0: some were, inside of others

    explicit Quotes(bool begins_inside = false) : inside(-uint64_t{begins_inside}) {}

    // Bits of the bytes that are inside, the opening quote included; adds those of quotes that are
    // out of place. `parts` are the bytes that part fields: delimiters, line ends and \r.
    uint64_t pass(uint64_t quotes, uint64_t parts, uint64_t& strays) {
        const uint64_t within = parity_up_to(quotes) ^ inside, around = parts | quotes;
        const uint64_t closing = quotes & ~within;
        strays |= quotes & within & ~(around << 1 | may_open);
        strays |= (closing << 1 | just_closed) & ~around;
        doubled |= (closing << 1 | just_closed) & quotes;
        may_open = around >> 63;
        just_closed = closing >> 63;
        inside = filled(within);
        return within;
    }
    // As pass, and the strays of a text that is outside where this one is inside, as well; of that
    // one, `other_closed` is what just_closed is of this one.
    uint64_t pass_both(uint64_t quotes, uint64_t parts, uint64_t& other_closed,
                       uint64_t (&strays)[2]) {
        const uint64_t within = parity_up_to(quotes) ^ inside, around = parts | quotes;
        const uint64_t opening = quotes & within, closing = quotes & ~within;
        const uint64_t cannot_open = ~(around << 1 | may_open);
        strays[0] = (opening & cannot_open) | ((closing << 1 | just_closed) & ~around);
        strays[1] = (closing & cannot_open) | ((opening << 1 | other_closed) & ~around);
        may_open = around >> 63;
        just_closed = closing >> 63;
        other_closed = opening >> 63;
        inside = filled(within);
        return within;
    }
    // As pass, where there are no quotes.
    uint64_t pass_none(uint64_t parts, uint64_t& strays) {
        strays |= just_closed & ~parts;
        may_open = parts >> 63;
        just_closed = 0;
        return inside;
    }
};

}  // namespace shmkit
