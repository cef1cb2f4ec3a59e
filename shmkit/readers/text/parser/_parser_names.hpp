// The texts of a category column, and the code that each has.

#pragma once

#include "_parser_numbers.hpp"

namespace shmkit {

// The names in a column, and their codes in the order in which they came. It lies in memory that
// Python gave: whatever is in it, nothing outside of it is touched.
struct Table {
    static constexpr uint32_t most = 1 << 16;
    static constexpr int64_t longest = 255;
    uint32_t count;
    uint32_t codes[2 * most];      // code + 1, or 0, at a hash of the name or behind it
    byte names[most][longest + 1];  // with zeros behind each

    // The code of a name without zeros, behind which 7 bytes may be loaded; -1 if it does not fit.
    [[gnu::always_inline]] int32_t code(const byte* name, int64_t n) {
        if (n <= 8) {  // most are short, and where their hash is
            const uint64_t whole = word(name, n);
            const uint32_t found = codes[whole * factor >> shift];
            if (found - 1 < most) {
                const byte* const known = names[found - 1];
                if (load8(known) == whole && known[n] == 0) return static_cast<int32_t>(found - 1);
            }
        }
        return any_code(name, n);
    }

  private:
    static constexpr uint64_t factor = 0x9e3779b97f4a7c15;
    static constexpr int shift = 47;  // to a place in codes

    [[gnu::noinline]] int32_t any_code(const byte* name, int64_t n) {
        if (n > longest) return -1;
        uint64_t hash = 0;
        for (int64_t i = 0; i < n; i += 8) {
            hash = (hash ^ hash >> 32 ^ word(name + i, n - i)) * factor;
        }
        uint32_t place = static_cast<uint32_t>(hash >> shift);
        for (uint32_t tries = 0; tries < 2 * most; ++tries, place = (place + 1) % (2 * most)) {
            const uint32_t found = codes[place];
            if (found == 0) return add(place, name, n);
            if (found > most) return -1;
            if (same(names[found - 1], name, n)) return static_cast<int32_t>(found - 1);
        }
        return -1;
    }
    static uint64_t word(const byte* p, int64_t n) {
        return n < 8 ? load8(p) & ((uint64_t{1} << 8 * n) - 1) : load8(p);
    }
    static bool same(const byte* known, const byte* name, int64_t n) {
        for (int64_t i = 0; i < n; i += 8) {
            if (load8(known + i) != word(name + i, n - i)) return false;
        }
        return known[n] == 0;
    }
    [[gnu::noinline]] int32_t add(uint32_t place, const byte* name, int64_t n) {
        const uint32_t code = count;
        if (code >= most) return -1;
        std::memset(names[code], 0, sizeof names[code]);
        std::memcpy(names[code], name, n);
        codes[place] = count = code + 1;
        return static_cast<int32_t>(code);
    }
};

}  // namespace shmkit
