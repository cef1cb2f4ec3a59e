// The lines of a part of a text, which may begin outside of quotes or inside.
//
//   part     d " \n 1 , " a \n b " \n      begins:   outside   inside
//   outside            xxxxxxxx                lines     1 ...     2
//   inside   xx                                          so each part is counted both ways at once
//
// Whether a part begins inside is known when all parts before it are counted: each changes sides or
// does not. So parts are counted side by side, and a quoted file can be split anywhere.
//
// With a quote that is out of place nothing of this is sure: how many there are is counted, too.

#pragma once

#include "_columns_chunk.hpp"

namespace shmkit {

// What is in a part of a text that begins outside of quotes, or inside.
struct Counted {
    int64_t lines = 0;        // line ends outside of quotes
    int64_t without_row = 0;  // of lines that are empty, or begin with the comment sign
    int64_t strays = 0;       // quotes that are out of place
    int64_t first_end = -1;   // offset of the first such line end
};

// What is in start..stop for either begin; says whether it ends on the other side. Two bytes before
// start are looked at.
inline bool count(const byte* start, const byte* stop, const Dialect dialect,
                  Counted (&result)[2]) {
    Counted found[2];
    const bool white = dialect.delimiter < 0;
    const int comment = dialect.comment < 0 ? '\n' : dialect.comment;
    const auto parts_fields = [&](byte c) {
        return c == '\n' || c == '\r' || (white ? c == ' ' || c == '\t' : c == dialect.delimiter);
    };
    // Of the side that begins outside; the other one is always on the other side.
    Quotes quotes(false);
    const bool quote_before = start[-1] == dialect.quote;
    quotes.may_open = parts_fields(start[-1]) || quote_before;
    quotes.just_closed = quote_before;
    uint64_t other_closed = 0;  // just_closed of the other one
    bool none_before = false;  // quotes in the chunk before
    uint64_t line_end_before = start[-1] == '\n';
    uint64_t return_at_begin = start[-1] == '\r' && start[-2] == '\n';  // of a line
    uint64_t return_before = start[-1] == '\r';
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
        if (!quotes_here && !quotes.just_closed && !other_closed) {
            // Most texts: all of it is outside for one side, and inside for the other.
            Counted& side = found[quotes.inside != 0];
            if (side.first_end < 0 && ends) side.first_end = p - start + __builtin_ctzll(ends);
            side.lines += __builtin_popcountll(ends);
            if (without_row) side.without_row += __builtin_popcountll(without_row);
            none_before = true;
        } else {
            if (none_before) quotes.may_open = parts_fields(p[-1]);
            none_before = false;
            const uint64_t parts =
                ends | cut |
                (white ? chunk.equal(' ') | chunk.equal('\t') : chunk.equal(dialect.delimiter));
            uint64_t strays[2];
            const uint64_t within = quotes.pass_both(quotes_here, parts, other_closed, strays);
            const uint64_t behind_return = white ? 0 : quotes_here & (cut << 1 | return_before);
            const uint64_t lines[2] = {ends & ~within, ends & within};
            for (int i = 0; i < 2; ++i) {
                found[i].strays += __builtin_popcountll((strays[i] | behind_return) & valid);
                if (found[i].first_end < 0 && lines[i]) {
                    found[i].first_end = p - start + __builtin_ctzll(lines[i]);
                }
                found[i].lines += __builtin_popcountll(lines[i]);
            }
            if (without_row) {
                found[0].without_row += __builtin_popcountll(without_row & ~within);
                found[1].without_row += __builtin_popcountll(without_row & within);
            }
        }
        line_end_before = ends >> 63;
        return_at_begin = cut_begin >> 63;
        return_before = cut >> 63;
    }
    std::copy(found, found + 2, result);
    return quotes.inside != 0;
}

}  // namespace shmkit
