/*
 * relayreply: what a relay says, whole, cut short, and no SMTP at all.
 */
#include "reports/relay_reply.h"
#include "tests/unit/suite.h"

static const struct {
	const char *text;
	ssize_t n;
	unsigned code;
} replies[] = {
	{ "250 ok\r\n", 8, 250 },
	{ "250\r\n", 5, 250 },
	{ "250\n", 4, 250 },
	{ "250 ok\r\n250 more\r\n", 8, 250 },
	{ "250-a\r\n250-b\r\n250 c\r\n", 21, 250 },
	{ "250-a\r\n550 c\r\n", 14, 550 },
	{ "", 0, 0 },
	{ "25", 0, 0 },
	{ "250 ok\r", 0, 0 },
	{ "250-a\r\n", 0, 0 },
	{ "250-a\r\n250", 0, 0 },
	{ "\n", -1, 0 },
	{ "25\r\n", -1, 0 },
	{ "2a0 ok\r\n", -1, 0 },
	{ "000 ok\r\n", -1, 0 },
	{ "2500 ok\r\n", -1, 0 },
	{ "250+ok\r\n", -1, 0 },
	{ "250-a\r\nb\r\n", -1, 0 },
};

START_TEST(whole_ones_and_others)
{
	unsigned code = 0;

	ck_assert_int_eq(relay_reply(guarded_str(replies[_i].text), &code), replies[_i].n);
	if (replies[_i].n > 0)
		ck_assert_uint_eq(code, replies[_i].code);
}
END_TEST

START_TEST(nothing_at_all)
{
	unsigned code;

	ck_assert_int_eq(relay_reply(span_of(NULL, 0), &code), 0);
}
END_TEST

static const struct {
	const char *text;
	bool utf8, has8, starttls;
} offers[] = {
	{ "250 relay\r\n", false, false, false },
	{ "250-relay\r\n250-SMTPUTF8\r\n250-8BITMIME\r\n250 STARTTLS\r\n", true, true, true },
	{ "250-relay\r\n250-starttls\r\n250 HELP\r\n", false, false, true },
	{ "250-relay\r\n250-8BITMIME with words\r\n250 HELP\n", false, true, false },
	{ "250-relay\r\n250-XSTARTTLS\r\n250 STARTTLSX\r\n", false, false, false },
	{ "250-relay STARTTLS\r\n250\r\n", false, false, false },
	{ "250\n250\n", false, false, false },
};

START_TEST(what_it_offers)
{
	struct relay_offers o = relay_offers(guarded_str(offers[_i].text));

	ck_assert(o.utf8 == offers[_i].utf8 && o.has8 == offers[_i].has8 && o.starttls == offers[_i].starttls);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("relayreply");
	TCase *t = tcase_create("relayreply");

	tcase_add_loop_test(t, whole_ones_and_others, 0, sizeof(replies) / sizeof(replies[0]));
	tcase_add_test(t, nothing_at_all);
	tcase_add_loop_test(t, what_it_offers, 0, sizeof(offers) / sizeof(offers[0]));
	suite_add_tcase(s, t);
	return suite_run(s);
}
