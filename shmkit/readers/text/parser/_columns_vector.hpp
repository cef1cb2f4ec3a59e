// Words of 8 bytes in the lanes of a vector: 8, 4 or 2 of them, as the CPU has it.
//
// The vectors are those of GCC and Clang, so that + and == mean each lane: one text for each CPU.
// What they do badly, or not at all, is said here in intrinsics, and by plain code where there are
// none.

#pragma once

#include "_parser_numbers.hpp"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace shmkit {

#if defined(__AVX512DQ__)
constexpr int in_vector = 8;
#elif defined(__AVX2__)
constexpr int in_vector = 4;
#else
constexpr int in_vector = 2;
#endif

typedef uint64_t Words __attribute__((vector_size(8 * in_vector)));
typedef int64_t Masks __attribute__((vector_size(8 * in_vector)));  // all bits of a lane, or none
typedef double Doubles __attribute__((vector_size(8 * in_vector)));
typedef byte Bytes __attribute__((vector_size(8 * in_vector)));

inline Words all(uint64_t x) {
    return x - Words{};
}
inline Words as_words(Masks x) {
    return reinterpret_cast<Words>(x);
}
template <typename T>
inline Words select(T mask, Words yes, Words no) {
    const Words m = reinterpret_cast<Words>(mask);
    return (m & yes) | (~m & no);
}

// All bits of the bytes that are c.
inline Words bytes_equal(Words x, byte c) {
    return reinterpret_cast<Words>(reinterpret_cast<Bytes>(x) == (c - Bytes{}));
}

// Whether any byte of a lane is no digit.
inline Masks not_digits(Words digits) {
#if defined(__AVX512BW__)
    const __m512i x = reinterpret_cast<__m512i>(digits);
    return reinterpret_cast<Masks>(_mm512_subs_epu8(x, _mm512_set1_epi8(9))) != 0;
#elif defined(__AVX2__)
    const __m256i x = reinterpret_cast<__m256i>(digits);
    return reinterpret_cast<Masks>(_mm256_subs_epu8(x, _mm256_set1_epi8(9))) != 0;
#elif defined(__SSE2__)
    const __m128i x = reinterpret_cast<__m128i>(digits);
    return reinterpret_cast<Masks>(_mm_subs_epu8(x, _mm_set1_epi8(9))) != 0;
#else
    return (((digits + ones * (0x80 - 10)) | digits) & highs) != 0;
#endif
}

// Products of the lower halves.
inline Words multiply_low(Words a, Words b) {
#if defined(__AVX512DQ__)
    return reinterpret_cast<Words>(
        _mm512_mul_epu32(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif defined(__AVX2__)
    return reinterpret_cast<Words>(
        _mm256_mul_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#elif defined(__SSE2__)
    return reinterpret_cast<Words>(
        _mm_mul_epu32(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
#else
    return (a & 0xffffffff) * (b & 0xffffffff);
#endif
}

// The numbers that the first and the last 4 of 8 digits spell, in the halves of each lane.
inline Words fours(Words digits) {
#if defined(__AVX512BW__)
    __m512i x = reinterpret_cast<__m512i>(digits);
    x = _mm512_maddubs_epi16(x, _mm512_set1_epi16(10 + (1 << 8)));
    return reinterpret_cast<Words>(_mm512_madd_epi16(x, _mm512_set1_epi32(100 + (1 << 16))));
#elif defined(__AVX2__)
    __m256i x = reinterpret_cast<__m256i>(digits);
    x = _mm256_maddubs_epi16(x, _mm256_set1_epi16(10 + (1 << 8)));
    return reinterpret_cast<Words>(_mm256_madd_epi16(x, _mm256_set1_epi32(100 + (1 << 16))));
#elif defined(__SSE2__)
    __m128i x = reinterpret_cast<__m128i>(digits);
    x = _mm_srli_epi16(_mm_mullo_epi16(x, _mm_set1_epi16(1 + (10 << 8))), 8);
    return reinterpret_cast<Words>(_mm_madd_epi16(x, _mm_set1_epi32(100 + (1 << 16))));
#else
    const Words pairs = (digits * (1 + (10 << 8)) >> 8) & 0x00ff00ff00ff00ff;
    return (pairs * (1 + (100 << 16)) >> 16) & 0x0000ffff0000ffff;
#endif
}

// The number that the 8 digits of each lane spell.
inline Words values(Words digits) {
    const Words both = fours(digits);
    return multiply_low(both, all(10000)) + (both >> 32);
}

// How many bytes of each lane are not zero: each is 0 or 0xff.
inline Words count_bytes(Words x) {
    x &= ones;
#if defined(__AVX512BW__)
    const __m512i sums = _mm512_sad_epu8(reinterpret_cast<__m512i>(x), _mm512_setzero_si512());
    return reinterpret_cast<Words>(sums);
#elif defined(__AVX2__)
    const __m256i sums = _mm256_sad_epu8(reinterpret_cast<__m256i>(x), _mm256_setzero_si256());
    return reinterpret_cast<Words>(sums);
#elif defined(__SSE2__)
    return reinterpret_cast<Words>(_mm_sad_epu8(reinterpret_cast<__m128i>(x), _mm_setzero_si128()));
#else
    return x * ones >> 56;
#endif
}

// Of whole numbers below 2**53, exactly; with AVX-512 below 2**63, rounded.
inline Doubles as_doubles(Words x) {
#if defined(__AVX512DQ__)
    return reinterpret_cast<Doubles>(_mm512_cvtepi64_pd(reinterpret_cast<__m512i>(x)));
#else
    // The halves as the lowest bits of doubles between powers of two, which are taken off again.
    const Doubles low = reinterpret_cast<Doubles>((x & 0xffffffff) | 0x4330000000000000);
    const Doubles high = reinterpret_cast<Doubles>(x >> 32 | 0x4530000000000000);
    return (high - 0x1.00000001p84) + low;
#endif
}

// A bit for each lane whose mask is set.
inline unsigned lanes_of(Masks mask) {
#if defined(__AVX512DQ__)
    return _mm512_movepi64_mask(reinterpret_cast<__m512i>(mask));
#elif defined(__AVX2__)
    return static_cast<unsigned>(_mm256_movemask_pd(reinterpret_cast<__m256d>(mask)));
#elif defined(__SSE2__)
    return static_cast<unsigned>(_mm_movemask_pd(reinterpret_cast<__m128d>(mask)));
#else
    unsigned found = 0;
    for (int i = 0; i < in_vector; ++i) found |= (mask[i] & 1) << i;
    return found;
#endif
}

// The entries of a table of at most 32; by shuffles, as gathers are slow on many CPUs.
template <typename T, int count>
inline Words look_up(const T (&table)[count], Words i) {
    static_assert(sizeof(T) == 8 && count >= 16 && count <= 32);
#if defined(__AVX512DQ__)
    const __m512i at = reinterpret_cast<__m512i>(i);
    const auto some = [&table](int from) {
        constexpr int in_last = count % 8;
        const __mmask8 there = from + 8 <= count ? 0xff : from < count ? (1 << in_last) - 1 : 0;
        return _mm512_maskz_loadu_epi64(there, table + (from < count ? from : 0));
    };
    const __m512i low = _mm512_permutex2var_epi64(some(0), at, some(8));
    const __m512i high = _mm512_permutex2var_epi64(some(16), at, some(24));
    const __mmask8 is_high = _mm512_cmpgt_epi64_mask(at, _mm512_set1_epi64(15));
    return reinterpret_cast<Words>(_mm512_mask_mov_epi64(low, is_high, high));
#else
    T found[in_vector];
    for (int k = 0; k < in_vector; ++k) found[k] = table[i[k]];
    Words words;
    std::memcpy(&words, found, sizeof words);
    return words;
#endif
}

}  // namespace shmkit
