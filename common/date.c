/*
 * date: days since 1970 to a date of the proleptic Gregorian calendar, and both
 * forms of text.  PURE.
 */
#include "common/date.h"

#include <string.h>

#include "common/decimal.h"

#define DATE_LAST INT64_C(253402300799) /* 9999-12-31 23:59:59 */

enum { DATE_DAY = 86400 }; /* seconds */

struct civil {
	int year, month, day; /* month 1 to 12 */
};

/* Of a day counted from 1970-01-01, at least 0. */
static struct civil
civil(int64_t days)
{
	/* Years begin in March, so that a leap day is the last: 146,097 days are 400 years, 153 days are five months. */
	int64_t z = days + 719468;
	int64_t era = z / 146097, doe = z % 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;
	int month = (int)(mp < 10 ? mp + 3 : mp - 9);

	return (
	    struct civil){ (int)(yoe + era * 400) + (month <= 2 ? 1 : 0), month, (int)(doy - (153 * mp + 2) / 5 + 1) };
}

static int64_t
within(int64_t unix_s)
{
	return unix_s < 0 ? 0 : unix_s > DATE_LAST ? DATE_LAST : unix_s;
}

/* ${width} digits of ${v}, which has no more. */
static char *
put_digits(char *p, int v, size_t width)
{
	return p + decimal(p, (uint64_t)v, width);
}

static char *
put_octet(char *p, char c)
{
	*p = c;
	return p + 1;
}

static char *
put_name(char *p, const char name[static 3])
{
	memcpy(p, name, 3);
	return p + 3;
}

/* 00:00:00 */
static char *
put_time(char *p, int second)
{
	p = put_octet(put_digits(p, second / 3600, 2), ':');
	p = put_octet(put_digits(p, second / 60 % 60, 2), ':');
	return put_digits(p, second % 60, 2);
}

void
date_mail(int64_t unix_s, int32_t gmtoff, char out[static DATE_MAIL_MAX])
{
	static const char day_name[7][4] = { "Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed" };
	static const char month_name[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct",
		"Nov", "Dec" };
	int zone = gmtoff > -DATE_DAY && gmtoff < DATE_DAY ? gmtoff / 60 : 0;
	int64_t local = within(unix_s) + (int64_t)zone * 60;
	struct civil d;
	char *p = out;

	if (local != within(local)) {
		local -= (int64_t)zone * 60;
		zone = 0;
	}
	d = civil(local / DATE_DAY);
	p = put_octet(put_name(p, day_name[local / DATE_DAY % 7]), ',');
	p = put_octet(put_digits(put_octet(p, ' '), d.day, 2), ' ');
	p = put_octet(put_name(p, month_name[d.month - 1]), ' ');
	p = put_octet(put_digits(p, d.year, 4), ' ');
	p = put_octet(put_time(p, (int)(local % DATE_DAY)), ' ');
	p = put_octet(p, zone < 0 ? '-' : '+');
	zone = zone < 0 ? -zone : zone;
	p = put_digits(put_digits(p, zone / 60, 2), zone % 60, 2);
	*p = '\0';
}

void
date_utc(int64_t unix_s, char out[static DATE_UTC_MAX])
{
	int64_t t = within(unix_s);
	struct civil d = civil(t / DATE_DAY);
	char *p = put_octet(put_digits(out, d.year, 4), '-');

	p = put_octet(put_digits(p, d.month, 2), '-');
	p = put_octet(put_digits(p, d.day, 2), 'T');
	p = put_time(p, (int)(t % DATE_DAY));
	*p = '\0';
}
