/*
 * credential: the file at every cut and with every octet changed; hashes, and
 * what a name that is in no file looks like.
 */
#include "common/credential.h"

#include <fcntl.h>

#include "auth/scram.h"
#include "tests/unit/suite.h"

static struct credentials list;

/* Cheap rows: what is tested here is not scrypt's strength. */
static void
add(const char *user, const char *password, bool scram)
{
	struct credential *c = credential_list_add(&list, span_str(user));

	ck_assert_ptr_nonnull(c);
	ck_assert_int_eq(credential_set(c, span_str(password), scram), 0);
}

static void
fresh(void)
{
	credential_list_init(&list);
	add("bert", "open it", false);
	add("anna", "sesame", true);
}

static int
read_text(const void *text, size_t n, struct credentials *l, char why[128])
{
	int fd = memfd_create("credentials", MFD_CLOEXEC), rc;

	ck_assert_int_eq(write(fd, text, n), (ssize_t)n);
	rc = credential_list_read(fd, l, why, 128);
	close(fd);
	return rc;
}

static size_t
text_of(const struct credentials *l, char **text)
{
	size_t n;
	FILE *f = open_memstream(text, &n);

	ck_assert_int_eq(credential_list_write(l, f), 0);
	ck_assert_int_eq(fclose(f), 0);
	return n;
}

/* Instead of the C library's: memory that runs out, and what was wiped. */
static bool no_memory;
static const void *wiped;
static size_t wiped_n;

char *
strndup(const char *s, size_t n)
{
	size_t len = strnlen(s, n);
	char *p = no_memory ? NULL : malloc(len + 1);

	if (p == NULL)
		return NULL;
	memcpy(p, s, len);
	p[len] = '\0';
	return p;
}

/* The name that explicit_bzero() has in a build with fortified calls. */
void fortified_bzero(void *p, size_t n, size_t room) __asm__("__explicit_bzero_chk");

void
fortified_bzero(void *p, size_t n, size_t room)
{
	ck_assert_uint_le(n, room);
	explicit_bzero(p, n);
}

void
explicit_bzero(void *p, size_t n)
{
	wiped = p;
	wiped_n = n;
	memset(p, 0, n);
}

/* One more than there is room for, and no memory for its name: the list stands as it was. */
START_TEST(t_no_memory)
{
	fresh();
	no_memory = true;
	ck_assert_ptr_null(credential_list_add(&list, SPAN("carl")));
	no_memory = false;
	ck_assert_uint_eq(list.n, 2);
	ck_assert_ptr_nonnull(credential_list_find(&list, SPAN("bert")));
	add("carl", "third", false);
	ck_assert_uint_eq(list.n, 3);
	ck_assert_ptr_nonnull(credential_list_find(&list, SPAN("anna")));
	credential_list_free(&list);
}
END_TEST

/* No hash stays behind where a list was that has grown, nor where a row was. */
START_TEST(t_wiped)
{
	const void *old;

	fresh();
	old = list.c;
	ck_assert_ptr_nonnull(credential_list_add(&list, SPAN("carl")));
	ck_assert(list.c != old);
	ck_assert_ptr_eq(wiped, old);
	ck_assert_uint_eq(wiped_n, 2 * sizeof(struct credential));
	credential_list_remove(&list, &list.c[0]);
	ck_assert_ptr_eq(wiped, &list.c[2]);
	ck_assert_uint_eq(wiped_n, sizeof(struct credential));
	credential_list_free(&list);
}
END_TEST

START_TEST(t_round_trip)
{
	struct credentials again;
	char *text, *second, why[128];
	size_t n;

	fresh();
	n = text_of(&list, &text);
	ck_assert_int_eq(read_text(text, n, &again, why), 0);
	ck_assert_uint_eq(again.n, 2);
	ck_assert_str_eq(again.c[0].user, "anna");
	ck_assert_uint_eq(text_of(&again, &second), n);
	ck_assert_str_eq(second, text);
	ck_assert_ptr_null(strstr(text, "sesame"));
	ck_assert_ptr_nonnull(credential_list_find(&again, span_str("bert")));
	ck_assert_ptr_null(credential_list_find(&again, span_str("ber")));
	ck_assert_ptr_null(credential_list_find(&again, span_str("bertx")));
	ck_assert_ptr_null(credential_list_find(&again, span_str("")));
	credential_list_free(&again);
	ck_assert_uint_eq(again.n, 0);
	free(text);
	free(second);
}
END_TEST

/* Nothing of it may be missing, and nothing behind it. */
START_TEST(t_cut_anywhere)
{
	struct credentials l;
	char *text, why[128];
	size_t n;

	fresh();
	n = text_of(&list, &text);
	for (size_t i = 0; i < n; i++) {
		why[0] = '\0';
		ck_assert_msg(read_text(text, i, &l, why) == -1, "cut at %zu: taken", i);
		ck_assert(why[0] != '\0' && l.n == 0 && l.c == NULL);
	}
	text = realloc(text, n + 2);
	text[n] = 'x';
	ck_assert_int_eq(read_text(text, n + 1, &l, why), -1);
	text[n] = '\0';
	ck_assert_int_eq(read_text(text, n + 1, &l, why), -1);
	free(text);
}
END_TEST

static const struct {
	const char *line;
	bool good;
} lines[] = {
#define H16 "000102030405060708090a0b0c0d0e0f"
#define H32 H16 H16
	{ "anna scrypt 15 8 1 " H16 " " H32, true }, { "anna scrypt 17 8 4 " H16 " " H32, true },
	{ "anna scrypt 15 8 1 " H16 " " H32 " scram-sha-256 4096 " H16 " " H32 " " H32, true },
	{ "anna scrypt 18 8 1 " H16 " " H32, false }, /* 256 MiB */
	{ "anna scrypt 9 8 1 " H16 " " H32, false }, { "anna scrypt 15 9 1 " H16 " " H32, false },
	{ "anna scrypt 15 8 5 " H16 " " H32, false }, { "anna scrypt 15 8 0 " H16 " " H32, false },
	{ "anna scrypt -1 8 1 " H16 " " H32, false }, { "anna bcrypt 15 8 1 " H16 " " H32, false },
	{ "Anna scrypt 15 8 1 " H16 " " H32, false }, { " scrypt 15 8 1 " H16 " " H32, false },
	{ "anna scrypt 15 8 1 " H16 "00 " H32, false }, { "anna scrypt 15 8 1 " H16 " " H16, false },
	{ "anna scrypt 15 8 1 " H16 " " H32 " ", false }, { "anna scrypt 15 8 1 " H16 "  " H32, false },
	{ "anna scrypt 15 8 1 " H16 " " H32 " scram-sha-256 4095 " H16 " " H32 " " H32, false },
	{ "anna scrypt 15 8 1 " H16 " " H32 " scram-sha-256 10000001 " H16 " " H32 " " H32, false },
	{ "anna scrypt 15 8 1 " H16 " " H32 " scram-sha-1 4096 " H16 " " H32 " " H32, false },
	{ "anna scrypt 15 8 1 " H16 " " H32 " scram-sha-256 4096 " H16 " " H32, false },
	{ "anna scrypt 15 8 1 " H16 " " H32 " scram-sha-256 4096 " H16 " " H32 " " H32 " x", false },
	{ "anna scrypt 15 8 1 " H16 " " H32 " scram-sha-256 4096 " H16 " " H32 " " H32 " x y z", false },
	{ "anna scrypt 15 8 1 0G" H16 " " H32, false },
	{ "anna scrypt 15 8 1 " H16 " " H32 "\nanna scrypt 15 8 1 " H16 " " H32,
	    false }, /* twice, and sorted wrongly */
};

START_TEST(t_lines)
{
	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
		struct credentials l;
		char text[2048], why[128];
		int n = snprintf(text, sizeof text, "letterplate-credentials 1 " H32 "\n%s\nend %d\n", lines[i].line,
		    strchr(lines[i].line, '\n') != NULL ? 2 : 1);

		ck_assert_msg(
		    (read_text(text, (size_t)n, &l, why) == 0) == lines[i].good, "%s: %s", lines[i].line, why);
		credential_list_free(&l);
	}
}
END_TEST

START_TEST(t_many_in_any_order)
{
	char name[32];

	credential_list_init(&list);
	for (unsigned i = 0; i < 500; i++) {
		snprintf(name, sizeof name, "u%03u", i * 7919 % 500);
		ck_assert_ptr_nonnull(credential_list_add(&list, span_str(name)));
	}
	ck_assert_uint_eq(list.n, 500);
	for (size_t i = 0; i < list.n; i++) {
		snprintf(name, sizeof name, "u%03zu", i);
		ck_assert_str_eq(list.c[i].user, name);
	}
	for (size_t left = list.n; left > 0; left--) {
		credential_list_remove(&list, &list.c[left * 31 % list.n]);
		if (left % 3 == 0)
			ck_assert_ptr_nonnull(credential_list_add(&list, span_str("zz")));
	}
}
END_TEST

START_TEST(t_names)
{
	char out[CREDENTIAL_USER_MAX + 1], long_name[CREDENTIAL_USER_MAX + 1];

	ck_assert_uint_eq(credential_name(guarded_str("Anna@Example.ORG"), true, out), 16);
	ck_assert_str_eq(out, "anna@example.org");
	ck_assert_uint_eq(credential_name(guarded_str("Ren\xc3\xa9"), true, out), 5);
	ck_assert_str_eq(out, "ren\xc3\xa9");
	ck_assert_uint_eq(credential_name(guarded_str("Rene\xcc\x81"), true, out), 5);
	ck_assert_str_eq(out, "ren\xc3\xa9");
	ck_assert_uint_eq(credential_name(guarded_str("\xef\xbc\xa1nna"), true, out), 4); /* a wide A */
	ck_assert_str_eq(out, "anna");
	ck_assert_uint_eq(credential_name(guarded_str("a b"), true, out), 0);
	ck_assert_uint_eq(credential_name(guarded_str("a\xc2\xa0"), true, out), 0);
	ck_assert_uint_eq(credential_name(guarded_str("\xff"), true, out), 0);
	memset(long_name, 'x', sizeof long_name);
	ck_assert_uint_eq(credential_name(guarded(long_name, CREDENTIAL_USER_MAX), true, out), CREDENTIAL_USER_MAX);
	ck_assert_uint_eq(credential_name(guarded(long_name, sizeof long_name), true, out), 0);
}
END_TEST

START_TEST(t_passwords)
{
	struct credential nobody;

	fresh();
	credential_nobody(&list, SPAN("mallory"), &nobody);
	ck_assert(credential_check(credential_list_find(&list, SPAN("anna")), guarded_str("sesame"), &nobody));
	ck_assert(!credential_check(credential_list_find(&list, SPAN("anna")), guarded_str("sesam"), &nobody));
	ck_assert(!credential_check(credential_list_find(&list, SPAN("bert")), guarded_str("sesame"), &nobody));
	ck_assert(!credential_check(NULL, guarded_str("sesame"), &nobody));
}
END_TEST

/* Whatever the file's rows have, it is what somebody has: it tells nothing and costs the same. */
START_TEST(t_nobody_is_like_somebody)
{
	struct credential a, b;
	bool seen[2] = { false };
	char name[16];

	fresh();
	list.c[0].log_n = 12;
	list.c[0].iterations = 4096;
	list.c[1].log_n = 17;
	list.c[1].p = 2;
	for (unsigned i = 0; i < 64; i++) {
		snprintf(name, sizeof name, "x%u", i);
		credential_nobody(&list, span_str(name), &a);
		credential_nobody(&list, span_str(name), &b);
		ck_assert_mem_eq(a.scram_salt, b.scram_salt, sizeof a.scram_salt);
		ck_assert(a.log_n == b.log_n && a.iterations == b.iterations);
		ck_assert(a.log_n == 12 || a.log_n == 17);
		ck_assert_uint_eq(a.p, a.log_n == 12 ? 1 : 2);
		ck_assert_uint_eq(a.iterations, a.log_n == 12 ? 4096 : CREDENTIAL_ITERATIONS);
		seen[a.log_n == 17] = true;
	}
	ck_assert(seen[0] && seen[1]);
	credential_nobody(&list, SPAN("y"), &b);
	ck_assert_mem_ne(a.scram_salt, b.scram_salt, sizeof a.scram_salt);
	list.n = 0;
	credential_nobody(&list, SPAN("y"), &b);
	ck_assert_uint_eq(b.log_n, CREDENTIAL_LOG_N);
}
END_TEST

/* RFC 7677 3: the exchange of user "user" with password "pencil", its keys computed by another program. */
#define RFC_FIRST "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
static const char rfc_file[] = "letterplate-credentials 1 " H32 "\nuser scrypt 10 1 1 " H16 " " H32
			       " scram-sha-256 4096 5b6d99689d12358eeca04b141236fa81"
			       " 586e5df283e6dceb5c3e791d8b8528ec191e664045ce971792e2e6b5bb13e2a6"
			       " c1f3cbc1c13a9d35a14c0990eed97629ea225863e566a4314ab99f3f00e5d9d5\nend 1\n";
static const char rfc_message[] =
    "n=user,r=rOprNGfwEbeRWgbNEkqO," RFC_FIRST ",c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
static const uint8_t rfc_proof[32] = { 0x74, 0x7c, 0xdb, 0x65, 0xaa, 0x56, 0x22, 0x4e, 0x23, 0x52, 0x13, 0x7e, 0x52,
	0xd7, 0xbd, 0xca, 0xd6, 0xa0, 0xf7, 0x38, 0xdf, 0x30, 0x78, 0x2c, 0xaa, 0x69, 0xa2, 0xcf, 0xb0, 0x27, 0x75,
	0x54 };

static bool
final_of(const char *user, const void *proof, size_t n, const char *message, char text[64])
{
	uint8_t out[64];
	size_t len = 0;
	bool ok = scram_final(&list, guarded_str(user), guarded_str(message), guarded(proof, n), out, sizeof out, &len);

	ck_assert(ok == (len > 0));
	snprintf(text, 64, "%.*s", (int)len, (const char *)out);
	return ok;
}

START_TEST(t_scram_of_the_rfc)
{
	uint8_t proof[32], out[288];
	char text[64], why[128];
	size_t n;

	ck_assert_int_eq(read_text(rfc_file, sizeof rfc_file - 1, &list, why), 0);
	ck_assert(final_of("user", rfc_proof, 32, rfc_message, text));
	ck_assert_str_eq(text, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
	for (size_t bit = 0; bit < 256; bit++) {
		memcpy(proof, rfc_proof, 32);
		proof[bit / 8] ^= (uint8_t)(1 << bit % 8);
		ck_assert(!final_of("user", proof, 32, rfc_message, text));
	}
	ck_assert(!final_of("user", rfc_proof, 31, rfc_message, text));
	ck_assert(!final_of("user", rfc_proof, 0, rfc_message, text));
	ck_assert(!final_of("user", rfc_proof, 32, "n=user", text));
	ck_assert(!final_of("nobody", rfc_proof, 32, rfc_message, text));
	/* Nobody's keys are zeros: the proof that would fit them is no proof. */
	credential_hmac((const uint8_t[32]){ 0 }, span_str(rfc_message), proof);
	ck_assert(!final_of("nobody", proof, 32, rfc_message, text));
	/* The first answer: the client's nonce and more, and what the file says. */
	n = scram_first(&list, SPAN("user"), guarded_str("n=user,r=abc"), out, sizeof out);
	ck_assert_msg(n > 12 && memcmp(out, "r=abc", 5) == 0 && out[5] != ',', "%.*s", (int)n, out);
	snprintf(why, sizeof why, "%.*s", (int)n, (const char *)out);
	ck_assert_ptr_nonnull(strstr(why, ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"));
	ck_assert_uint_eq(scram_first(&list, SPAN("user"), guarded_str("n=user"), out, sizeof out), 0);
	ck_assert_uint_eq(scram_first(&list, SPAN("user"), guarded_str("n=user,r="), out, sizeof out), 0);
	ck_assert_uint_eq(scram_first(&list, SPAN("user"), guarded_str("n=user,r=abc"), out, 40), 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("credential");
	TCase *tc = tcase_create("credential");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, t_round_trip);
	tcase_add_test(tc, t_no_memory);
	tcase_add_test(tc, t_wiped);
	tcase_add_test(tc, t_cut_anywhere);
	tcase_add_test(tc, t_lines);
	tcase_add_test(tc, t_many_in_any_order);
	tcase_add_test(tc, t_names);
	tcase_add_test(tc, t_passwords);
	tcase_add_test(tc, t_nobody_is_like_somebody);
	tcase_add_test(tc, t_scram_of_the_rfc);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
