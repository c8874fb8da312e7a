/* entry: lines become records and records become the same lines again; mistakes are named. */
#include "tests/unit/suite.h"

#include "common/entry.h"

static uint8_t rec[ENTRY_RECORD_MAX];
static char key[NORM_KEY_MAX], err[512], out[4 * ENTRY_RECORD_MAX];
static size_t keylen, reclen;

static int
parse(struct span line)
{
	keylen = reclen = 0;
	err[0] = '\0';
	return entry_parse(line, key, &keylen, rec, &reclen, err, sizeof(err));
}

/* A line, and how its record is printed; NULL: no entry. */
static const struct {
	const char *line, *printed;
} good[] = {
	{ "", NULL },
	{ "   \t ", NULL },
	{ "# alice@example.org", NULL },
	{ "  # alice@example.org", NULL },
	{ "alice@example.org", "alice@example.org" },
	{ "  alice@example.org\t", "alice@example.org" },
	{ "alice@example.org # a comment", "alice@example.org" },
	{ "alice@example.org#x", NULL }, /* see bad */
	{ "Alice@Example.ORG", "alice@example.org" },
	{ "Alice@Example.ORG ", "alice@example.org" },
	{ "a.b+c_d-e@x-1.example.org", "a.b+c_d-e@x-1.example.org" },
	{ "a#b@example.org", "a#b@example.org" },
	{ "\"#b\"@example.org", "\"#b\"@example.org" },
	{ "\"john doe\"@example.org", "\"john doe\"@example.org" },
	{ "\"a@b\"@example.org quota=1B", "\"a@b\"@example.org quota=1B" },
	{ "\"a\\\"b\"@example.org", "\"a\\\"b\"@example.org" },
	{ "bob@example.org quota=2GiB", "bob@example.org quota=2GiB" },
	{ "bob@example.org quota=2048MiB", "bob@example.org quota=2GiB" },
	{ "bob@example.org quota=1536B", "bob@example.org quota=1536B" },
	{ "bob@example.org quota=1KiB", "bob@example.org quota=1KiB" },
	{ "bob@example.org quota=\"3TiB\"", "bob@example.org quota=3TiB" },
	{ "bob@example.org quota=0B", "bob@example.org" },
	{ "bob@example.org quota-messages=10", "bob@example.org quota-messages=10" },
	{ "bob@example.org quota-messages=0", "bob@example.org" },
	{ "bob@example.org quota-messages=007 quota=1KiB", "bob@example.org quota=1KiB quota-messages=7" },
	{ "bob@example.org quota=0GiB quota-messages=\"18446744073709551615\"",
	    "bob@example.org quota-messages=18446744073709551615" },
	{ "bob@example.org quota=18446744073709551615B", "bob@example.org quota=18446744073709551615B" },
	{ "s@example.org alias=A@example.org,b@Example.org", "s@example.org alias=a@example.org,b@example.org" },
	{ "s@example.org alias=\"a@example.org, b@example.org\"", "s@example.org alias=a@example.org,b@example.org" },
	{ "s@example.org alias=\"\\\"x, y\\\"@example.org,b@example.org\"",
	    "s@example.org alias=\"\\\"x, y\\\"@example.org,b@example.org\"" },
	{ "o@example.org reject=\"550 5.1.6 moved to new@example.org\" # gone",
	    "o@example.org reject=\"550 5.1.6 moved to new@example.org\"" },
	{ "o@example.org reject=\"550 say \\\"hi\\\" \\\\\"", "o@example.org reject=\"550 say \\\"hi\\\" \\\\\"" },
	{ "m@example.org defer=\"450 4.2.1 later\"", "m@example.org defer=\"450 4.2.1 later\"" },
	{ "s@example.org copy=A@example.org,b@Example.org", "s@example.org copy=a@example.org,b@example.org" },
	{ "@example.org alias=a@example.org", "@example.org alias=a@example.org" },
	{ "@Example.Org reject=\"550 5.1.1 no\"", "@example.org reject=\"550 5.1.1 no\"" },
	{ "@example.net domain-alias=Example.org", "@example.net domain-alias=example.org" },
	{ "m\xc3\x9cller@example.org", "m\xc3\xbcller@example.org" },
	{ "x@b\xc3\xbc"
	  "cher.example",
	    "x@xn--bcher-kva.example" },
	{ "@b\xc3\xbc"
	  "cher.example alias=x@b\xc3\xbc"
	  "cher.example",
	    "@xn--bcher-kva.example alias=x@xn--bcher-kva.example" },
};

START_TEST(lines)
{
	struct span line = guarded_str(good[_i].line);
	struct entry e;
	int rc = parse(line);
	ssize_t n;

	if (good[_i].printed == NULL) {
		ck_assert_int_eq(rc, strchr(good[_i].line, '@') != NULL && good[_i].line[0] == 'a' ? -1 : 0);
		return;
	}
	ck_assert_msg(rc == 1, "%s: %s", good[_i].line, err);
	ck_assert_int_eq(entry_decode(guarded(rec, reclen), &e), 0);
	n = entry_format(span_of(key, keylen), &e, out, sizeof(out));
	ck_assert_int_eq(n, (ssize_t)strlen(good[_i].printed));
	ck_assert_mem_eq(out, good[_i].printed, (size_t)n);
	/* What is printed gives the same record again. */
	char key1[NORM_KEY_MAX];
	size_t keylen1 = keylen, reclen1 = reclen;
	uint8_t *rec1 = malloc(reclen);

	memcpy(key1, key, keylen);
	memcpy(rec1, rec, reclen);
	ck_assert_int_eq(parse(guarded(out, (size_t)n)), 1);
	ck_assert(span_eq(span_of(key, keylen), span_of(key1, keylen1)));
	ck_assert(span_eq(span_of(rec, reclen), span_of(rec1, reclen1)));
	free(rec1);
	/* Nothing is written past a buffer that is one octet too small. */
	out[n - 1] = 0x55;
	ck_assert_int_eq(entry_format(span_of(key, keylen), &e, out, (size_t)n - 1), -1);
	ck_assert_int_eq(out[n - 1], 0x55);
}
END_TEST

/* A line, and what the message must say. */
static const struct {
	const char *line, *says;
} bad[] = {
	{ "alice", "needs a '@'" },
	{ "alice@", "not a valid address" },
	{ "@", "not a domain" },
	{ "a b@example.org", "needs a '@'" },
	{ ".a@example.org", "not a valid address" },
	{ "a..b@example.org", "not a valid address" },
	{ "a.@example.org", "not a valid address" },
	{ "a@-b.org", "not a valid address" },
	{ "a@b-.org", "not a valid address" },
	{ "a@b..org", "not a valid address" },
	{ "a@b.org.", "not a valid address" },
	{ "alice@example.org#x", "not a valid address" },
	{ "<a@example.org>", "not a valid address" },
	{ "a@[192.0.2.1]", "address literal" },
	{ "\"a@example.org", "never closed" },
	{ "a@example.org quota", "no key=value" },
	{ "a@example.org quota-messages=1KiB", "is no number" },
	{ "a@example.org quota-messages=", "is no number" },
	{ "a@example.org quota-messages=18446744073709551616", "too large" },
	{ "@example.org quota-messages=1", "belongs to a mailbox" },
	{ "a@example.org quota-messages=1 quota-messages=1", "stands here twice" },
	{ "a@example.org quota-messages=1 quota=1B quota=1B", "stands here twice" },
	{ "a@example.org quota=1B quota-messages=1 alias=b@example.org", "can't stand beside" },
	{ "a@example.org reject=\"550 x\" quota-messages=1", "can't stand beside" },
	{ "a@example.org b@example.org", "no key=value" },
	{ "a@example.org size=1", "no key 'size'" },
	{ "a@example.org Quota=1", "no key 'Quota'" },
	{ "a@example.org quota=", "no size" },
	{ "a@example.org quota=GiB", "no size" },
	{ "a@example.org quota=2147483648", "quota=2147483648 needs a unit" },
	{ "a@example.org quota=0", "quota=0 needs a unit" },
	{ "a@example.org quota=1GB", "no size" },
	{ "a@example.org quota=-1", "no size" },
	{ "a@example.org quota=1.5GiB", "no size" },
	{ "a@example.org quota=18446744073709551616", "too large" },
	{ "a@example.org quota=16777216TiB", "too large" },
	{ "a@example.org quota=1B quota=1B", "twice" },
	{ "a@example.org quota=1B alias=b@example.org", "beside another" },
	{ "a@example.org alias=", "empty target" },
	{ "a@example.org alias=b@example.org,", "empty target" },
	{ "a@example.org alias=,b@example.org", "empty target" },
	{ "a@example.org copy=", "copy= has an empty target" },
	{ "a@example.org copy=b@example.org alias=c@example.org", "beside another" },
	{ "@example.org copy=b@example.org", "belongs to a mailbox" },
	{ "a@example.org alias=b", "needs a '@'" },
	{ "a@example.org alias=@example.org", "is a domain" },
	{ "a@example.org alias=\"b@example.org\",c@example.org", "double quotes" },
	{ "a@example.org reject=550", "no reply" },
	{ "a@example.org reject=\"\"", "no reply" },
	{ "a@example.org reject=\"550 4.1.1 x\"", "no reply" },
	{ "a@example.org reject=\"450 4.2.1 x\"", "5xx" },
	{ "a@example.org reject=\"250 2.0.0 x\"", "no reply" },
	{ "a@example.org reject=\"550 5.1.1 x", "never closed" },
	{ "a@example.org defer=\"550 5.1.1 x\"", "4xx" },
	{ "a@example.org defer=\"421 4.3.2 x\"", "421" },
	{ "a@example.org domain-alias=example.net", "belongs to a domain" },
	{ "@example.org", "says nothing" },
	{ "@example.org quota=1B", "belongs to a mailbox" },
	{ "@example.org domain-alias=a_b@c", "not a domain" },
	{ "@example.org domain-alias=", "not a domain" },
};

START_TEST(mistakes)
{
	ck_assert_int_eq(parse(guarded_str(bad[_i].line)), -1);
	ck_assert_msg(strstr(err, bad[_i].says) != NULL, "'%s' gives '%s'", bad[_i].line, err);
	ck_assert_ptr_null(strpbrk(err, "\r\n"));
}
END_TEST

/* The short way and the long way agree, for every octet in every kind of place. */
START_TEST(short_way)
{
	static const char *const forms[] = { "?@example.org", "a?@example.org", "a?b@example.org", "a@?", "a@?x.org",
		"a@x?y.org", "a@x?", "a@ab?-c.org", "a@x--?.org", "?xn--a@xn--?.org" };
	char a[64], key1[NORM_KEY_MAX];
	size_t keylen1;

	for (unsigned f = 0; f < sizeof(forms) / sizeof(forms[0]); f++)
		for (int c = 1; c < 256; c++) {
			int rc, n = snprintf(a, sizeof(a), "%s ", forms[f]);

			for (int i = 0; i < n; i++)
				a[i] = a[i] == '?' ? (char)c : a[i];
			if (c == ' ' || c == '\t')
				continue;
			rc = parse(guarded(a, (size_t)n - 1));
			keylen1 = keylen;
			memcpy(key1, key, keylen);
			ck_assert_msg(parse(guarded(a, (size_t)n)) == rc,
			    "%s: %d without, not with a blank behind it: %s", a, rc, err);
			if (rc == 1)
				ck_assert_msg(span_eq(span_of(key, keylen), span_of(key1, keylen1)), "%s", a);
		}
}
END_TEST

START_TEST(limits)
{
	char *line = malloc(ENTRY_LINE_MAX + 2);
	struct entry e;
	size_t n;

	memset(line, ' ', ENTRY_LINE_MAX + 2);
	memcpy(line, "a@example.org", 13);
	ck_assert_int_eq(parse(guarded(line, ENTRY_LINE_MAX)), 1);
	ck_assert_int_eq(parse(guarded(line, ENTRY_LINE_MAX + 1)), -1);
	ck_assert_ptr_nonnull(strstr(err, "longer than"));
	line[5] = '\0';
	ck_assert_int_eq(parse(guarded(line, 20)), -1);
	ck_assert_ptr_nonnull(strstr(err, "NUL"));

	for (int targets = ENTRY_ALIAS_MAX; targets <= ENTRY_ALIAS_MAX + 1; targets++) {
		n = (size_t)snprintf(line, ENTRY_LINE_MAX, "a@example.org alias=");
		for (int i = 0; i < targets; i++)
			n += (size_t)snprintf(line + n, ENTRY_LINE_MAX - n, "%su%d@example.org", i > 0 ? "," : "", i);
		ck_assert_int_eq(parse(guarded(line, n)), targets > ENTRY_ALIAS_MAX ? -1 : 1);
	}
	ck_assert_ptr_nonnull(strstr(err, "at most 1000"));

	memset(line, '!', 86); /* a folder's name has 255 octets: %21 each */
	memcpy(line + 85, "@b.org", 6);
	ck_assert_int_eq(parse(guarded(line, 91)), 1);
	memset(line, '!', 86);
	memcpy(line + 86, "@b.org", 6);
	ck_assert_int_eq(parse(guarded(line, 92)), -1);
	ck_assert_ptr_nonnull(strstr(err, "folder"));
	memcpy(line + 92, " alias=a@b.org", 14);
	ck_assert_int_eq(parse(guarded(line, 106)), 1); /* an alias needs no folder */
	ck_assert_int_eq(entry_decode(span_of(rec, reclen), &e), 0);

	/* 227 octets of A-labels: what is printed must be short enough to be read again. */
	for (int local = 26; local <= 27; local++) {
		memset(line, 'a', (size_t)local);
		n = (size_t)local + (size_t)snprintf(line + local, 16, "@");
		for (int i = 0; i < 28; i++)
			n += (size_t)snprintf(line + n, 16, "\xc3\xbc.");
		n += (size_t)snprintf(line + n, 16, "org");
		ck_assert_int_eq(parse(guarded(line, n)), local == 26 ? 1 : -1);
	}
	ck_assert_ptr_nonnull(strstr(err, "254 octets"));
	free(line);
}
END_TEST

/* Records that nobody wrote. */
static const struct {
	const char *p;
	size_t n;
} damaged[] = {
	{ "", 0 },
	{ "\0", 1 },
	{ "\7", 1 },
	{ "\377", 1 },
	{ "\1x", 2 },
	{ "\1"
	  "1234567",
	    8 },
	{ "\1"
	  "123456789",
	    10 },
	{ "\2", 1 },
	{ "\2a@b", 4 },
	{ "\2\0", 2 },
	{ "\2a@b\0\0", 6 },
	{ "\2ab\0", 4 },
	{ "\2@b\0", 4 },
	{ "\2a@\0", 4 },
	{ "\3", 1 },
	{ "\3"
	  "450 x",
	    6 },
	{ "\3"
	  "550",
	    4 },
	{ "\4", 1 },
	{ "\4"
	  "550 x",
	    6 },
	{ "\5x", 2 },
	{ "\6", 1 },
};

START_TEST(damage)
{
	struct entry e;

	ck_assert_int_eq(entry_decode(guarded(damaged[_i].p, damaged[_i].n), &e), -1);
}
END_TEST

START_TEST(keys)
{
	ck_assert_int_eq(entry_key(guarded_str("Bob@Example.org"), key, &keylen, err, sizeof(err)), 0);
	ck_assert(span_eq(span_of(key, keylen), SPAN("bob@example.org")));
	ck_assert_int_eq(entry_key(guarded_str("@Example.org"), key, &keylen, err, sizeof(err)), 0);
	ck_assert(span_eq(span_of(key, keylen), SPAN("@example.org")));
	ck_assert_int_eq(entry_key(guarded_str(""), key, &keylen, err, sizeof(err)), -1);
	ck_assert_int_eq(entry_key(guarded_str("bob"), key, &keylen, err, sizeof(err)), -1);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("entry");
	TCase *t = tcase_create("entry");

	tcase_add_loop_test(t, lines, 0, sizeof(good) / sizeof(good[0]));
	tcase_add_loop_test(t, mistakes, 0, sizeof(bad) / sizeof(bad[0]));
	tcase_add_loop_test(t, damage, 0, sizeof(damaged) / sizeof(damaged[0]));
	tcase_add_test(t, short_way);
	tcase_add_test(t, limits);
	tcase_add_test(t, keys);
	suite_add_tcase(s, t);
	return suite_run(s);
}
