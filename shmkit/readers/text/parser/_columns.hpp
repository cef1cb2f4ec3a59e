// Whole lines of a text to columns, each in a buffer of its own.
//
//   text     2024-03-01,STA1,1.5\n2024-03-02,STA2,\n...        a piece of 64 KB at a time
//   ends               ^    ^   ^           ^    ^ ^           1. Index: where fields and lines end
//   rows     0,3,...                                           2. the first field of each line that
//            │                                                    is a row; up to a ragged one
//            ├─ column 0 ─▶ 19783  19784  ...                  3. column by column, numbers eight
//            ├─ column 1 ─▶ STA1   STA2   ...                     at a time (_columns_lanes.hpp),
//            └─ column 2 ─▶ 1.5    NaN    ...                     what is odd one by one
//
// A piece stays in the cache until its last column is done, as does what is written of it.
// The first field that does not fit ends it all: the rows before it are done, in all columns, and
// nothing behind counts. So the caller can take another type, and read on or again.
// The text may change meanwhile (a mapped file) without harm to the memory.

#pragma once

#include "_columns_rows.hpp"

namespace shmkit {

// What the caller gives for a column, and what is counted.
struct Target {
    Column column;
    byte* out;
    Table* table;                 // of a category
    const MissingWords* missing;  // never nullptr
    int64_t missing_found, not_ascii_found;
};

struct Parsed {
    int64_t rows, nbytes;  // that are done
    Fit fit;
    int64_t column;       // of the targets; of a ragged line, its number of fields
    int64_t start, stop;  // the field; the line, if it is ragged
};

template <bool stored>  // whether the index has the starts of fields
class Columns {
  public:
    Columns(const Dialect& dialect, Target* targets, int64_t count, int64_t fields)
        : dialect_(dialect), targets_(targets), count_(count), rows_(dialect, fields) {
        for (const bool names : {false, true}) {  // names are only of rows that fit: these wait
            for (int64_t i = 0; i < count; ++i) {
                if ((targets[i].column.kind == 'C') == names) order_.push_back(i);
            }
        }
        times_.resize(static_cast<size_t>(count));
    }

    Parsed parse(const byte* start, const byte* stop, int64_t room) {
        Parsed parsed{0, 0, Fit::good, 0, 0, 0};
        rows_.pieces(start, stop, [&](const byte* piece) {
            rows_.find(room - parsed.rows, false);
            const Misfit misfit = read(rows_.count());
            if (misfit.fit != Fit::good) {
                rows_.done = rows_.line_start(rows_.first_fields[static_cast<size_t>(misfit.row)]);
                parsed.fit = misfit.fit;
                parsed.column = misfit.column;
                parsed.start = misfit.field.begin - start;
                parsed.stop = misfit.field.end - start;
            } else if (rows_.ragged.found) {
                parsed.fit = Fit::ragged;
                parsed.column = rows_.ragged.fields;
                parsed.start = piece + rows_.ragged.start - start;
                parsed.stop = piece + rows_.ragged.stop - start;
            }
            for (Target* t = targets_; t < targets_ + count_; ++t) {
                t->out += misfit.row * t->column.width;
            }
            parsed.rows += misfit.row;
            parsed.nbytes = piece + rows_.done - start;
            return parsed.fit == Fit::good && !rows_.full;
        });
        return parsed;
    }

  private:
    struct Misfit {
        Fit fit;
        int64_t row;  // the first that does not fit, or how many do
        int64_t column;
        Text field;
    };

    const Dialect dialect_;
    Target* const targets_;
    const int64_t count_;
    Rows<stored> rows_;
    std::vector<int64_t> order_;
    std::vector<Times> times_;  // of each target
    std::vector<byte> scratch_;

    // ---- columns --------------------------------------------------------------------------------

    // Reads that many rows; the first row that does not fit, and its first such field.
    Misfit read(int64_t rows) {
        Misfit misfit{Fit::good, rows, 0, {}};
        const std::vector<Target> before(targets_, targets_ + count_);
        for (const int64_t i : order_) {
            const Misfit found = read(i, misfit.row);
            if (found.fit != Fit::good) misfit = found;
        }
        if (misfit.fit == Fit::good) return misfit;
        // What was counted behind it does not count: once more, without it.
        std::copy(before.begin(), before.end(), targets_);
        for (const int64_t i : order_) read(i, misfit.row);
        return misfit;
    }

    Misfit read(int64_t i, int64_t rows) {
        switch (targets_[i].column.kind) {
            case 'f': return read_numbers<true>(i, rows);
            case 'w':
            case 'i':
            case 'u': return read_numbers<false>(i, rows);
            default: return read_others(i, rows);
        }
    }

    template <bool real>
    Misfit read_numbers(int64_t i, int64_t rows) {
        Target& target = targets_[i];
        const Column& column = target.column;
        const Style style{static_cast<byte>(dialect_.decimal), column.guessed != 0};
        const MissingWords& missing = *target.missing;
        const bool special = !missing.numbers().empty();
        const bool direct = column.width == 8 && (column.kind == 'i' || real);
        const Texts texts = rows_.column(column.field);
        byte* out = target.out;
        byte found[8 * group * most_groups], odds[most_groups];
        int64_t row = 0;
        while (row + group <= rows) {
            const int64_t groups = std::min((rows - row) / group, most_groups);
            numbers<real>(texts.from(row), groups, style, direct ? out : found, odds);
            for (int64_t g = 0; g < groups; ++g, row += group, out += group * column.width) {
                const byte* const values = direct ? out : found + 8 * group * g;
                unsigned odd = odds[g];
                if (special) odd |= special_lanes<real>(values, missing);
                if (!direct && !put<real>(column, values, out, odd)) odd = (1 << group) - 1;
                for (; odd; odd &= odd - 1) {
                    const int64_t k = __builtin_ctz(odd);
                    byte* const here = out + k * column.width;
                    const bool empty = texts.start[row + k] == texts.end[row + k];
                    const Fit fit = empty && missing.empty() ? no_value(target, here)
                                                             : one(target, row + k, here, i);
                    if (fit != Fit::good) return misfit(fit, row + k, i);
                }
            }
        }
        for (; row < rows; ++row, out += column.width) {
            const Fit fit = one(target, row, out, i);
            if (fit != Fit::good) return misfit(fit, row, i);
        }
        return {Fit::good, rows, i, {}};
    }
    static constexpr int64_t most_groups = 64;  // whose values are kept in between

    Misfit misfit(Fit fit, int64_t row, int64_t i) const {
        return {fit, row, i, rows_.field(row, targets_[i].column.field)};
    }

    // The lanes whose numbers may be missing.
    template <bool real>
    static unsigned special_lanes(const byte* found, const MissingWords& missing) {
        unsigned lanes = 0;
        for (int k = 0; k < group; ++k) {
            double number;
            int64_t whole;
            std::memcpy(&number, found + 8 * k, 8);
            std::memcpy(&whole, found + 8 * k, 8);
            if (!real) number = static_cast<double>(whole);
            lanes |= unsigned{missing.has(number)} << k;
        }
        return lanes;
    }

    // Writes the numbers of eight lanes that are not odd; says whether the type holds all of those.
    template <bool real>
    static bool put(const Column& column, const byte* found, byte* out, unsigned odd) {
        if constexpr (real) {
            double numbers[group];
            std::memcpy(numbers, found, sizeof numbers);
            float small[group];
            for (int k = 0; k < group; ++k) small[k] = static_cast<float>(numbers[k]);
            std::memcpy(out, small, sizeof small);
            return true;
        } else {
            switch (column.kind << 4 | column.width) {
                case 'i' << 4 | 4: return put_as<int32_t>(found, out, odd);
                case 'i' << 4 | 2: return put_as<int16_t>(found, out, odd);
                case 'i' << 4 | 1: return put_as<int8_t>(found, out, odd);
                case 'u' << 4 | 8: return put_as<uint64_t>(found, out, odd);
                case 'u' << 4 | 4: return put_as<uint32_t>(found, out, odd);
                case 'u' << 4 | 2: return put_as<uint16_t>(found, out, odd);
                case 'u' << 4 | 1: return put_as<uint8_t>(found, out, odd);
                default: return put_as<double>(found, out, odd);
            }
        }
    }
    template <typename T>
    static bool put_as(const byte* found, byte* out, unsigned odd) {
        T values[group];
        int64_t wholes[group];
        std::memcpy(wholes, found, sizeof wholes);
        bool good = true;
        for (int k = 0; k < group; ++k) {
            const int64_t value = wholes[k];
            values[k] = static_cast<T>(value);
            bool same = static_cast<int64_t>(values[k]) == value;
            if (std::is_same_v<T, uint64_t>) same = value >= 0;
            if (std::is_same_v<T, double>) same = -exact <= value && value <= exact;
            good &= same || (odd >> k & 1);
        }
        std::memcpy(out, values, sizeof values);
        return good;
    }
    static constexpr int64_t exact = int64_t{1} << 53;  // up to it a double holds whole numbers

    Misfit read_others(int64_t i, int64_t rows) {
        Target& target = targets_[i];
        const Column column = target.column;
        const Index& index = rows_.index();
        byte* out = target.out;
        Times times = times_[static_cast<size_t>(i)];
        // What needs no second look is read in one go.
        const bool plain = index.simple && index.ascii && !index.zeros;
        const Texts texts = plain ? rows_.column(column.field) : Texts{};
        for (int64_t row = 0; row < rows; ++row, out += column.width) {
            if (plain) {
                const byte* const begin = texts.text + texts.start[row];
                const byte* const end = texts.text + texts.end[row];
                const int64_t n = end - begin;
                if (column.kind == 'S' && n <= column.width) {
                    if (column.width == 8) {
                        copy8(begin, n, out);
                    } else {
                        copy(begin, n, out, column.width);
                    }
                    continue;
                }
                if (column.kind == 'M' && time(column, {begin, end}, out, times) == Fit::good) {
                    continue;
                }
            }
            const Fit fit = one(target, row, out, i);
            if (fit != Fit::good) return misfit(fit, row, i);
        }
        times_[static_cast<size_t>(i)] = times;
        return {Fit::good, rows, i, {}};
    }

    // ---- one field ------------------------------------------------------------------------------

    // Writes a value for a missing word, where the type has one.
    static Fit no_value(Target& target, byte* out) {
        const Column& column = target.column;
        if (column.kind == 'M') {
            const int64_t nat = std::numeric_limits<int64_t>::min();
            std::memcpy(out, &nat, 8);
        } else if (column.kind == 'f' && column.width == 4) {
            const float nan = std::numeric_limits<float>::quiet_NaN();
            std::memcpy(out, &nan, 4);
        } else if (column.kind == 'f' || column.kind == 'w') {
            const double nan = std::numeric_limits<double>::quiet_NaN();
            std::memcpy(out, &nan, 8);
        } else {
            return Fit::missing;
        }
        ++target.missing_found;
        return Fit::good;
    }

    [[gnu::noinline]] Fit one(Target& target, int64_t row, byte* out, int64_t i) {
        const Column& column = target.column;
        Times& times = times_[static_cast<size_t>(i)];
        Text text = content(rows_.field(row, column.field), dialect_.quote, scratch_);
        if (column.kind == 'S' || column.kind == 'C') return put_text(target, text, out);
        text = text.trimmed();
        const Fit fit = value(target, text, out, times);
        if (fit == Fit::missing || (fit != Fit::good && target.missing->has(text))) {
            return no_value(target, out);
        }
        return fit;
    }

    // Fit::missing: it is a number that means missing.
    Fit value(const Target& target, Text text, byte* out, Times& times) const {
        const Column& column = target.column;
        const MissingWords& missing = *target.missing;
        const byte point = static_cast<byte>(dialect_.decimal);
        if (column.kind == 'M') return time(column, text, out, times);
        if (column.kind == 'b') {
            byte truth;
            if (!read_truth(text, truth)) return Fit::no_number;
            *out = truth;
            return Fit::good;
        }
        Whole whole;
        const bool is_whole = read_whole(text, whole);
        double number;
        if (column.kind == 'f' || !is_whole || !missing.numbers().empty()) {
            if (!read_real(text, point, number)) return Fit::no_number;
            if (missing.has(number) || (number != number && missing.has(text))) return Fit::missing;
        }
        if (is_whole && whole.zero_first && column.guessed) return Fit::zero_first;
        if (column.kind == 'f') {
            if (column.width == 8) {
                std::memcpy(out, &number, 8);
            } else {
                const float small = static_cast<float>(number);
                std::memcpy(out, &small, 4);
            }
            return Fit::good;
        }
        if (!is_whole) return Fit::fraction;
        return put_whole(column, whole, out);
    }

    static Fit put_whole(const Column& column, const Whole& whole, byte* out) {
        if (!whole.fits) return Fit::too_large;
        const auto store = [&](auto zero) {
            using T = decltype(zero);
            const uint64_t limit = static_cast<uint64_t>(std::numeric_limits<T>::max());
            const bool is_signed = std::numeric_limits<T>::is_signed;
            if (whole.negative && !is_signed && whole.size) return Fit::too_large;
            if (whole.size > limit + (whole.negative && is_signed)) return Fit::too_large;
            const T value = static_cast<T>(whole.negative ? 0 - whole.size : whole.size);
            std::memcpy(out, &value, sizeof value);
            return Fit::good;
        };
        switch (column.kind << 4 | column.width) {
            case 'i' << 4 | 8: return store(int64_t{});
            case 'i' << 4 | 4: return store(int32_t{});
            case 'i' << 4 | 2: return store(int16_t{});
            case 'i' << 4 | 1: return store(int8_t{});
            case 'u' << 4 | 8: return store(uint64_t{});
            case 'u' << 4 | 4: return store(uint32_t{});
            case 'u' << 4 | 2: return store(uint16_t{});
            case 'u' << 4 | 1: return store(uint8_t{});
            default: break;
        }
        if (whole.size > static_cast<uint64_t>(exact)) return Fit::too_large;
        double value = static_cast<double>(whole.size);
        if (whole.negative && whole.size) value = -value;
        std::memcpy(out, &value, 8);
        return Fit::good;
    }

    [[gnu::always_inline]] static Fit time(const Column& column, Text text, byte* out,
                                           Times& times) {
        Time found;
        if (!times.read(text.begin, text.end, found)) return Fit::no_number;
        if (found.offset != (column.offsets != 0)) return Fit::offset;
        int64_t count;
        if (!found.in(static_cast<Unit>(column.unit), count)) return Fit::too_fine;
        std::memcpy(out, &count, 8);
        return Fit::good;
    }

    Fit put_text(Target& target, Text text, byte* out) const {
        if (!rows_.index().ascii && !is_ascii(text)) {
            if (!is_utf8(text)) return Fit::not_utf8;
            ++target.not_ascii_found;
        }
        const int64_t n = text.nbytes();
        if (target.column.kind == 'C') {
            if (rows_.index().zeros && std::memchr(text.begin, 0, static_cast<size_t>(n)))
                return Fit::nul;
            const int32_t code = target.table->code(text.begin, n);
            if (code < 0) return Fit::too_many;
            const uint16_t small = static_cast<uint16_t>(code);
            std::memcpy(out, &small, 2);
            return Fit::good;
        }
        if (n > target.column.width) return Fit::too_long;
        if (n && text.end[-1] == 0) return Fit::nul;
        copy(text.begin, n, out, target.column.width);
        return Fit::good;
    }
};

// Reads whole lines of start..stop into the targets, of which each has room for so many rows; each
// line that is a row has so many fields.
inline Parsed parse_columns(const byte* start, const byte* stop, const Dialect& dialect,
                            Target* targets, int64_t count, int64_t fields, int64_t room) {
    if (dialect.delimiter < 0 || dialect.skip_blanks) {
        return Columns<true>(dialect, targets, count, fields).parse(start, stop, room);
    }
    return Columns<false>(dialect, targets, count, fields).parse(start, stop, room);
}

}  // namespace shmkit
