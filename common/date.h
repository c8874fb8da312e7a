/*
 * date: a moment as text.  gmtime_r(3) takes the time zone's lock and may open
 * files, which a sandboxed process cannot; strftime(3) asks the locale.  PURE.
 * What lies before 1970 is written as its first second, what lies behind the
 * year 9999 as that one's last: neither form has more than four digits for it.
 */
#ifndef COMMON_DATE_H_
#define COMMON_DATE_H_

#include <stddef.h>
#include <stdint.h>

enum {
	DATE_MAIL_MAX = 32, /* octets of "Thu, 01 Jan 1970 00:00:00 +0000" and its NUL */
	DATE_UTC_MAX  = 20  /* octets of "1970-01-01T00:00:00" and its NUL */
};

/*
 * The date-time of RFC 5322 3.3 of ${unix_s}, seconds since 1970, as a clock shows it that is ${gmtoff} seconds east of
 * UTC: minutes of it, the form knows no seconds; no offset where it is a day or more, or would leave the years above.
 * It is always DATE_MAIL_MAX - 1 octets long.
 */
void date_mail(int64_t unix_s, int32_t gmtoff, char out[static DATE_MAIL_MAX]);

/* Date and time of ${unix_s} in UTC as RFC 3339 5.6 has them, without fraction and zone: DATE_UTC_MAX - 1 octets. */
void date_utc(int64_t unix_s, char out[static DATE_UTC_MAX]);
#endif
