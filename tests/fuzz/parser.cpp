// Any text, with any fields and any syntax: README.md says how to run it.
//
//   input:  count  syntax  columns  room  {kind width gap column}*count  text
//
// The text, with what may be loaded behind it, the records and the tables lie in blocks of their
// exact size, so that the address sanitizer sees the first byte behind them. Two further properties
// are checked: what is parsed in two parts is what is parsed at once, and text behind the part that
// is parsed has no influence. At last the tables hold anything, too.

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "../../shmkit/readers/text/parser/_parser.hpp"

using shmkit::byte, shmkit::Field, shmkit::Table, shmkit::Taken;

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
    const unsigned count = 1 + input.next() % 4;
    const unsigned choice = input.next(), columns = input.next() % 8, room = input.next() % 8;
    const int delimiters[] = {-1, ',', '\t', ' '}, comments[] = {-1, '#'}, quotes[] = {-1, '"'};
    shmkit::Syntax syntax{delimiters[choice & 3], comments[choice >> 2 & 1],
                          quotes[choice >> 3 & 1], (choice >> 4 & 1) != 0,
                          static_cast<int64_t>(columns) - 1};
    std::vector<Field> fields;
    int64_t itemsize = 0, column = 0;
    for (unsigned i = 0; i < count; ++i) {
        const byte kind = "iufbSUC"[input.next() % 7];
        int64_t width = 1 + input.next() % 24;
        if (kind == 'i' || kind == 'u' || kind == 'f') width = 1 << width % 4;
        if (kind == 'b') width = 1;
        if (kind == 'C') width = 2;
        itemsize += input.next() % 3;
        column += (i > 0) + input.next() % 3;
        fields.push_back({kind, width, itemsize, column, static_cast<int64_t>(choice >> 5 & 1)});
        itemsize += width;
    }

    const size_t nbytes = input.size;
    std::vector<byte> text(input.data, input.data + nbytes);
    text.resize(nbytes + shmkit::behind, '7');
    text.shrink_to_fit();
    static std::vector<Table> tables(4);
    const auto clear = [] {  // but for the names, which are cleared when they are written
        for (Table& table : tables) {
            if (table.count) std::memset(&table, 0, offsetof(Table, names));
        }
    };
    clear();
    const auto parse = [&](size_t start, size_t stop, std::vector<byte>& out, int64_t max_rows) {
        const Taken taken = shmkit::parse(text.data() + start, text.data() + stop, syntax,
                                          fields.data(), count, tables.data(), out.data(), itemsize,
                                          max_rows);
        require(taken.rows >= 0 && taken.rows <= max_rows && taken.rows <= taken.lines);
        require(taken.nbytes >= 0 && static_cast<size_t>(taken.nbytes) <= stop - start);
        return taken;
    };

    std::vector<byte> whole(room * itemsize, 0);
    const Taken all = parse(0, nbytes, whole, room);

    clear();
    const int64_t half = all.rows / 2;
    std::vector<byte> first(half * itemsize, 0), second((all.rows - half) * itemsize, 0);
    const Taken begun = parse(0, text.size(), first, half);
    const Taken rest = parse(begun.nbytes, nbytes, second, all.rows - half);
    require(begun.rows + rest.rows == all.rows);
    require(std::equal(first.begin(), first.end(), whole.begin()));
    require(std::equal(second.begin(), second.end(), whole.begin() + first.size()));

    clear();
    std::vector<byte> again(room * itemsize, 0);
    for (size_t i = all.nbytes; i < text.size(); ++i) text[i] = '7';
    const Taken same = parse(0, all.nbytes, again, room);
    require(same.rows == all.rows && same.nbytes == all.nbytes);
    require(std::equal(again.begin(), again.begin() + all.rows * itemsize, whole.begin()));

    if (choice < 192) return 0;
    for (Table& table : tables) {
        table.count = 1 << (choice % 32);
        std::fill(std::begin(table.codes), std::end(table.codes), choice * 1021 + room);
    }
    parse(0, all.nbytes, again, room);
    return 0;
}
