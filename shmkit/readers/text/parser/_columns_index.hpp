// Where the fields and the lines of a text end, found 64 bytes at a time; quotes are minded.
//
//   text     1 , " a , b " \n 2 , " c \n d " \n
//   quote        ^       ^          ^      ^       a bit for each byte that is a quote
//   inside       xxxxxxx            xxxxxx         between quotes: the xor of all bits before
//   ends       ^           ^    ^             ^    delimiters and line ends that are not inside
//   lines                  ^                  ^    which of the ends is a line's last
//
// Whether a byte is inside of quotes depends on nothing but the number of quotes before it. So a
// file can be cut anywhere (_columns_count.hpp).
//
// That holds where a quote opens a field or closes it (or is doubled inside). A quote elsewhere, as
// in 5" pipe, is a character as any other, by the rules of Python's csv. Such quotes are seen, as
// the byte before or behind them is no delimiter; then `by_rules` goes through the text one byte
// after another.

#pragma once

#include <memory>

#include "_columns_chunk.hpp"

namespace shmkit {

// The ends of the fields in a piece of text.
class Index {
  public:
    // Of the last call.
    uint32_t fields = 0, lines = 0;
    uint32_t lines_end = 0;  // behind the last line end
    // Of all bytes of the piece. `simple`: a field is its text, or its text between two quotes.
    // `all_quoted`: if it is simple and quoted, each field is between quotes.
    bool quoted = false, simple = true, returns = false, ascii = true, zeros = false;
    bool all_quoted = false;

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
        const bool good =
            dialect_.delimiter < 0 ? find_in<true>(text, nbytes) : find_in<false>(text, nbytes);
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

    static constexpr uint64_t last_bit = uint64_t{1} << 63;

    // Says whether all quotes were in their places.
    template <bool white>
    [[gnu::noinline]] bool find_in(const byte* text, uint32_t nbytes) {
        uint32_t* const first = ends_.get() + 1;
        uint32_t *end = first, *start = starts_.get(), *last = last_fields_.get();
        Quotes quotes;
        uint64_t strays = 0, not_ascii = 0, returns_found = 0, zeros_found = 0, quotes_found = 0;
        uint64_t bare = 0;     // ends of fields without a quote before them
        uint64_t between = 1;  // bit 0: the byte before separates
        uint64_t quote_before = 0, return_before = 0, behind_quote_before = 0;
        for (uint32_t offset = 0; offset < nbytes; offset += 64) {
            const Chunk chunk(text + offset);
            const uint64_t valid =
                nbytes - offset < 64 ? (uint64_t{1} << (nbytes - offset)) - 1 : ~uint64_t{0};
            uint64_t line_ends = chunk.equal('\n') & valid;
            const uint64_t all_line_ends = line_ends;
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
                if (!white) {
                    // A return may follow a quote only before a line end, and no quote opens there.
                    const uint64_t behind_quote = cut & (found << 1 | quote_before);
                    stray |= found & (cut << 1 | return_before);
                    stray |= behind_quote & ~(all_line_ends >> 1) & valid >> 1 & ~last_bit;
                    stray |= behind_quote_before & ~all_line_ends;
                    return_before = cut >> 63;
                    behind_quote_before = behind_quote >> 63;
                }
                strays |= stray & valid;
                line_ends &= ~within;
                parts &= ~within;
                bare |= parts & ~(found << 1 | quote_before);
                quote_before = found >> 63;
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
                    *last++ =
                        static_cast<uint32_t>(before + __builtin_popcountll(ending & up_to) - 1);
                }
            } else {
                const uint64_t before = static_cast<uint64_t>(end - first);
                end = put(end, parts, offset);
                for (; line_ends; line_ends &= line_ends - 1) {
                    const uint64_t up_to = line_ends ^ (line_ends - 1);
                    *last++ =
                        static_cast<uint32_t>(before + __builtin_popcountll(parts & up_to) - 1);
                }
            }
        }
        fields = static_cast<uint32_t>(end - first);
        lines = static_cast<uint32_t>(last - last_fields_.get());
        quoted = quotes_found != 0;
        all_quoted = bare == 0;
        simple = quotes.doubled == 0;
        returns = returns_found != 0;
        ascii = not_ascii == 0;
        zeros = zeros_found != 0;
        return !strays && !(quoted && dialect_.comment >= 0 && comments(text));
    }

    // Whether a line may be a comment, whose quotes are none.
    bool comments(const byte* text) const {
        for (int64_t i = 0; i < fields; ++i) {
            const uint32_t begin =
                stored_ && dialect_.delimiter < 0 ? starts_[i] : ends()[i - 1] + 1;
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

}  // namespace shmkit
