"""What the numbers of a NetCDF variable mean, by the CF conventions: packing, gaps, times.

    numbers   _Unsigned ──▶ _FillValue, missing_value, valid_* ──▶ scale_factor, add_offset
              as raw        NaN there                              float
    times     "days since 1850-01-01"                              datetime64

    loader    chunk ──▶ some rows, in the cache ──unpacked──▶ writer     no pass over them later

1. The dtype of what is unpacked is that which xarray chooses, and the values are its own, bit for
   bit: the same operations in the same order.
2. What is outside of ``valid_min``, ``valid_max`` or ``valid_range`` is missing, as for netCDF4;
   xarray leaves it, and so does ``decode="xarray"``.
3. Times need a calendar that datetime64 has. Others stay numbers, and keep their units.
4. Times are in nanoseconds, or where one is beyond the year 2262, in the unit next to it.

An attribute that has done its work is not among those of the array: to apply it again to what is
unpacked would be wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Decoding", "decoding", "time_unit"]

_UNITS = {
    "D": ("d", "day", "days"),
    "h": ("h", "hr", "hrs", "hour", "hours"),
    "m": ("min", "mins", "minute", "minutes"),
    "s": ("s", "sec", "secs", "second", "seconds"),
    "ms": ("ms", "msec", "msecs", "millisec", "millisecond", "milliseconds"),
    "us": ("us", "microsec", "microsecond", "microseconds"),
    "ns": ("ns", "nsec", "nanosecond", "nanoseconds"),
}
_NANOSECONDS = {
    "D": 86_400 * 10**9,
    "h": 3_600 * 10**9,
    "m": 60 * 10**9,
    "s": 10**9,
    "ms": 10**6,
    "us": 10**3,
    "ns": 1,
}
_SINCE = re.compile(
    r"(\w+)\s+since\s+(\d{1,4})-(\d{1,2})-(\d{1,2})"
    r"(?:[\sT]+(\d{1,2}):(\d{1,2})(?::(\d{1,2}(?:\.\d*)?))?)?"
    r"\s*(?:Z|UTC|GMT|([+-])(\d{1,2}):?(\d{2})?)?\s*",
    re.ASCII | re.IGNORECASE,
)
_CALENDARS = ("standard", "gregorian", "proleptic_gregorian")
_GREGORIAN = np.datetime64("1582-10-15", "D")  # from here on "standard" is what datetime64 has
_JULIAN_EPOCH = 2_440_588  # number of the Julian day 1970-01-01
_PACKING = ("scale_factor", "add_offset")
_VALID = ("valid_min", "valid_max", "valid_range")
_USED = ("_FillValue", "missing_value", "_Unsigned", *_PACKING)
_MIN = np.iinfo(np.int64).min  # NaT


class _Since(NamedTuple):
    """Times as numbers: so many units since a moment, in nanoseconds from 1970 on.

    `least` is the first moment that is the same day for datetime64.
    """

    unit: str
    moment: int
    least: float


class Decoding(NamedTuple):
    """How raw numbers become values.

    Attributes
    ----------
    dtype
        Of the values.
    attrs
        The attributes that are left.
    """

    dtype: np.dtype[Any]
    attrs: Mapping[str, Any]
    raw: np.dtype[Any]
    floats: np.dtype[Any] | None
    missing: tuple[Any, ...]
    valid: tuple[Any, Any]
    scale: Any
    offset: Any
    since: _Since | None

    def __call__(self, block: NDArray[Any]) -> NDArray[Any]:
        """The values of raw numbers."""
        numbers = block.view(self.raw.newbyteorder(block.dtype.byteorder))
        gaps = self._gaps(numbers)
        values: NDArray[Any] = numbers.astype(self.floats or self.raw)
        if gaps is None and self.missing:
            gaps = np.logical_or.reduce([values == fill for fill in self.missing])
        elif gaps is not None:
            for fill in self.missing:
                gaps |= values == fill
        if gaps is not None and self.floats is not None:
            values[gaps] = np.nan
        if self.scale is not None:
            values *= self.scale
        if self.offset is not None:
            values += self.offset
        if self.since is not None:
            return _times(values, self.since, self.dtype, gaps)
        return values.astype(self.dtype, copy=False)

    def _gaps(self, numbers: NDArray[Any]) -> NDArray[np.bool_] | None:
        """What is outside of the valid range."""
        least, most = self.valid
        gaps = None if least is None else numbers < least
        if most is not None:
            above = numbers > most
            gaps = above if gaps is None else gaps | above
        return gaps


def decoding(
    dtype: np.dtype[Any],
    attrs: Mapping[str, Any],
    unit: str | None = "ns",
    *,
    in_range: bool = True,
) -> Decoding | None:
    """How numbers of this dtype are decoded; None if they are no numbers.

    `unit` is that of times; None if they are to stay numbers. What is outside of the valid range
    is missing, unless `in_range` is false.
    """
    if dtype.kind not in "iuf" or dtype.metadata:
        return None
    known = {name: _single(attrs[name]) for name in attrs}
    raw = _unsigned(dtype.newbyteorder("="), known.get("_Unsigned"))
    fills = tuple(
        raw.type(fill) if raw != dtype.newbyteorder("=") and raw.kind in "iu" else fill
        for name in ("missing_value", "_FillValue")
        for fill in _numbers(attrs.get(name), raw)
    )
    had_fill = any(
        name in attrs and (raw.kind == "f" or len(_numbers(attrs[name], raw)))
        for name in ("missing_value", "_FillValue")
    )
    scale, offset = (known.get(name) if _is_number(known.get(name)) else None for name in _PACKING)
    packed = scale is not None or offset is not None
    valid = _valid_range(known, attrs, raw) if in_range else (None, None)
    since = None
    if unit is not None:
        since = _since(known.get("units"), known.get("calendar", "standard"))
    floats: np.dtype[Any] | None = None
    if packed:
        may_stay = had_fill and not fills and raw.kind == "f" and since is None
        floats = raw if may_stay else _packed_dtype(raw, scale, offset)
    elif (fills or valid != (None, None)) and not (since is not None and raw.kind in "iu"):
        small = raw.kind in "iu" and raw.itemsize <= 2
        floats = raw if raw.kind == "f" else np.dtype("f4" if small else "f8")
    result = floats or raw
    if since is not None:
        result = np.dtype(f"M8[{unit}]")
    elif known.get("dtype") == "bool":
        result = np.dtype("?")
    used = {*_USED, *(_VALID if in_range else ())}
    used |= {"units", "calendar"} if since is not None else set()
    if result.kind == "b":
        used.add("dtype")
    left = {name: attrs[name] for name in attrs if name not in used}
    return Decoding(result, left, raw, floats, fills, valid, scale, offset, since)


def time_unit(decoding: Decoding, least: Any, most: Any) -> str | None:
    """The finest unit that holds these raw numbers as times; None if datetime64 has not the days.

    Before the year 1582 the standard calendar is the Julian one.
    """
    assert decoding.since is not None
    scale = 1.0 if decoding.scale is None else float(decoding.scale)
    offset = 0.0 if decoding.offset is None else float(decoding.offset)
    length = _NANOSECONDS[decoding.since.unit]
    ends = [
        (float(end) * scale + offset) * length + decoding.since.moment
        for end in (least, most)
        if np.isfinite(end)
    ]
    if min(ends, default=0) < decoding.since.least:
        return None
    far = max(map(abs, ends), default=0)
    units = [unit for unit in ("ns", "us", "ms") if far / _NANOSECONDS[unit] < 2**63 * 0.999]
    return units[0] if units else "s"


def _single(value: Any) -> Any:
    """The number of an array that has one, as NetCDF stores a number."""
    if isinstance(value, np.ndarray) and value.size == 1:
        return value.reshape(-1)[0]
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, np.number | int | float)


def _numbers(value: Any, dtype: np.dtype[Any]) -> list[Any]:
    """The numbers of an attribute that are not NaN."""
    if value is None:
        return []
    found = np.ravel(value)
    if found.dtype.kind not in "iuf":
        return []
    if dtype.kind == "u" and found.dtype.kind == "i" and found.dtype.itemsize == dtype.itemsize:
        found = found.view(dtype)
    return [one for one in found if one == one]  # noqa: PLR0124 - NaN is not


def _unsigned(dtype: np.dtype[Any], said: Any) -> np.dtype[Any]:
    text = said.decode() if isinstance(said, bytes) else said
    if text == "true" and dtype.kind == "i":
        return np.dtype(f"u{dtype.itemsize}")
    if text == "false" and dtype.kind == "u":
        return np.dtype(f"i{dtype.itemsize}")
    return dtype


def _valid_range(
    known: Mapping[str, Any], attrs: Mapping[str, Any], raw: np.dtype[Any]
) -> tuple[Any, Any]:
    both = _numbers(attrs.get("valid_range"), raw)
    if len(both) == 2:
        return both[0], both[1]
    ends = [_numbers(known.get(name), raw) for name in ("valid_min", "valid_max")]
    least, most = (end[0] if len(end) == 1 else None for end in ends)
    return least, most


def _packed_dtype(raw: np.dtype[Any], scale: Any, offset: Any) -> np.dtype[Any]:
    """As what packed numbers are unpacked: what xarray takes, so that values are the same."""
    types = {np.dtype(type(one)) for one in (scale, offset) if one is not None}
    if scale is not None and offset is not None and len(types) == 1 and types <= _FLOATS:
        return np.dtype("f8") if raw.itemsize == 4 and raw.kind in "iu" else types.pop()
    if offset is not None:
        return np.dtype("f8")
    (found,) = types
    return found if found.kind == "f" else np.dtype("f8")


_FLOATS = {np.dtype("f4"), np.dtype("f8")}


def _since(units: Any, calendar: Any) -> _Since | None:
    """What the units of times say; None for other units, and other calendars."""
    if not isinstance(units, str) or not isinstance(calendar, str):
        return None
    found = _SINCE.fullmatch(units.strip())
    calendar = calendar.lower()
    if found is None or calendar not in _CALENDARS:
        return None
    word = found[1].lower()
    unit = next((unit for unit, words in _UNITS.items() if word in words), None)
    year, month, day = (int(found[i]) for i in (2, 3, 4))
    if unit is None or not 1 <= month <= 12 or not 1 <= day <= 31:
        return None
    try:
        date = np.datetime64(f"{year:04}-{month:02}-{day:02}", "D")
    except ValueError:
        return None
    days, least = int(date.astype(np.int64)), -np.inf
    if calendar != "proleptic_gregorian":
        least = float(_GREGORIAN.astype(np.int64)) * _NANOSECONDS["D"]
    if calendar != "proleptic_gregorian" and date < _GREGORIAN:
        days = _julian_days(year, month, day)
    hours, minutes = int(found[5] or 0), int(found[6] or 0)
    if found[8]:
        sign = -1 if found[8] == "+" else 1
        hours, minutes = hours + sign * int(found[9]), minutes + sign * int(found[10] or 0)
    seconds = (days * 24 + hours) * 3600 + minutes * 60
    return _Since(unit, seconds * 10**9 + round(float(found[7] or 0) * 10**9), least)


def _julian_days(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 to a date of the Julian calendar."""
    shift = (14 - month) // 12
    years, months = year + 4800 - shift, month + 12 * shift - 3
    number = day + (153 * months + 2) // 5 + 365 * years + years // 4 - 32_083
    return number - _JULIAN_EPOCH


def _times(
    values: NDArray[Any],
    since: _Since,
    dtype: np.dtype[Any],
    gaps: NDArray[np.bool_] | None,
) -> NDArray[Any]:
    """Moments: whole numbers exactly; of others what is below a unit is cut off, as by xarray."""
    step = _NANOSECONDS[np.datetime_data(dtype)[0]]
    length = _NANOSECONDS[since.unit]
    # What is added wraps around as what it is added to: the sum is right where both are too large.
    moment = np.int64((since.moment // step + 2**63) % 2**64 - 2**63)
    if values.dtype.kind == "f":
        wide = values.astype(np.float64)
        nothing = ~np.isfinite(wide)
        wide[nothing] = 0
        if np.max(np.abs(wide), initial=0) * (length / step) < 2**62:
            times = (wide * (length / step)).astype(np.int64)
        else:
            whole = np.floor(wide)
            rest = ((wide - whole) * (length / step)).astype(np.int64)
            times = whole.astype(np.int64) * (length // step) + rest
        times += moment
        times[nothing] = _MIN
    else:
        whole = values.astype(np.int64)
        times = whole * (length // step) if length >= step else whole // (step // length)
        times += moment
    if gaps is not None:
        times[gaps] = _MIN
    return times.view(dtype)
