// Where the fields and the lines of a text end, found 64 bytes at a time; quotes are minded.
//
//   text     1 , " a , b " \n 2 , " c \n d " \n
//   quote        ^       ^          ^      ^       a bit for each byte that is a quote
//   inside       xxxxxxx            xxxxxx         between quotes: the xor of all bits before
//   ends       ^           ^    ^             ^    delimiters and line ends that are not inside
//   lines                  ^                  ^    which of the ends is a line's last
//
// Whether a byte is inside of quotes depends on nothing but the number of quotes before it. So a
// file can be cut anywhere: `count` looks at a part as if it began outside of quotes, and as if it
// began inside; the parts before it then say which is true.
//
// That holds where a quote opens a field or closes it (or is doubled inside). A quote elsewhere, as
// in 5" pipe, is a character as any other, by the rules of Python's csv. Such quotes are seen, as
// the byte before or behind them is no delimiter; then `by_rules` goes through the text one byte
// after another. `count` says how many there are: with one, nothing that it says is sure.

#pragma once

#include <memory>

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

// ---- 64 bytes -----------------------------------------------------------------------------------

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
inline uint64_t filled(uint64_t bits) { return -(bits >> 63); }

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
    // The same where there are no quotes.
    uint64_t pass_none(uint64_t parts, uint64_t& strays) {
        strays |= just_closed & ~parts;
        may_open = parts >> 63;
        just_closed = 0;
        return inside;
    }
};

// ---- fields and lines ---------------------------------------------------------------------------

// The ends of the fields in a piece of text.
class Index {
  public:
    // Of the last call.
    uint32_t fields = 0, lines = 0;
    uint32_t lines_end = 0;  // behind the last line end
    // Of all bytes of the piece. `simple`: a field is its text, or its text between two quotes.
    bool quoted = false, simple = true, returns = false, ascii = true, zeros = false;

    // Where a field ends, and begins if not one byte behind the end of the one before it.
    const uint32_t* ends() const { return ends_.get() + 1; }
    const uint32_t* starts() const { return starts_.get(); }
    // The last field of each line, or the one before the line if it is empty.
    const uint32_t* last_fields() const { return last_fields_.get(); }

    explicit Index(const Dialect& dialect)
        : dialect_(dialect), stored_(dialect.delimiter < 0 || dialect.skip_blanks) {}

    // Goes through a text that begins outside of quotes, where a line begins.
    void find(const byte* text, uint32_t nbytes) {
        reserve(nbytes);
        fields = lines = lines_end = 0;
        quoted = returns = zeros = false;
        ascii = true;
        const bool good = dialect_.delimiter < 0 ? find_in<true>(text, nbytes)
                                                 : find_in<false>(text, nbytes);
        if (!good) by_rules(text, nbytes);
        simple &= good;
        if (dialect_.delimiter >= 0 && stored_) skip_blanks(text);
    }

  private:
    Dialect dialect_;
    bool stored_;
    uint32_t room_ = 0;
    std::unique_ptr<uint32_t[]> ends_, starts_, last_fields_;

    void reserve(uint32_t nbytes) {
        if (nbytes < room_) return;
        room_ = nbytes + 1;
        // 64 more, as so many are written at once; one before the first is the end before the text.
        ends_.reset(new uint32_t[room_ + 1 + 64]);
        ends_[0] = ~uint32_t{0};
        if (stored_) starts_.reset(new uint32_t[room_ + 64]);
        last_fields_.reset(new uint32_t[room_]);
    }

    // The offsets of the bits, written to `out`; up to 63 behind them are written over.
    static uint32_t* put(uint32_t* out, uint64_t bits, uint32_t offset) {
        const int count = __builtin_popcountll(bits);
#if defined(__AVX512VBMI2__)
        const __m512i all = _mm512_set_epi64(
            0x3f3e3d3c3b3a3938, 0x3736353433323130, 0x2f2e2d2c2b2a2928, 0x2726252423222120,
            0x1f1e1d1c1b1a1918, 0x1716151413121110, 0x0f0e0d0c0b0a0908, 0x0706050403020100);
        const __m512i set = _mm512_maskz_compress_epi8(bits, all), base = _mm512_set1_epi32(offset);
        const auto store = [&](int i, __m128i some) {
            _mm512_storeu_si512(out + i, _mm512_add_epi32(base, _mm512_cvtepu8_epi32(some)));
        };
        store(0, _mm512_castsi512_si128(set));
        if (count > 16) store(16, _mm512_extracti32x4_epi32(set, 1));
        if (count > 32) {
            store(32, _mm512_extracti32x4_epi32(set, 2));
            store(48, _mm512_extracti32x4_epi32(set, 3));
        }
#else
        for (uint32_t *p = out, *const end = out + count; p < end; p += 8) {  // fewer: more jumps
            for (int i = 0; i < 8; ++i, bits &= bits - 1) {
                p[i] = offset + __builtin_ctzll(bits | uint64_t{1} << 63);
            }
        }
#endif
        return out + count;
    }

    // Says whether all quotes were in their places.
    template <bool white>
    [[gnu::noinline]] bool find_in(const byte* text, uint32_t nbytes) {
        uint32_t* const first = ends_.get() + 1;
        uint32_t *end = first, *start = starts_.get(), *last = last_fields_.get();
        Quotes quotes;
        uint64_t strays = 0, not_ascii = 0, returns_found = 0, zeros_found = 0, quotes_found = 0;
        uint64_t between = 1;  // bit 0: the byte before separates
        for (uint32_t offset = 0; offset < nbytes; offset += 64) {
            const Chunk chunk(text + offset);
            const uint64_t valid = nbytes - offset < 64 ? (uint64_t{1} << (nbytes - offset)) - 1
                                                        : ~uint64_t{0};
            uint64_t line_ends = chunk.equal('\n') & valid;
            uint64_t parts = line_ends | (chunk.equal(white ? ' ' : dialect_.delimiter) & valid);
            uint64_t cut = 0;
            // What is rare is looked for where there is anything of it.
            if (chunk.not_printed() & valid & ~parts) {
                cut = chunk.equal('\r') & valid;
                not_ascii |= chunk.not_ascii() & valid;
                zeros_found |= chunk.equal(0) & valid;
                returns_found |= cut;
                if (white) parts |= cut | (chunk.equal('\t') & valid);
            }
            if (dialect_.quote >= 0) {
                const uint64_t found = chunk.equal(dialect_.quote) & valid;
                quotes_found |= found;
                uint64_t stray = 0;
                const uint64_t within = found ? quotes.pass(found, parts | cut, stray)
                                              : quotes.pass_none(parts | cut, stray);
                strays |= stray & valid;
                line_ends &= ~within;
                parts &= ~within;
            }
            if (line_ends) lines_end = offset + 64 - __builtin_clzll(line_ends);
            if (white) {
                const uint64_t text_before = ~(parts << 1 | between);
                const uint64_t starting = ~parts & ~text_before & valid;
                start = put(start, starting, offset);
                const uint64_t before = static_cast<uint64_t>(end - first);
                const uint64_t ending = parts & text_before;
                end = put(end, ending, offset);
                between = parts >> 63;
                for (; line_ends; line_ends &= line_ends - 1) {
                    const uint64_t up_to = line_ends ^ (line_ends - 1);
                    *last++ = static_cast<uint32_t>(before + __builtin_popcountll(ending & up_to) - 1);
                }
            } else {
                const uint64_t before = static_cast<uint64_t>(end - first);
                end = put(end, parts, offset);
                for (; line_ends; line_ends &= line_ends - 1) {
                    const uint64_t up_to = line_ends ^ (line_ends - 1);
                    *last++ = static_cast<uint32_t>(before + __builtin_popcountll(parts & up_to) - 1);
                }
            }
        }
        fields = static_cast<uint32_t>(end - first);
        lines = static_cast<uint32_t>(last - last_fields_.get());
        quoted = quotes_found != 0;
        simple = quotes.doubled == 0;
        returns = returns_found != 0;
        ascii = not_ascii == 0;
        zeros = zeros_found != 0;
        return !strays && !(quoted && dialect_.comment >= 0 && comments(text));
    }

    // Whether a line may be a comment, whose quotes are none.
    bool comments(const byte* text) const {
        for (int64_t i = 0; i < fields; ++i) {
            const uint32_t begin = stored_ && dialect_.delimiter < 0 ? starts_[i] : ends()[i - 1] + 1;
            if (text[begin] == dialect_.comment) return true;
        }
        return false;
    }

    bool separates(byte c) const {
        if (dialect_.delimiter >= 0) return c == dialect_.delimiter || c == '\n';
        return c == ' ' || c == '\t' || c == '\r' || c == '\n';
    }

    // As find_in, with the rules of csv for quotes that are out of place, and with comments.
    [[gnu::noinline]] void by_rules(const byte* text, uint32_t nbytes) {
        const bool white = dialect_.delimiter < 0;
        fields = lines = lines_end = 0;
        bool line_begins = true;
        for (uint32_t i = 0; i < nbytes;) {
            if (white || dialect_.skip_blanks) {
                while (i < nbytes && (text[i] == ' ' || (white && separates(text[i]))) &&
                       text[i] != '\n') {
                    ++i;
                }
                if (i == nbytes) return;
            }
            if (white && text[i] == '\n') {
                last_fields_[lines++] = fields - 1;
                lines_end = ++i;
                line_begins = true;
                continue;
            }
            const uint32_t start = i;
            const bool is_comment = line_begins && text[i] == dialect_.comment;
            bool inside = !is_comment && text[i] == dialect_.quote;
            i += inside;
            for (; i < nbytes; ++i) {
                if (inside) {
                    if (text[i] != dialect_.quote) continue;
                    if (i + 1 < nbytes && text[i + 1] == dialect_.quote) {
                        ++i;
                    } else {
                        inside = false;
                    }
                } else if (is_comment ? text[i] == '\n' : separates(text[i])) {
                    break;
                }
            }
            if (i == nbytes) return;  // a line without an end
            if (white) starts_[fields] = start;
            ends_[1 + fields++] = i;
            line_begins = false;
            if (white && is_comment) continue;  // the line end is still to come
            if (text[i] == '\n' && !white) {
                last_fields_[lines++] = fields - 1;
                lines_end = i + 1;
                line_begins = true;
            }
            i += !white;
        }
    }

    void skip_blanks(const byte* text) {
        for (int64_t i = 0; i < fields; ++i) {
            uint32_t start = ends()[i - 1] + 1;
            while (start < ends()[i] && text[start] == ' ') ++start;
            starts_[i] = start;
        }
    }
};

// ---- counting -----------------------------------------------------------------------------------

// What is in a part of a text that begins outside of quotes, or inside.
struct Counted {
    int64_t lines = 0;        // line ends outside of quotes
    int64_t without_row = 0;  // of lines that are empty, or begin with the comment sign
    int64_t strays = 0;       // quotes that are out of place
    int64_t first_end = -1;   // offset of the first such line end
};

// What is in start..stop for either begin; says whether it ends on the other side. Two bytes before
// start are looked at.
inline bool count(const byte* start, const byte* stop, const Dialect& dialect,
                  Counted (&found)[2]) {
    const bool white = dialect.delimiter < 0;
    const int comment = dialect.comment < 0 ? '\n' : dialect.comment;
    const auto parts_fields = [&](byte c) {
        return c == '\n' || c == '\r' || (white ? c == ' ' || c == '\t' : c == dialect.delimiter);
    };
    Quotes quotes[2] = {Quotes(false), Quotes(true)};
    for (int i = 0; i < 2; ++i) {
        const bool is_quote = start[-1] == dialect.quote;
        quotes[i].may_open = parts_fields(start[-1]) || is_quote;
        quotes[i].just_closed = is_quote && i == 0;
    }
    uint64_t line_end_before = start[-1] == '\n';
    uint64_t return_at_begin = start[-1] == '\r' && start[-2] == '\n';  // of a line
    byte rest[64];
    for (const byte* p = start; p < stop; p += 64) {
        uint64_t valid = ~uint64_t{0};
        const byte* here = p;
        if (stop - p < 64) {
            std::memset(rest, 0, sizeof rest);
            std::memcpy(rest, p, stop - p);
            here = rest;
            valid = (uint64_t{1} << (stop - p)) - 1;
        }
        const Chunk chunk(here);
        const uint64_t ends = chunk.equal('\n'), cut = chunk.equal('\r');
        const uint64_t begins = ends << 1 | line_end_before;  // of lines
        // An empty line is one of \n, or \r\n; it counts where it ends.
        const uint64_t cut_begin = cut & begins;
        const uint64_t empty = ends & (begins | cut_begin << 1 | return_at_begin);
        const uint64_t comments = chunk.equal(comment) & begins & valid;
        const uint64_t without_row = empty | comments;
        const uint64_t quotes_here = dialect.quote < 0 ? 0 : chunk.equal(dialect.quote);
        const bool any = quotes_here || quotes[0].just_closed || quotes[1].just_closed;
        uint64_t parts = 0;
        if (dialect.quote >= 0) {
            parts = ends | cut |
                    (white ? chunk.equal(' ') | chunk.equal('\t') : chunk.equal(dialect.delimiter));
        }
        for (int i = 0; i < 2; ++i) {
            uint64_t strays = 0, within = quotes[i].inside;
            if (any) {
                within = quotes[i].pass(quotes_here, parts, strays);
                found[i].strays += __builtin_popcountll(strays & valid);
            } else {
                quotes[i].may_open = parts >> 63;
            }
            const uint64_t lines = ends & ~within;
            if (found[i].first_end < 0 && lines) {
                found[i].first_end = p - start + __builtin_ctzll(lines);
            }
            found[i].lines += __builtin_popcountll(lines);
            found[i].without_row += __builtin_popcountll(without_row & ~within);
        }
        line_end_before = ends >> 63;
        return_at_begin = cut_begin >> 63;
    }
    return quotes[0].inside != 0;
}

}  // namespace shmkit
