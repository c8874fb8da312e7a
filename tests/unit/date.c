/*
 * date: both forms beside the C library's calendar, at the bounds and at moments all over the years.
 */
#include "common/date.h"

#include <time.h>

#include "tests/unit/suite.h"

static const int64_t last = 253402300799;

static const struct {
	int64_t t;
	int32_t gmtoff;
	const char *mail;
} row[] = {
	{ 0, 0, "Thu, 01 Jan 1970 00:00:00 +0000" },
	{ -1, 0, "Thu, 01 Jan 1970 00:00:00 +0000" },
	{ INT64_MIN, -3600, "Thu, 01 Jan 1970 00:00:00 +0000" },
	{ 0, -60, "Thu, 01 Jan 1970 00:00:00 +0000" }, /* would be in 1969 */
	{ 60, -60, "Thu, 01 Jan 1970 00:00:00 -0001" },
	{ 951782400, 0, "Tue, 29 Feb 2000 00:00:00 +0000" },
	{ 951868799, 1, "Tue, 29 Feb 2000 23:59:59 +0000" },
	{ 951868799, 3600, "Wed, 01 Mar 2000 00:59:59 +0100" },
	{ 4107542399, 0, "Sun, 28 Feb 2100 23:59:59 +0000" },
	{ 4107542400, 0, "Mon, 01 Mar 2100 00:00:00 +0000" }, /* 2100 has no leap day */
	{ 1790000000, 20700, "Mon, 21 Sep 2026 19:58:20 +0545" },
	{ 1790000000, -34200, "Mon, 21 Sep 2026 04:43:20 -0930" },
	{ 1790000000, -59, "Mon, 21 Sep 2026 14:13:20 +0000" },
	{ 1790000000, 86400, "Mon, 21 Sep 2026 14:13:20 +0000" },
	{ 1790000000, INT32_MIN, "Mon, 21 Sep 2026 14:13:20 +0000" },
	{ last, 0, "Fri, 31 Dec 9999 23:59:59 +0000" },
	{ last, 60, "Fri, 31 Dec 9999 23:59:59 +0000" }, /* would be in 10000 */
	{ INT64_MAX, INT32_MAX, "Fri, 31 Dec 9999 23:59:59 +0000" },
};

START_TEST(bounds)
{
	char out[DATE_MAIL_MAX];

	date_mail(row[_i].t, row[_i].gmtoff, out);
	ck_assert_str_eq(out, row[_i].mail);
}
END_TEST

/* Not by ck_assert_str_eq(): Check notes each call of it. */
static void
same_as_the_library(int64_t t)
{
	char mail[DATE_MAIL_MAX], utc[DATE_UTC_MAX], want_mail[64], want_utc[64];
	time_t tt = t;
	struct tm tm;

	if (gmtime_r(&tt, &tm) == NULL)
		ck_abort_msg("gmtime_r: %lld", (long long)t);
	date_mail(t, 0, mail);
	date_utc(t, utc);
	strftime(want_mail, sizeof(want_mail), "%a, %d %b %Y %H:%M:%S +0000", &tm); /* the locale is C */
	strftime(want_utc, sizeof(want_utc), "%Y-%m-%dT%H:%M:%S", &tm);
	if (strcmp(mail, want_mail) != 0 || strcmp(utc, want_utc) != 0)
		ck_abort_msg("%lld: %s, %s", (long long)t, mail, utc);
}

START_TEST(as_the_library)
{
	/* Every day of 400 years, at its first and its last second, and one moment of every fifth day until 9999. */
	for (int64_t day = 0; day < 146097; day++) {
		same_as_the_library(day * 86400);
		same_as_the_library(day * 86400 + 86399);
	}
	for (int64_t t = 146097 * INT64_C(86400); t <= last; t += 5 * 86400 + 4567)
		same_as_the_library(t);
	same_as_the_library(last);
}
END_TEST

START_TEST(utc_bounds)
{
	char out[DATE_UTC_MAX];

	date_utc(INT64_MIN, out);
	ck_assert_str_eq(out, "1970-01-01T00:00:00");
	date_utc(INT64_MAX, out);
	ck_assert_str_eq(out, "9999-12-31T23:59:59");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("date");
	TCase *t = tcase_create("date");

	tcase_add_loop_test(t, bounds, 0, sizeof(row) / sizeof(row[0]));
	tcase_add_test(t, as_the_library);
	tcase_add_test(t, utc_bounds);
	suite_add_tcase(s, t);
	return suite_run(s);
}
