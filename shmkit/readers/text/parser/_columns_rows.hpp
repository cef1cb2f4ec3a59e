// The rows in a piece of text, and their fields.
//
//   ends    0    1   2    3  4    5   6      of fields, by the index
//   lines   a  , b , c \n    \n   # d , e \n  ...
//   rows    0                                the first field of each line that is a row: not the
//                                            empty one, nor the comment
//
// A field of a row is that many behind the row's first one; so a column is had by a gather.

#pragma once

#include <algorithm>
#include <vector>

#include "_columns_fields.hpp"

namespace shmkit {

constexpr int64_t around = 64;  // bytes before and behind the text that may be loaded

template <bool stored>  // whether the index has the starts of fields
class Rows {
  public:
    struct Ragged {
        bool found = false;
        int64_t count = 0;   // of such lines
        int64_t fields = 0;  // of the first one
        uint32_t start = 0, stop = 0;
    };
    std::vector<uint32_t> first_fields;
    uint32_t done = 0;  // bytes of the lines that were looked at
    bool full = false;  // one more row is there than was wanted
    Ragged ragged;      // the first line with other than `fields` fields

    Rows(const Dialect& dialect, int64_t fields)
        : dialect_(dialect), fields_(fields), index_(dialect) {}

    const Index& index() const { return index_; }
    int quote() const { return dialect_.quote; }
    int64_t count() const { return static_cast<int64_t>(first_fields.size()); }

    // Goes from start to stop in pieces that have a line end each; calls `take` with where a piece
    // begins, until that says false. It says how many bytes are done by `done`.
    template <typename Take>
    void pieces(const byte* start, const byte* stop, Take take) {
        int64_t most = piece;
        for (const byte* p = start; p < stop;) {
            const int64_t nbytes = std::min<int64_t>(most, stop - p);
            index_.find(p, static_cast<uint32_t>(nbytes));
            if (index_.lines == 0) {  // a long line, or one without an end
                if (nbytes == stop - p || nbytes == largest) return;
                most = std::min<int64_t>(2 * most, largest);
                continue;
            }
            text_ = p;
            if (!take(p)) return;
            p += done;
        }
    }

    // Calls `row` with the first field and the number of fields of each line that may be a row,
    // until that says false.
    template <typename Row>
    void lines(Row row) {
        const uint32_t* const last = index_.last_fields();
        const bool plain = dialect_.comment < 0;
        uint32_t first = 0;
        for (uint32_t line = 0; line < index_.lines; first = last[line++] + 1) {
            const uint32_t found = last[line] + 1 - first;
            if (!plain || found < 2) {
                if (found == 0) continue;
                const byte* const begin = text_ + line_start(first);
                if (*begin == dialect_.comment) continue;
                if (found == 1 &&
                    Text{begin, text_ + index_.ends()[first]}.trimmed().nbytes() == 0) {
                    continue;
                }
            }
            if (!row(first, found)) {
                done = line_start(first);
                return;
            }
        }
        done = index_.lines_end;
    }

    // Finds the rows, at most `most`; up to a ragged line, or without such lines.
    void find(int64_t most, bool skip_ragged) {
        const uint32_t fields = static_cast<uint32_t>(fields_);
        first_fields.clear();
        ragged = {};
        full = false;
        lines([&](uint32_t first, uint32_t found) {
            if (count() == most) return !(full = true);
            if (found == fields) {
                first_fields.push_back(first);
                return true;
            }
            if (ragged.count++ == 0) {
                ragged = {true, 1, found, line_start(first), index_.ends()[first + found - 1]};
            }
            return skip_ragged;
        });
    }

    uint32_t start_of(uint32_t field) const {
        return stored ? index_.starts()[field] : index_.ends()[int64_t{field} - 1] + 1;
    }
    // Where the line of a row begins: with white space, where its first field does.
    uint32_t line_start(uint32_t field) const {
        return dialect_.delimiter < 0 ? start_of(field) : index_.ends()[int64_t{field} - 1] + 1;
    }
    Text field_at(uint32_t i) const {
        Text text{text_ + start_of(i), text_ + index_.ends()[i]};
        if (*text.end == '\n' && text.end > text.begin) text.end -= text.end[-1] == '\r';
        return text;
    }
    Text field(int64_t row, int64_t number) const {
        return field_at(first_fields[static_cast<size_t>(row)] + static_cast<uint32_t>(number));
    }

    // The fields of a column, one after another; without quotes, where the index is simple.
    Texts column(int64_t number) {
        const size_t rows = first_fields.size();
        if (starts_.size() < rows + group) starts_.resize(rows + group), ends_.resize(rows + group);
        const uint32_t* const ends = index_.ends() + number;
        const uint32_t* const starts = stored ? index_.starts() + number : ends - 1;
        for (size_t row = 0; row < rows; ++row) {
            const uint32_t first = first_fields[row];
            starts_[row] = stored ? starts[first] : starts[int64_t{first}] + 1;
            ends_[row] = ends[first];
        }
        if (number == fields_ - 1 && dialect_.delimiter >= 0 && index_.returns) {
            for (size_t row = 0; row < rows; ++row) {
                ends_[row] -= ends_[row] > starts_[row] && text_[ends_[row] - 1] == '\r';
            }
        }
        if (index_.quoted && index_.simple && index_.all_quoted) {
            for (size_t row = 0; row < rows; ++row) ++starts_[row], --ends_[row];
        } else if (index_.quoted && index_.simple) {
            for (size_t row = 0; row < rows; ++row) {
                const bool is_quoted = text_[starts_[row]] == dialect_.quote;
                starts_[row] += is_quoted;
                ends_[row] -= is_quoted;
            }
        }
        return {text_, starts_.data(), ends_.data()};
    }

  private:
    static constexpr int64_t piece = 1 << 16, largest = 1 << 30;

    const Dialect dialect_;
    const int64_t fields_;
    Index index_;
    const byte* text_ = nullptr;
    std::vector<uint32_t> starts_, ends_;  // of the last column
};

}  // namespace shmkit
