// What the fields of a sample are, column by column: the facts from which a type is chosen.
//
//   temp          class        how many   the first one
//   21.5          real         3          row 0, "21.5"
//   NA            missing      1          row 1, "NA"
//   <0.5          text         1          row 2, "<0.5"       so it is text, and this is why
//   22.0
//   19.5
//
// Each field has one class, the first of those below that it is one of. Numbers of columns of
// numbers are told eight at a time (_columns_lanes.hpp); all else goes one by one.

#pragma once

#include "_columns_rows.hpp"

namespace shmkit {

// _parser.pyi lists them, too.
enum Class : int {
    empty_field,
    missing_word,  // of those that mean missing anywhere but in text
    weak_word,     // of those that do where all else is numbers
    whole,         // up to 2**53: float64 holds it
    whole_int64,   // more, that int64 holds
    whole_uint64,  // more
    whole_large,   // more
    zero_first,    // a whole number that begins with a zero, but for 0
    real,          // another number; inf and nan too
    truth,
    date,
    time_second,  // least unit that holds it
    time_milli,
    time_micro,
    time_nano,
    utc_second,  // with an offset from UTC
    utc_milli,
    utc_micro,
    utc_nano,
    other_text,
    classes
};

struct Facts {
    int64_t count[classes];
    int64_t first_row[classes];    // of the sample
    int64_t first_start[classes];  // bytes of the sample
    int64_t first_stop[classes];
    int64_t nbytes;      // of the longest field, as text
    int64_t not_ascii;   // fields
    int64_t not_utf8;    // fields
    int64_t words;       // a bit for each missing word that was seen, of the first 63
    int64_t weak_words;  // the same
    int64_t not_nano;    // times that nanoseconds do not hold: before 1677 or after 2262
};

struct Inferred {
    int64_t rows, nbytes;  // that were looked at
    int64_t ragged;        // lines with another number of fields: no rows
    int64_t ragged_start, ragged_stop, ragged_fields;  // the first
};

template <bool stored>
class Inference {
  public:
    Inference(const Dialect& dialect, int64_t fields, const MissingWords& words,
              const MissingWords& weak, Facts* facts)
        : dialect_(dialect),
          fields_(fields),
          words_(words),
          weak_(weak),
          facts_(facts),
          rows_(dialect, fields),
          lanes_good_(static_cast<size_t>(fields), true) {
        // What may begin something else than text.
        for (const byte c : "+-.0123456789iInNtTfF") may_begin_[c] = true;
        may_begin_[static_cast<byte>(dialect.decimal)] = true;
    }

    Inferred infer(const byte* start, const byte* stop) {
        Inferred inferred{0, 0, 0, 0, 0, 0};
        start_ = start;
        rows_.pieces(start, stop, [&](const byte* piece) {
            rows_.find(std::numeric_limits<int64_t>::max(), true);
            if (rows_.ragged.found && inferred.ragged == 0) {
                inferred.ragged_fields = rows_.ragged.fields;
                inferred.ragged_start = piece + rows_.ragged.start - start;
                inferred.ragged_stop = piece + rows_.ragged.stop - start;
            }
            inferred.ragged += rows_.ragged.count;
            for (int64_t i = 0; i < fields_; ++i) look_at(i, inferred.rows);
            inferred.rows += rows_.count();
            inferred.nbytes = piece + rows_.done - start;
            return true;
        });
        return inferred;
    }

  private:
    const Dialect dialect_;
    const int64_t fields_;
    const MissingWords &words_, &weak_;
    Facts* const facts_;
    Rows<stored> rows_;
    std::vector<bool> lanes_good_;  // of each column: whether some of the last ones were numbers
    std::vector<byte> scratch_;
    const byte* start_ = nullptr;
    Times times_;
    bool may_begin_[256] = {};

    void look_at(int64_t column, int64_t rows_before) {
        Facts& facts = facts_[column];
        const int64_t rows = rows_.count();
        const Style style{static_cast<byte>(dialect_.decimal), true};
        const bool special = !words_.numbers().empty() || !weak_.numbers().empty();
        bool lanes = false;
        constexpr unsigned all_lanes = (1 << group) - 1;
        const Texts texts = rows_.column(column);
        int64_t wholes[group * at_once];
        uint64_t reals[group * at_once];
        byte not_whole[at_once], not_real[at_once];
        int64_t row = 0;
        for (int64_t at = at_once; row + group <= rows; row += group, ++at) {
            if (at == at_once) {
                const int64_t groups = std::min((rows - row) / group, at_once);
                lanes = lanes_good_[static_cast<size_t>(column)] && !special;
                if (lanes) {
                    const Texts next = texts.from(row);
                    numbers<false>(next, groups, style, reinterpret_cast<byte*>(wholes), not_whole);
                    numbers<true>(next, groups, style, reinterpret_cast<byte*>(reals), not_real);
                }
                at = 0;
                lanes_good_[static_cast<size_t>(column)] = false;
            }
            unsigned left = all_lanes;
            if (lanes) {
                const unsigned odd = not_whole[at];
                unsigned small = 0;
                for (int k = 0; k < group; ++k) {
                    const int64_t value = wholes[group * at + k];
                    small |= unsigned{-exact <= value && value <= exact} << k;
                }
                tell(facts, whole, ~odd & small, rows_before, row, column);
                tell(facts, real, odd & ~not_real[at] & all_lanes, rows_before, row, column);
                left = (odd & not_real[at]) | (~odd & ~small & all_lanes);
                for (int k = 0; k < group; ++k) {
                    const int64_t nbytes = texts.end[row + k] - texts.start[row + k];
                    facts.nbytes = std::max(facts.nbytes, left >> k & 1 ? 0 : nbytes);
                }
            }
            unsigned numbers_found = all_lanes & ~left;
            for (; left; left &= left - 1) {
                const int k = __builtin_ctz(left);
                const Class found = one(facts, rows_.field(row + k, column));
                tell(facts, found, 1U << k, rows_before, row, column);
                numbers_found |= unsigned{found == whole || found == real} << k;
            }
            if (numbers_found) lanes_good_[static_cast<size_t>(column)] = true;
        }
        for (; row < rows; ++row) {
            const Class found = one(facts, rows_.field(row, column));
            tell(facts, found, 1, rows_before, row, column);
        }
    }

    static constexpr int64_t at_once = 32;  // groups
    static constexpr int64_t exact = int64_t{1} << 53;

    // Counts fields from a row on, a bit for each.
    void tell(Facts& facts, Class found, unsigned fields, int64_t rows_before, int64_t row,
              int64_t column) const {
        if (!fields) return;
        const int64_t first = row + __builtin_ctz(fields);
        if (facts.count[found] == 0 || rows_before + first < facts.first_row[found]) {
            const Text text = rows_.field(first, column);
            facts.first_row[found] = rows_before + first;
            facts.first_start[found] = text.begin - start_;
            facts.first_stop[found] = text.end - start_;
        }
        facts.count[found] += __builtin_popcount(fields);
    }

    Class one(Facts& facts, Text text) {
        text = content(text, dialect_.quote, scratch_);
        facts.nbytes = std::max(facts.nbytes, text.nbytes());
        if (!rows_.index().ascii && !is_ascii(text)) {
            ++facts.not_ascii;
            facts.not_utf8 += !is_utf8(text);
        }
        text = text.trimmed();
        if (text.begin == text.end) return empty_field;
        if (const int64_t word = words_.find(text); word >= 0) {
            facts.words |= int64_t{word < 63} << (word & 63);
            return missing_word;
        }
        if (const int64_t word = weak_.find(text); word >= 0) {
            facts.weak_words |= int64_t{word < 63} << (word & 63);
            return weak_word;
        }
        if (!may_begin_[*text.begin]) return other_text;
        Whole number;
        if (read_whole(text, number)) {
            if (is_missing(text)) return missing_word;
            if (number.zero_first) return zero_first;
            if (!number.fits) return whole_large;
            const uint64_t limit = uint64_t{1} << 63;
            if (number.size <= static_cast<uint64_t>(exact)) return whole;
            if (number.size < limit + number.negative) return whole_int64;
            return number.negative ? whole_large : whole_uint64;
        }
        double value;
        if (read_real(text, static_cast<byte>(dialect_.decimal), value)) {
            return words_.has(value) ? missing_word : real;
        }
        byte is_true;
        if (read_truth(text, is_true)) return truth;
        Time time;
        if (!times_.read(text.begin, text.end, time)) return other_text;
        int64_t nanos;
        facts.not_nano += !time.in(Unit::nano, nanos);
        if (time.is_date) return date;
        const int unit = static_cast<int>(time.unit()) - static_cast<int>(Unit::second);
        return static_cast<Class>((time.offset ? utc_second : time_second) + unit);
    }

    bool is_missing(Text text) const {
        double value;
        return !words_.numbers().empty() && read_real(text, '.', value) && words_.has(value);
    }
};

inline Inferred infer(const byte* start, const byte* stop, const Dialect& dialect, int64_t fields,
                      const MissingWords& words, const MissingWords& weak, Facts* facts) {
    if (dialect.delimiter < 0 || dialect.skip_blanks) {
        return Inference<true>(dialect, fields, words, weak, facts).infer(start, stop);
    }
    return Inference<false>(dialect, fields, words, weak, facts).infer(start, stop);
}

}  // namespace shmkit
