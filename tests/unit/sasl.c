/*
 * sasl: base64 with no second spelling; each mechanism's messages, and each
 * thing that may be wrong with them.
 */
#include "worker/smtp/sasl.h"

#include "tests/unit/suite.h"

static struct sasl s;

/* ${n} octets of ${text} as a response. */
static enum sasl_got
say(const void *text, size_t n)
{
	static char line[16384];
	ssize_t len = sasl_encode(span_of(text, n), line, sizeof line);

	ck_assert_int_ge(len, 0);
	return sasl_take(&s, guarded(line, (size_t)len));
}

static enum sasl_got
say_str(const char *text)
{
	return say(text, strlen(text));
}

#define SAY(text) say(text, sizeof(text) - 1)

static const struct {
	const char *in;
	int n; /* -1: none */
	const char *out;
} encodings[] = {
	{ "", 0, "" },
	{ "Zg==", 1, "f" },
	{ "Zm8=", 2, "fo" },
	{ "Zm9v", 3, "foo" },
	{ "Zm9vYmFy", 6, "foobar" },
	{ "++//", 3, "\xfb\xef\xff" },
	{ "Zh==", -1, "" }, /* bits that stand for nothing */
	{ "Zm9=", -1, "" },
	{ "Z", -1, "" },
	{ "Zg", -1, "" },
	{ "Zg=", -1, "" },
	{ "Zg===", -1, "" },
	{ "=", -1, "" },
	{ "====", -1, "" },
	{ "Z===", -1, "" },
	{ "Zg==Zg==", -1, "" },
	{ "Zm=v", -1, "" },
	{ "Zm 9", -1, "" },
	{ "Zm9v ", -1, "" },
	{ " Zm9v", -1, "" },
	{ "Zm9v\r", -1, "" },
	{ "-_-_", -1, "" },
	{ "Zm\xc3\xa9", -1, "" },
};

START_TEST(t_base64)
{
	uint8_t out[64];
	char text[64];

	for (size_t i = 0; i < sizeof encodings / sizeof encodings[0]; i++) {
		ssize_t n = sasl_decode(guarded_str(encodings[i].in), out, sizeof out);

		ck_assert_msg(n == encodings[i].n, "\"%s\": %zd", encodings[i].in, n);
		if (n <= 0)
			continue;
		ck_assert_mem_eq(out, encodings[i].out, (size_t)n);
		ck_assert_int_eq(
		    sasl_encode(guarded(out, (size_t)n), text, sizeof text), (ssize_t)strlen(encodings[i].in));
		ck_assert_str_eq(text, encodings[i].in);
	}
	/* NULs among them, and room to the octet. */
	ck_assert_int_eq(sasl_decode(guarded("AA\0A", 4), out, sizeof out), -1);
	ck_assert_int_eq(sasl_decode(guarded_str("Zm9v"), out, 3), 3);
	ck_assert_int_eq(sasl_decode(guarded_str("Zm9v"), out, 2), -1);
	ck_assert_int_eq(sasl_encode(SPAN("foo"), text, 5), 4);
	ck_assert_int_eq(sasl_encode(SPAN("foo"), text, 4), -1);
	ck_assert_int_eq(sasl_encode(SPAN("f"), text, 4), -1);
	ck_assert_int_eq(sasl_encode(SPAN(""), text, 1), 0);
}
END_TEST

static const struct {
	const char *text;
	size_t n;
	enum sasl_got got;
} plains[] = {
#define P(text, got) \
	{ \
		text, sizeof(text) - 1, got \
	}
	P("\0anna\0sesame", SASL_ASK),
	P("anna\0anna\0sesame", SASL_ASK),
	P("ANNA\0anna\0sesame", SASL_ASK),
	P("bert\0anna\0sesame", SASL_REFUSED), /* to act for somebody else */
	P("\0anna\0", SASL_REFUSED),
	P("\0\0sesame", SASL_REFUSED),
	P("\0anna\0se\0same", SASL_REFUSED),
	P("\0an na\0sesame", SASL_REFUSED),
	P("\0anna\r\n\0sesame", SASL_REFUSED),
	P("\0anna", SASL_BAD),
	P("anna", SASL_BAD),
	P("\0", SASL_BAD),
	P("", SASL_BAD),
};

START_TEST(t_plain)
{
	for (size_t i = 0; i < sizeof plains / sizeof plains[0]; i++) {
		sasl_init(&s, SASL_PLAIN);
		ck_assert_msg(say(plains[i].text, plains[i].n) == plains[i].got, "row %zu", i);
		if (plains[i].got != SASL_ASK)
			continue;
		ck_assert_int_eq(s.step, SASL_PASSWORD);
		ck_assert_str_eq(s.user, "anna");
		ck_assert(span_eq(s.password, SPAN("sesame")));
	}
}
END_TEST

START_TEST(t_lengths)
{
	static char text[SASL_TEXT_MAX + 64];

	memset(text, 'x', sizeof text);
	for (size_t user = SASL_USER_MAX; user <= SASL_USER_MAX + 1; user++)
		for (size_t password = SASL_PASSWORD_MAX; password <= SASL_PASSWORD_MAX + 1; password++) {
			text[0] = text[1 + user] = '\0';
			sasl_init(&s, SASL_PLAIN);
			ck_assert_int_eq(say(text, 2 + user + password),
			    user <= SASL_USER_MAX && password <= SASL_PASSWORD_MAX ? SASL_ASK : SASL_REFUSED);
			text[1 + user] = 'x';
		}
	sasl_init(&s, SASL_PLAIN);
	ck_assert_int_eq(say(text, SASL_TEXT_MAX + 1), SASL_BAD);
}
END_TEST

START_TEST(t_login)
{
	sasl_init(&s, SASL_LOGIN);
	ck_assert_int_eq(SAY("Anna"), SASL_MORE);
	ck_assert_int_eq(SAY("sesame"), SASL_ASK);
	ck_assert_str_eq(s.user, "anna");
	ck_assert(span_eq(s.password, SPAN("sesame")));
	/* A name that nobody has: heard to its end. */
	sasl_init(&s, SASL_LOGIN);
	ck_assert_int_eq(SAY("an na"), SASL_MORE);
	ck_assert_int_eq(SAY("sesame"), SASL_REFUSED);
	sasl_init(&s, SASL_LOGIN);
	ck_assert_int_eq(SAY(""), SASL_MORE);
	ck_assert_int_eq(SAY(""), SASL_REFUSED);
	sasl_init(&s, SASL_LOGIN);
	ck_assert_int_eq(SAY("anna"), SASL_MORE);
	ck_assert_int_eq(SAY("a\0b"), SASL_REFUSED);
}
END_TEST

static const struct {
	const char *text;
	enum sasl_mech mech;
	enum sasl_got got;
	const char *user;
} firsts[] = {
	{ "n,,n=anna,r=abc", SASL_SCRAM, SASL_ASK, "anna" },
	{ "n,a=anna,n=anna,r=abc", SASL_SCRAM, SASL_ASK, "anna" },
	{ "n,a=bert,n=anna,r=abc", SASL_SCRAM, SASL_REFUSED, NULL },
	{ "n,,n=a=2Cb=3Dc,r=abc", SASL_SCRAM, SASL_ASK, "a,b=c" },
	{ "n,,n=anna,r=abc,x=more", SASL_SCRAM, SASL_ASK, "anna" },
	{ "p=tls-exporter,,n=anna,r=abc", SASL_SCRAM_PLUS, SASL_ASK, "anna" },
	/* Downgrades: a client that could bind and was told that we cannot; one that names a binding to the plain one, or none to -PLUS. */
	{ "y,,n=anna,r=abc", SASL_SCRAM, SASL_REFUSED, NULL },
	{ "y,,n=anna,r=abc", SASL_SCRAM_PLUS, SASL_REFUSED, NULL },
	{ "n,,n=anna,r=abc", SASL_SCRAM_PLUS, SASL_REFUSED, NULL },
	{ "p=tls-exporter,,n=anna,r=abc", SASL_SCRAM, SASL_REFUSED, NULL },
	/* Forms. */
	{ "", SASL_SCRAM, SASL_BAD, NULL },
	{ "n", SASL_SCRAM, SASL_BAD, NULL },
	{ "n,", SASL_SCRAM, SASL_BAD, NULL },
	{ "n,,", SASL_SCRAM, SASL_BAD, NULL },
	{ "nn,,n=anna,r=abc", SASL_SCRAM, SASL_BAD, NULL },
	{ "q,,n=anna,r=abc", SASL_SCRAM, SASL_BAD, NULL },
	{ "n,b=anna,n=anna,r=abc", SASL_SCRAM, SASL_BAD, NULL },
	{ "n,a=,n=anna,r=abc", SASL_SCRAM, SASL_BAD, NULL },
	{ "n,,m=x,n=anna,r=abc", SASL_SCRAM, SASL_BAD, NULL },
	{ "n,,r=abc,n=anna", SASL_SCRAM, SASL_BAD, NULL },
	{ "n,,n=anna", SASL_SCRAM, SASL_BAD, NULL },
	{ "n,,n=anna,r=", SASL_SCRAM, SASL_BAD, NULL },
	{ "n,,n=anna,r=a b", SASL_SCRAM, SASL_BAD, NULL },
	{ "n,,n=anna,r=a\x7f", SASL_SCRAM, SASL_BAD, NULL },
	{ "n,,n=anna,r=a\xc3\xa4", SASL_SCRAM, SASL_BAD, NULL },
	{ "n,,n=an\x7fna,r=abc", SASL_SCRAM, SASL_REFUSED, NULL },
	{ "n,,n=,=,r=abc", SASL_SCRAM, SASL_BAD, NULL },
	{ "p=a,,n=anna,r=abc", SASL_SCRAM_PLUS, SASL_ASK, "anna" },
	{ "px,,n=anna,r=abc", SASL_SCRAM_PLUS, SASL_BAD, NULL },
	{ "n,,n=,r=abc", SASL_SCRAM, SASL_REFUSED, NULL },
	{ "n,,n=a=2c,r=abc", SASL_SCRAM, SASL_REFUSED, NULL },
	{ "n,,n=a=,r=abc", SASL_SCRAM, SASL_REFUSED, NULL },
	{ "n,,n=a=3,r=abc", SASL_SCRAM, SASL_REFUSED, NULL },
	{ "n,,n=a b,r=abc", SASL_SCRAM, SASL_REFUSED, NULL },
	{ "p=,,n=anna,r=abc", SASL_SCRAM_PLUS, SASL_BAD, NULL },
	{ "p,,n=anna,r=abc", SASL_SCRAM_PLUS, SASL_BAD, NULL },
	{ "p=tls_exporter,,n=anna,r=abc", SASL_SCRAM_PLUS, SASL_BAD, NULL },
	{ "p=tls-exporter-with-a-name-that-is-too-long,,n=anna,r=abc", SASL_SCRAM_PLUS, SASL_BAD, NULL },
};

START_TEST(t_scram_first)
{
	for (size_t i = 0; i < sizeof firsts / sizeof firsts[0]; i++) {
		sasl_init(&s, firsts[i].mech);
		ck_assert_msg(say_str(firsts[i].text) == firsts[i].got, "%s", firsts[i].text);
		if (firsts[i].got == SASL_ASK)
			ck_assert_str_eq(s.user, firsts[i].user);
	}
	/* A NUL ends no name of a binding. */
	sasl_init(&s, SASL_SCRAM_PLUS);
	ck_assert_int_eq(SAY("p=tls-exporter\0x,,n=anna,r=abc"), SASL_BAD);
}
END_TEST

#define PROOF "p=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
static const struct {
	const char *text;
	enum sasl_got got;
} finals[] = {
	{ "c=biws,r=abcdef," PROOF, SASL_ASK },
	{ "c=biws,r=abcdef,x=more," PROOF, SASL_ASK },
	{ "c=biws,r=abcdeg," PROOF, SASL_REFUSED }, /* not our nonce */
	{ "c=biws,r=abc," PROOF, SASL_REFUSED },
	{ "c=biws,r=abcdefg," PROOF, SASL_REFUSED },
	{ "c=eSws,r=abcdef," PROOF, SASL_REFUSED },     /* began with "n,," and not with "y,," */
	{ "c=biwsYWJj,r=abcdef," PROOF, SASL_REFUSED }, /* data for no binding */
	{ "c=biw=,r=abcdef," PROOF, SASL_REFUSED },
	{ "c=biws,r=abcdef", SASL_BAD },
	{ "c=biws," PROOF, SASL_BAD },
	{ "c=,r=abcdef," PROOF, SASL_REFUSED },
	{ "c_biws,r=abcdef," PROOF, SASL_BAD },
	{ "r=abcdef,c=biws," PROOF, SASL_BAD },
	{ "c=biws,r=abcdef,p=", SASL_BAD },
	{ "c=biws,r=abcdef,p=AAEC", SASL_BAD },
	{ "c=biws,r=abcdef,p=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gIQ==", SASL_BAD },
	{ "c=biws,r=abcdef," PROOF ",x=behind", SASL_BAD },
	{ "", SASL_BAD },
};

START_TEST(t_scram_final)
{
	for (size_t i = 0; i < sizeof finals / sizeof finals[0]; i++) {
		sasl_init(&s, SASL_SCRAM);
		ck_assert_int_eq(say_str("n,,n=anna,r=abc"), SASL_ASK);
		/* r=abcdef,s=AAAA,i=4096 */
		ck_assert_int_eq(sasl_told(&s, SPAN("cj1hYmNkZWYscz1BQUFBLGk9NDA5Ng==")), 0);
		ck_assert_int_eq(s.step, SASL_FINAL);
		ck_assert_msg(say_str(finals[i].text) == finals[i].got, "%s", finals[i].text);
		if (finals[i].got != SASL_ASK)
			continue;
		ck_assert_uint_eq(s.proof[31], 31);
		ck_assert_uint_eq(s.nbinding, 0);
		ck_assert_int_eq(sasl_told(&s, SPAN("dj1B")), 0);
		ck_assert_int_eq(s.step, SASL_CONFIRMED);
		ck_assert_int_eq(SAY("x"), SASL_BAD);
		ck_assert_int_eq(SAY(""), SASL_ASK);
	}
}
END_TEST

START_TEST(t_scram_bound)
{
	sasl_init(&s, SASL_SCRAM_PLUS);
	ck_assert_int_eq(say_str("p=tls-exporter,,n=anna,r=abc"), SASL_ASK);
	ck_assert_str_eq(s.bind_name, "tls-exporter");
	ck_assert_int_eq(sasl_told(&s, SPAN("cj1hYmNkZWYscz1BQUFBLGk9NDA5Ng==")), 0);
	/* The header and nothing of the channel; then "wxyz" of it. */
	ck_assert_int_eq(say_str("c=cD10bHMtZXhwb3J0ZXIsLA==,r=abcdef," PROOF), SASL_REFUSED);
	ck_assert_int_eq(say_str("c=cD10bHMtZXhwb3J0ZXIsLHd4eXo=,r=abcdef," PROOF), SASL_ASK);
	ck_assert_uint_eq(s.nbinding, 4);
	ck_assert_mem_eq(s.binding, "wxyz", 4);
}
END_TEST

static const struct {
	const char *text;
	size_t n;
	enum sasl_mech mech;
	enum sasl_got got;
	const char *user, *token;
} tokens[] = {
#define B(text, got, user, token) \
	{ \
		text, sizeof(text) - 1, SASL_OAUTHBEARER, got, user, token \
	}
#define X(text, got, user, token) \
	{ \
		text, sizeof(text) - 1, SASL_XOAUTH2, got, user, token \
	}
	B("n,a=anna,\1auth=Bearer abc\1\1", SASL_ASK, "anna", "abc"),
	B("n,,\1auth=Bearer abc==\1\1", SASL_ASK, "", "abc=="),
	B("y,,\1host=x\1port=1\1auth=bEARER  a.b-c_d~e/f+g\1more=\1\1", SASL_ASK, "", "a.b-c_d~e/f+g"),
	B("n,a=a=2Cb,\1auth=Bearer abc\1\1", SASL_ASK, "a,b", "abc"),
	B("n,a=an na,\1auth=Bearer abc\1\1", SASL_REFUSED, NULL, NULL),
	B("n,a=a=2x,\1auth=Bearer abc\1\1", SASL_REFUSED, NULL, NULL),
	B("n,,\1auth=\1\1", SASL_REFUSED, NULL, NULL),
	B("n,,\1auth=Bearer \1\1", SASL_REFUSED, NULL, NULL),
	B("n,,\1auth=Bearer =\1\1", SASL_REFUSED, NULL, NULL),
	B("n,,\1auth=Bearer a=b\1\1", SASL_REFUSED, NULL, NULL),
	B("n,,\1auth=Bearer a b\1\1", SASL_REFUSED, NULL, NULL),
	B("n,,\1auth=Bearer a\nb\1\1", SASL_REFUSED, NULL, NULL), /* no line of a request of ours */
	B("n,,\1auth=Bearer a\0b\1\1", SASL_BAD, NULL, NULL),
	B("n,,\1auth=Basic abc\1\1", SASL_REFUSED, NULL, NULL),
	B("n,,\1auth=Bearer abc\1auth=Bearer abd\1\1", SASL_BAD, NULL, NULL),
	B("p=tls-exporter,,\1auth=Bearer abc\1\1", SASL_BAD, NULL, NULL),
	B("n,b=anna,\1auth=Bearer abc\1\1", SASL_BAD, NULL, NULL),
	B("n,a=,\1auth=Bearer abc\1\1", SASL_BAD, NULL, NULL),
	B("n,,auth=Bearer abc\1\1", SASL_BAD, NULL, NULL),
	B("n,,\1auth=Bearer abc\1", SASL_BAD, NULL, NULL),
	B("n,,\1auth=Bearer abc", SASL_BAD, NULL, NULL),
	B("n,,\1auth=Bearer abc\1\1x", SASL_BAD, NULL, NULL),
	B("n,,\1host=x\1\1", SASL_BAD, NULL, NULL),
	B("n,,\1\1", SASL_BAD, NULL, NULL),
	B("n,,\1=x\1auth=Bearer abc\1\1", SASL_BAD, NULL, NULL),
	B("n,,", SASL_BAD, NULL, NULL),
	B("n", SASL_BAD, NULL, NULL),
	B("", SASL_BAD, NULL, NULL),
	X("user=Anna\1auth=Bearer abc\1\1", SASL_ASK, "anna", "abc"),
	X("user=an na\1auth=Bearer abc\1\1", SASL_REFUSED, NULL, NULL),
	X("user=anna\1auth=Bearer abc\1user=bert\1\1", SASL_BAD, NULL, NULL),
	X("user=anna\1user=bert\1auth=Bearer abc\1\1", SASL_BAD, NULL, NULL),
	X("user=\1auth=Bearer abc\1\1", SASL_REFUSED, NULL, NULL),
	X("auth=Bearer abc\1\1", SASL_BAD, NULL, NULL),
	X("user=anna\1\1", SASL_BAD, NULL, NULL),
	X("user=anna\1auth=Bearer abc\1", SASL_BAD, NULL, NULL),
	X("\1\1", SASL_BAD, NULL, NULL),
	X("", SASL_BAD, NULL, NULL),
};

START_TEST(t_tokens)
{
	for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
		sasl_init(&s, tokens[i].mech);
		ck_assert_int_eq(s.step, SASL_TOKEN);
		ck_assert_msg(say(tokens[i].text, tokens[i].n) == tokens[i].got, "row %zu: %s", i, tokens[i].text);
		if (tokens[i].got != SASL_ASK)
			continue;
		ck_assert_str_eq(s.user, tokens[i].user);
		ck_assert_uint_eq(s.nuser, strlen(tokens[i].user));
		ck_assert_msg(span_eq(s.password, span_str(tokens[i].token)), "row %zu", i);
	}
	s.step = SASL_EXPLAINED;
	ck_assert_int_eq(sasl_take(&s, SPAN("AQ==")), SASL_REFUSED);
	ck_assert_int_eq(sasl_take(&s, SPAN("!")), SASL_REFUSED);
	ck_assert_int_eq(sasl_take(&s, SPAN("")), SASL_REFUSED);
}
END_TEST

START_TEST(t_told)
{
	sasl_init(&s, SASL_SCRAM);
	ck_assert_int_eq(say_str("n,,n=anna,r=abc"), SASL_ASK);
	ck_assert_int_eq(sasl_told(&s, SPAN("")), -1);
	ck_assert_int_eq(sasl_told(&s, SPAN("!")), -1);
	sasl_init(&s, SASL_PLAIN);
	ck_assert_int_eq(SAY("\0anna\0sesame"), SASL_ASK);
	ck_assert_int_eq(sasl_told(&s, SPAN("Zm9v")), -1);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("sasl");
	TCase *tc = tcase_create("sasl");

	tcase_add_test(tc, t_base64);
	tcase_add_test(tc, t_plain);
	tcase_add_test(tc, t_lengths);
	tcase_add_test(tc, t_login);
	tcase_add_test(tc, t_scram_first);
	tcase_add_test(tc, t_scram_final);
	tcase_add_test(tc, t_scram_bound);
	tcase_add_test(tc, t_tokens);
	tcase_add_test(tc, t_told);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
