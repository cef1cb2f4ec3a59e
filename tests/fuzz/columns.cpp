// Any text, with any columns and any dialect: README.md says how to run it.
//
//   input:  count  dialect  fields  room  {kind width field unit flags}*count  words  text
//
// The text, with what may be loaded around it, and the columns lie in blocks of their exact size, so
// that the address sanitizer sees the first byte outside. Further properties are checked: what is
// parsed in two parts is what is parsed at once; the text around the part that is parsed has no
// influence; inference and counting of the same text stay inside of it, and the counts of two parts
// are those of the whole.

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "../../shmkit/readers/text/parser/_columns.hpp"
#include "../../shmkit/readers/text/parser/_columns_count.hpp"
#include "../../shmkit/readers/text/parser/_columns_infer.hpp"

using shmkit::around, shmkit::byte, shmkit::Column, shmkit::Dialect, shmkit::MissingWords;
using shmkit::Parsed, shmkit::Table, shmkit::Target;

namespace {

struct Input {
    const byte* data;
    size_t size;
    unsigned next() { return size ? (--size, *data++) : 0; }
};

void require(bool property) {
    if (!property) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const byte* data, size_t size) {
    Input input{data, size};
    const unsigned count = 1 + input.next() % 4, choice = input.next();
    const int64_t fields = 1 + input.next() % 4, room = input.next() % 40;
    const int delimiters[] = {-1, ',', '\t', '\n'}, quotes[] = {-1, '"'}, comments[] = {-1, '#'};
    Dialect dialect{delimiters[choice & 3], quotes[choice >> 2 & 1], comments[choice >> 3 & 1],
                    choice >> 4 & 1 ? ',' : '.', (choice >> 5 & 1) != 0};
    if (dialect.delimiter == dialect.decimal) dialect.delimiter = ';';
    std::vector<Column> columns;
    for (unsigned i = 0; i < count; ++i) {
        const byte kind = "iufwbMSC"[input.next() % 8];
        int64_t width = 1 + input.next() % 24;
        if (kind == 'i' || kind == 'u') width = 1 << width % 4;
        if (kind == 'f') width = 4 << width % 2;
        if (kind == 'w' || kind == 'M') width = 8;
        if (kind == 'b') width = 1;
        if (kind == 'C') width = 2;
        const unsigned flags = input.next();
        columns.push_back({kind, width, static_cast<int64_t>(flags % fields), flags % 5,
                           flags >> 5 & 1, flags >> 6 & 1});
    }
    const byte words[] = "\nNA\nnan\n-9999";
    const MissingWords missing =
        choice >> 6 & 1 ? MissingWords(words, sizeof words - 1, static_cast<byte>(dialect.decimal))
                        : MissingWords();

    const int64_t nbytes = static_cast<int64_t>(input.size);
    const auto surrounded = [&](byte c) {
        std::vector<byte> text(static_cast<size_t>(nbytes + 2 * around), c);
        std::copy(input.data, input.data + nbytes, text.begin() + around);
        text.shrink_to_fit();
        return text;
    };
    const std::vector<byte> text = surrounded('7'), other = surrounded('"');
    static std::vector<Table> tables(4);
    struct Found {
        Parsed parsed;
        std::vector<std::vector<byte>> columns;
        std::vector<int64_t> counts;
    };
    const auto parse = [&](const std::vector<byte>& from, int64_t start, int64_t most) {
        Found found;
        std::vector<Target> targets;
        for (unsigned i = 0; i < count; ++i) {
            const size_t held = static_cast<size_t>(most * columns[i].width);
            found.columns.emplace_back(held);
            targets.push_back({columns[i], nullptr, &tables[i], &missing, 0, 0});
        }
        for (unsigned i = 0; i < count; ++i) targets[i].out = found.columns[i].data();
        const byte* const begin = from.data() + around;
        found.parsed = shmkit::parse_columns(begin + start, begin + nbytes, dialect, targets.data(),
                                             count, fields, most);
        const Parsed& parsed = found.parsed;
        require(0 <= parsed.rows && parsed.rows <= most);
        require(0 <= parsed.nbytes && parsed.nbytes <= nbytes - start);
        if (parsed.fit != shmkit::Fit::good) {
            require(0 <= parsed.start && parsed.start <= parsed.stop &&
                    parsed.stop <= nbytes - start);
        }
        for (unsigned i = 0; i < count; ++i) {
            found.columns[i].resize(static_cast<size_t>(parsed.rows * columns[i].width));
            found.counts.push_back(targets[i].missing_found);
            found.counts.push_back(targets[i].not_ascii_found);
        }
        return found;
    };
    const auto clear = [&] {
        for (Table& table : tables) {
            if (table.count) std::memset(&table, 0, offsetof(Table, names));
        }
    };
    clear();
    const Found all = parse(text, 0, room);
    const Found again = parse(other, 0, room);
    require(all.columns == again.columns && all.counts == again.counts);
    require(all.parsed.rows == again.parsed.rows && all.parsed.nbytes == again.parsed.nbytes);

    // Parts: a quote that never closes may make other lines of the second one, behind the first's.
    const Found first = parse(text, 0, all.parsed.rows / 2);
    const Found second = parse(text, first.parsed.nbytes, all.parsed.rows - first.parsed.rows);
    require(first.parsed.rows + second.parsed.rows == all.parsed.rows);
    for (unsigned i = 0; i < count; ++i) {
        std::vector<byte> both = first.columns[i];
        both.insert(both.end(), second.columns[i].begin(), second.columns[i].end());
        require(both == all.columns[i]);
    }

    std::vector<shmkit::Facts> facts(static_cast<size_t>(fields), shmkit::Facts{});
    const byte* const begin = text.data() + around;
    const shmkit::Inferred inferred = shmkit::infer(begin, begin + nbytes, dialect, fields, missing,
                                                    MissingWords(), facts.data());
    require(inferred.nbytes <= nbytes);
    for (const shmkit::Facts& column : facts) {
        int64_t rows = 0;
        for (int i = 0; i < shmkit::classes; ++i) {
            rows += column.count[i];
            if (!column.count[i]) continue;
            require(0 <= column.first_start[i] && column.first_start[i] <= column.first_stop[i]);
            require(column.first_stop[i] <= nbytes && column.first_row[i] < inferred.rows);
        }
        require(rows == inferred.rows);
    }

    shmkit::Counted whole[2], left[2], right[2];
    const int64_t half = nbytes / 2;
    const bool odd = shmkit::count(begin, begin + nbytes, dialect, whole);
    const bool odd_left = shmkit::count(begin, begin + half, dialect, left);
    const bool odd_right = shmkit::count(begin + half, begin + nbytes, dialect, right);
    require(odd == (odd_left != odd_right));
    for (int i = 0; i < 2; ++i) {
        require(whole[i].lines == left[i].lines + right[i ^ odd_left].lines);
    }
    return 0;
}
