package columns

// readDate reads 2013-01-31 as days since 1970.
func readDate(s []byte) (int64, bool) {
	if len(s) != 10 {
		return 0, false
	}
	return readDay(s)
}

// readDay reads a date from the first ten bytes.
func readDay(s []byte) (int64, bool) {
	century, ok1 := twoDigits(s)
	year, ok2 := twoDigits(s[2:])
	month, ok3 := twoDigits(s[5:])
	day, ok4 := twoDigits(s[8:])
	year += 100 * century
	if !(ok1 && ok2 && ok3 && ok4) || s[4] != '-' || s[7] != '-' || year == 0 || month == 0 || month > 12 || day == 0 || day > daysIn(year, month) {
		return 0, false
	}
	return daysSince1970(year, month, day), true
}

func twoDigits(s []byte) (int, bool) {
	tens, ones := s[0]-'0', s[1]-'0'
	return int(tens)*10 + int(ones), tens <= 9 && ones <= 9
}

func daysIn(year, month int) int {
	if month == 2 && year%4 == 0 && (year%100 != 0 || year%400 == 0) {
		return 29
	}
	return int("\x00\x1f\x1c\x1f\x1e\x1f\x1e\x1f\x1f\x1e\x1f\x1e\x1f"[month])
}

// daysSince1970 counts years from March, so that a leap day is the last of its year.
func daysSince1970(year, month, day int) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	return int64(365*year + year/4 - year/100 + year/400 + (153*month-457)/5 + day - 719469)
}

const (
	microsOfDay = 86_400_000_000
	firstTime   = -62_135_596_800_000_000 // 0001-01-01T00:00:00Z
	lastTime    = 253_402_300_799_999_999 // 9999-12-31T23:59:59.999999Z
)

// readTime reads a time by RFC 3339 as microseconds since 1970, rounded to the nearest, a half up. The zone is required. A space
// may stand for the T, and the zone's colon may be left out, as msgspec has it.
func readTime(s []byte) (int64, bool) {
	if len(s) < 20 {
		return 0, false
	}
	day, ok := readDay(s)
	hour, ok1 := twoDigits(s[11:])
	minute, ok2 := twoDigits(s[14:])
	second, ok3 := twoDigits(s[17:])
	if !(ok && ok1 && ok2 && ok3) || s[10]|0x20 != 't' && s[10] != ' ' || s[13] != ':' || s[16] != ':' || hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	micros, rest, ok := readFraction(s[19:])
	offset, ok1 := readZone(rest)
	if !ok || !ok1 {
		return 0, false
	}
	local := day*microsOfDay + int64((hour*60+minute)*60+second)*1e6 + micros
	at := local - int64(offset)*60e6
	return at, local <= lastTime && firstTime <= at && at <= lastTime
}

// readFraction reads what may stand behind the seconds, as microseconds.
func readFraction(s []byte) (micros int64, rest []byte, ok bool) {
	if s[0] != '.' {
		return 0, s, true
	}
	n := 1
	for scale := int64(100_000); n < len(s) && s[n]-'0' <= 9; n++ {
		switch {
		case n <= 6:
			micros += int64(s[n]-'0') * scale
			scale /= 10
		case n == 7 && s[n] >= '5':
			micros++
		}
	}
	return micros, s[n:], n > 1
}

// readZone reads Z or an offset, as minutes east.
func readZone(s []byte) (minutes int, ok bool) {
	if len(s) == 1 {
		return 0, s[0]|0x20 == 'z'
	}
	if len(s) == 6 && s[3] == ':' {
		s = append(s[:3:3], s[4:]...)
	}
	if len(s) != 5 || s[0] != '+' && s[0] != '-' {
		return 0, false
	}
	hour, ok1 := twoDigits(s[1:])
	minute, ok2 := twoDigits(s[3:])
	if !ok1 || !ok2 || hour > 23 || minute > 59 {
		return 0, false
	}
	if minutes = hour*60 + minute; s[0] == '-' {
		minutes = -minutes
	}
	return minutes, true
}
