// ISO 8601 dates and timestamps to a count of a unit since 1970, as datetime64 has it.
//
//   2024-03-01
//   2024-03-01T12:00                       T, t or a blank
//   2024-03-01 12:00:05.25                 1 to 9 digits behind the point (or the comma)
//   2024-03-01T12:00:05.25+01:00           Z, z, +01, +0100 or +01:00: becomes UTC
//
// Anything else is no time here: no lone year or month, no week, no 24:00, no second 60. A time
// with an offset and one without do not mean the same, so a column has the ones or the others.

#pragma once

#include "_parser_numbers.hpp"

namespace shmkit {

enum class Unit : int64_t { day, second, milli, micro, nano };

struct Time {
    int64_t seconds;  // since 1970
    int64_t nanos;
    bool is_date;  // without a time of day
    bool offset;   // from UTC, which has been taken off

    // The least unit that holds it; a timestamp is never a day.
    Unit unit() const {
        if (is_date) return Unit::day;
        if (nanos == 0) return Unit::second;
        if (nanos % 1000000 == 0) return Unit::milli;
        return nanos % 1000 == 0 ? Unit::micro : Unit::nano;
    }
    // Says whether the unit holds it: exactly, and in 64 bits.
    bool in(Unit wanted, int64_t& count) const {
        if (wanted != Unit::second || nanos != 0) return in_other(wanted, count);
        count = seconds;  // most times are so
        return true;
    }

  private:
    [[gnu::noinline]] bool in_other(Unit wanted, int64_t& count) const {
        constexpr int64_t per_second[] = {0, 1, 1000, 1000000, 1000000000};
        if (unit() > wanted) return false;
        if (wanted == Unit::day) {
            count = seconds / 86400 - (seconds % 86400 < 0);
            return true;
        }
        const int64_t scale = per_second[static_cast<int64_t>(wanted)];
        const __int128 all = static_cast<__int128>(seconds) * scale + nanos * scale / 1000000000;
        count = static_cast<int64_t>(all);
        return all == count && count != std::numeric_limits<int64_t>::min();  // which is NaT
    }
};

class Times {
  public:
    // Reads the text as a time, if it is one; 32 bytes behind it may be loaded.
    [[gnu::always_inline]] bool read(const byte* p, const byte* end, Time& time) {
        const int64_t n = end - p;
        if (n < 10) return false;
        const uint64_t date = load8(p);
        const uint64_t day = (uint64_t{p[8]} | uint64_t{p[9]} << 8);
        if (date != last_date_ || day != last_day_) {  // rows in the order of time repeat the date
            if (!new_date(date, day)) return false;
        }
        time = {last_seconds_, 0, n == 10, false};
        if (n == 10) return true;
        if ((p[10] != ' ' && (p[10] | 0x20) != 't') || n < 16) return false;
        // HH:MM:SS, of which :SS may be missing.
        const uint64_t clock = as_digits(load8(p + 11));
        const bool seconds = n >= 19 && p[16] == ':';
        constexpr uint64_t in_time = 0xffff00ffff00ffff, colon = ':' ^ '0';
        uint64_t digits = clock & in_time;
        if (!seconds) digits &= 0xffffffffff;
        const uint64_t pairs = (digits * (1 + (10 << 8)) >> 8) & 0x00ff0000ff0000ff;
        const uint64_t hour = pairs & 0xff, minute = pairs >> 24 & 0xff, second = pairs >> 48;
        if (not_digit(digits) || (clock >> 16 & 0xff) != colon || hour > 23 || minute > 59 ||
            second > 59) {
            return false;
        }
        time.seconds += static_cast<int64_t>(hour * 3600 + minute * 60 + second);
        p += seconds ? 19 : 16;
        return p == end || rest(p, end, seconds, time);
    }

  private:
    uint64_t last_date_ = 0, last_day_ = 0;
    int64_t last_seconds_ = 0;

    // Days from 1970 to a day of the Gregorian calendar: years begin in March, so that the day that
    // comes and goes is their last (Hinnant, chrono-compatible low-level date algorithms).
    static int64_t days(int64_t year, int64_t month, int64_t day) {
        year -= month <= 2;
        const int64_t era = (year >= 0 ? year : year - 399) / 400, of_era = year - era * 400;
        const int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
        return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
    }
    [[gnu::noinline]] bool new_date(uint64_t date, uint64_t day_text) {
        // 2024-03- and 01: the digits of each with the hyphens taken out.
        const uint64_t signs = ((date >> 32 & 0xff) ^ '-') | ((date >> 56) ^ '-');
        const uint64_t digits = as_digits(date) & 0x00ffff00ffffffff;
        const uint64_t day_digits = (day_text ^ 0x3030) & 0xffff;
        if (signs || not_digit(digits) || not_digit(day_digits)) return false;
        const auto digit = [&](int i) { return static_cast<int64_t>(digits >> 8 * i & 0xff); };
        const int64_t year = digit(0) * 1000 + digit(1) * 100 + digit(2) * 10 + digit(3);
        const int64_t month = digit(5) * 10 + digit(6);
        const int64_t day = static_cast<int64_t>((day_digits & 0xff) * 10 + (day_digits >> 8));
        constexpr byte in_month[] = {0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
        const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        if (month < 1 || month > 12 || day < 1 || day > in_month[month] ||
            (month == 2 && day == 29 && !leap)) {
            return false;
        }
        last_date_ = date;
        last_day_ = day_text;
        last_seconds_ = days(year, month, day) * 86400;
        return true;
    }

    // The fraction and the offset.
    [[gnu::noinline]] static bool rest(const byte* p, const byte* end, bool seconds, Time& time) {
        const auto digit = [end](const byte* q) { return q < end ? unsigned{*q} - '0' : 10U; };
        if (seconds && (*p == '.' || *p == ',')) {
            int64_t scale = 1000000000;
            const byte* const first = ++p;
            for (; digit(p) <= 9 && scale > 1; ++p) time.nanos += digit(p) * (scale /= 10);
            for (; digit(p) == 0; ++p) continue;  // picoseconds are zeros, or too fine
            if (p == first) return false;
        }
        if (p == end) return true;
        time.offset = true;
        if ((*p | 0x20) == 'z') return p + 1 == end;
        const bool west = *p == '-';
        if (!west && *p != '+') return false;
        int64_t parts[2] = {0, 0};
        ++p;
        for (int i = 0; i < 2 && (i == 0 || p < end); ++i) {
            p += i == 1 && *p == ':';
            if (digit(p) > 9 || digit(p + 1) > 9) return false;
            parts[i] = digit(p) * 10 + digit(p + 1);
            p += 2;
        }
        const int64_t offset = parts[0] * 3600 + parts[1] * 60;
        time.seconds += west ? offset : -offset;
        return p == end && parts[0] < 24 && parts[1] < 60;
    }
};

}  // namespace shmkit
