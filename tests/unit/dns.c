/*
 * dns: a server of the test's own, in the same loop, that answers, keeps still,
 * lies, cuts short and talks about something else; and what is remembered.
 */
#include "worker/net/dns_priv.h"

#include <ares.h>
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>

#include "tests/unit/suite.h"

enum { TIMEOUT_MS = 600, MESSAGE = 512 };

static struct loop *loop;
static struct dns *dns;
static struct loop_src udp, tcp, tcp_conn = { .fd = -1 };
static struct loop_timer late, guard;
static unsigned asked; /* questions that the server saw */
static uint8_t kept[MESSAGE];
static size_t nkept;
static struct sockaddr_in kept_from;

/* --- the server --- */

struct message {
	size_t n;
	uint8_t p[MESSAGE];
};

static void
put(struct message *m, const void *p, size_t n)
{
	ck_assert_uint_le(m->n + n, sizeof(m->p));
	memcpy(m->p + m->n, p, n);
	m->n += n;
}

/* A record that points at the question's name. */
static void
record(struct message *m, unsigned type, uint32_t ttl, const void *data, size_t n)
{
	uint8_t head[] = { 0xc0, 12, 0, (uint8_t)type, 0, 1, (uint8_t)(ttl >> 24), (uint8_t)(ttl >> 16),
		(uint8_t)(ttl >> 8), (uint8_t)ttl, (uint8_t)(n >> 8), (uint8_t)n };

	put(m, head, sizeof(head));
	put(m, data, n);
	m->p[7]++;
}

static void
name_of(const uint8_t *q, char *out)
{
	size_t i = 12, n = 0;

	while (q[i] != 0) {
		memcpy(out + n, q + i + 1, q[i]);
		n += q[i];
		out[n++] = '.';
		i += q[i] + 1u;
	}
	out[n > 0 ? n - 1 : 0] = '\0';
}

/* Header and question of the answer to ${q}. */
static struct message
answer_to(const uint8_t *q)
{
	struct message m = { 0 };
	size_t end = 12;

	while (q[end] != 0)
		end += q[end] + 1u;
	put(&m, q, end + 5);
	m.p[2] = 0x81;
	m.p[3] = 0x80;
	memset(m.p + 6, 0, 6);
	return m;
}

static const uint8_t host[] = { 192, 0, 2, 1 }, poison[] = { 203, 0, 113, 66 };
static const uint8_t host6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 };

static void
say(const struct message *m, const struct sockaddr_in *to)
{
	sendto(udp.fd, m->p, m->n, 0, (const struct sockaddr *)to, sizeof(*to));
}

static void
say_late(struct loop_timer *t)
{
	struct message m = answer_to(kept);

	(void)t;
	record(&m, 1, 300, host, 4);
	say(&m, &kept_from);
}

static bool
is(const char *name, const char *word)
{
	return strncmp(name, word, strlen(word)) == 0;
}

static void
respond(const uint8_t *q, size_t n, const struct sockaddr_in *from)
{
	struct message m = answer_to(q), other = m;
	unsigned type = m.p[m.n - 3];
	char name[256];

	name_of(q, name);
	if (is(name, "silent"))
		return;
	if (is(name, "late")) {
		memcpy(kept, q, n);
		nkept = n;
		kept_from = *from;
		loop_timer_set(loop, &late, 200);
		return;
	}
	if (is(name, "none"))
		m.p[3] = 0x83;
	else if (is(name, "fail"))
		m.p[3] = 0x82;
	else if (is(name, "empty"))
		;
	else if (is(name, "otherid")) {
		other.p[0] ^= 0x55;
		record(&other, 1, 300, poison, 4);
		say(&other, from);
		record(&m, 1, 300, host, 4);
	} else if (is(name, "otherq")) {
		other.p[13] ^= 1;
		record(&other, 1, 300, poison, 4);
		say(&other, from);
		record(&m, 1, 300, host, 4);
	} else if (is(name, "short")) {
		m.n = 5;
	} else if (is(name, "cutrecord")) {
		record(&m, 1, 300, host, 4);
		m.n -= 2;
	} else if (is(name, "lies")) {
		record(&m, 1, 300, host, 4);
		m.p[6] = 0xff;
	} else if (is(name, "longdata")) {
		record(&m, 1, 300, host, 4);
		m.p[m.n - 6] = 0xff;
	} else if (is(name, "round")) {
		record(&m, 12, 300, (const uint8_t[]){ 0xc0, (uint8_t)(m.n + 12) }, 2);
	} else if (is(name, "cut")) {
		m.p[2] |= 2;
	} else if (is(name, "junk")) {
		memset(m.p + 12, 0xc1, sizeof(m.p) - 12);
		m.n = sizeof(m.p);
	} else if (is(name, "badname")) {
		record(&m, 12, 300,
		    "\x05"
		    "a b\r\n"
		    "\x04"
		    "test",
		    12);
	} else if (type == 12) {
		record(&m, 12, 300,
		    "\x04"
		    "host\x04"
		    "test",
		    11);
	} else if (type == 16) {
		record(&m, 16, 300,
		    "\x06"
		    "listed\x04 yes",
		    12);
		record(&m, 16, 300,
		    "\x05"
		    "other",
		    6);
	} else if (type == 15) {
		record(&m, 15, 300,
		    is(name, "null") ? (const uint8_t *)"\0\0\0" : (const uint8_t *)"\0\12\4host\4test\0",
		    is(name, "null") ? 3 : 13);
	} else if (type == 28) {
		record(&m, 28, 300, host6, 16);
	} else {
		record(&m, 1, is(name, "once") ? 0 : 300, host, 4);
	}
	say(&m, from);
}

static void
udp_ready(struct loop_src *src, unsigned what)
{
	uint8_t q[MESSAGE];
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	ssize_t n = recvfrom(src->fd, q, sizeof(q), 0, (struct sockaddr *)&from, &len);

	(void)what;
	asked++;
	if (n > 12)
		respond(q, (size_t)n, &from);
}

/* Over TCP: three answers' worth, octet after octet. */
static void
conn_ready(struct loop_src *src, unsigned what)
{
	uint8_t q[MESSAGE + 2];
	ssize_t n = recv(src->fd, q, sizeof(q), 0);
	struct message m;
	uint8_t len[2];

	(void)what;
	if (n < 14)
		return;
	m = answer_to(q + 2);
	for (int i = 0; i < 3; i++)
		record(&m, 1, 300, host, 4);
	len[0] = (uint8_t)(m.n >> 8);
	len[1] = (uint8_t)m.n;
	send(src->fd, len, 2, 0);
	for (size_t i = 0; i < m.n; i++)
		send(src->fd, m.p + i, 1, 0);
}

static void
tcp_ready(struct loop_src *src, unsigned what)
{
	(void)what;
	tcp_conn = (struct loop_src){ accept(src->fd, NULL, NULL), conn_ready };
	ck_assert_int_eq(loop_watch_level(loop, &tcp_conn, false), 0);
}

static void
too_long(struct loop_timer *t)
{
	(void)t;
	ck_abort_msg("nobody answered, and nobody gave up");
}

/* Instead of the library's: how often it is made ready, and whether it can be. */
static int library;
static bool library_fails;

int
ares_library_init(int flags)
{
	int (*real)(int);

	if (library_fails)
		return ARES_ENOTINITIALIZED;
	library++;
	*(void **)&real = dlsym(RTLD_NEXT, "ares_library_init");
	return real(flags);
}

void
ares_library_cleanup(void)
{
	void (*real)(void);

	library--;
	*(void **)&real = dlsym(RTLD_NEXT, "ares_library_cleanup");
	real();
}

/* errno says why, and nothing stays. */
START_TEST(cannot_be_opened)
{
	loop = loop_new();
	errno = 0;
	ck_assert_ptr_null(dns_open(loop, "no address", TIMEOUT_MS));
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(library, 0);
	library_fails = true;
	errno = 0;
	ck_assert_ptr_null(dns_open(loop, "127.0.0.1:53", TIMEOUT_MS));
	ck_assert_int_eq(errno, ENOMEM);
	library_fails = false;
	loop_free(loop);
}
END_TEST

static void
start(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);
	char servers[64];

	loop = loop_new();
	udp = (struct loop_src){ socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), udp_ready };
	tcp = (struct loop_src){ socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), tcp_ready };
	ck_assert_int_eq(bind(tcp.fd, (struct sockaddr *)&in, sizeof(in)), 0);
	ck_assert_int_eq(getsockname(tcp.fd, (struct sockaddr *)&in, &len), 0);
	ck_assert_int_eq(bind(udp.fd, (struct sockaddr *)&in, sizeof(in)), 0);
	ck_assert_int_eq(listen(tcp.fd, 5), 0);
	ck_assert_int_eq(loop_watch_level(loop, &udp, false), 0);
	ck_assert_int_eq(loop_watch_level(loop, &tcp, false), 0);
	snprintf(servers, sizeof(servers), "127.0.0.1:%u", ntohs(in.sin_port));
	dns = dns_open(loop, servers, TIMEOUT_MS);
	ck_assert_ptr_nonnull(dns);
	late.fire = say_late;
	guard.fire = too_long;
	loop_timer_set(loop, &guard, 5000);
}

static void
stop(void)
{
	dns_close(dns);
	loop_free(loop);
}

/* --- who asks --- */

static struct dns_answer got;
static unsigned ndone;

static void
done(struct dns_query *q, const struct dns_answer *a)
{
	(void)q;
	got = *a;
	ndone++;
	loop_stop(loop);
}

static void
ask(enum dns_type type, const char *name)
{
	struct dns_query q = { .done = done };
	const struct dns_answer *a = dns_ask(dns, &q, type, name);

	if (a != NULL)
		got = *a;
	else
		ck_assert_int_eq(loop_run(loop), 0);
}

static const struct {
	enum dns_type type;
	const char *name;
	enum dns_status status;
	unsigned n;
	const char *text; /* PTR, TXT */
} row[] = {
	{ DNS_A, "a.test", DNS_FOUND, 1, NULL }, { DNS_AAAA, "a.test", DNS_FOUND, 1, NULL },
	{ DNS_PTR, "1.2.0.192.in-addr.arpa", DNS_FOUND, 1, "host.test" },
	{ DNS_TXT, "a.test", DNS_FOUND, 1, "listed yes" }, { DNS_MX, "a.test", DNS_FOUND, 1, NULL },
	{ DNS_MX, "null.test", DNS_FOUND, 1, NULL }, { DNS_A, "none.test", DNS_NOTHING, 0, NULL },
	{ DNS_A, "empty.test", DNS_NOTHING, 0, NULL }, { DNS_PTR, "badname.test", DNS_FAILED, 0, NULL },
	{ DNS_A, "late.test", DNS_FOUND, 1, NULL }, { DNS_A, "otherid.test", DNS_FOUND, 1, NULL },
	{ DNS_A, "otherq.test", DNS_FOUND, 1, NULL }, { DNS_A, "cut.test", DNS_FOUND, 3, NULL },
	{ DNS_A, "silent.test", DNS_FAILED, 0, NULL }, { DNS_A, "fail.test", DNS_FAILED, 0, NULL },
	{ DNS_A, "short.test", DNS_FAILED, 0, NULL }, { DNS_A, "cutrecord.test", DNS_FAILED, 0, NULL },
	{ DNS_A, "lies.test", DNS_FAILED, 0, NULL }, { DNS_A, "longdata.test", DNS_FAILED, 0, NULL },
	{ DNS_PTR, "round.test", DNS_FAILED, 0, NULL }, { DNS_A, "junk.test", DNS_FAILED, 0, NULL },
	{ DNS_A, "a..test", DNS_FAILED, 0, NULL },
	{ DNS_A, "", DNS_FOUND, 1, NULL }, /* the root: the server answers whatever it is asked */
};

START_TEST(answers)
{
	start();
	ask(row[_i].type, row[_i].name);
	ck_assert_msg(got.status == row[_i].status, "%s: status %d, %s", row[_i].name, got.status, got.why);
	ck_assert_uint_eq(got.n, row[_i].n);
	ck_assert_int_eq(got.why != NULL, got.status == DNS_FAILED);
	if (row[_i].text != NULL)
		ck_assert_str_eq(got.name, row[_i].text);
	else if (got.status == DNS_FOUND && row[_i].type == DNS_A)
		ck_assert_mem_eq(got.addr[0] + 12, host, 4);
	ck_assert_int_eq(got.null_mx, is(row[_i].name, "null"));
	stop();
}
END_TEST

/* An answer with a CNAME and two addresses: cut anywhere, and with each of its lengths a lie, nothing is read past its end. */
START_TEST(lengths_that_lie)
{
	static const uint8_t whole[] = { 0, 1, 0x81, 0x80, 0, 1, 0, 3, 0, 0, 0, 0, 1, 'a', 4, 't', 'e', 's', 't', 0, 0,
		1, 0, 1, 0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 4, 1, 'b', 0xc0, 14, /* b.test */
		0xc0, 36, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1,              /* its first */
		0xc0, 36, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 192, 0, 2, 2 };
	static const enum dns_type types[] = { DNS_A, DNS_AAAA, DNS_PTR, DNS_TXT, DNS_MX };
	/* One for all: memcheck has room for 30,000 mappings. */
	struct span lie = guarded(whole, sizeof(whole));
	uint8_t *octets = (uint8_t *)(uintptr_t)lie.p;
	struct dns_answer a;

	dns_read(DNS_A, guarded(whole, sizeof(whole)), &a);
	ck_assert_int_eq(a.status, DNS_FOUND);
	ck_assert_uint_eq(a.n, 2);
	ck_assert_uint_eq(a.ttl_s, 30);
	for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++)
		for (size_t n = 0; n < sizeof(whole); n++) {
			dns_read(types[t], guarded(whole, n), &a);
			ck_assert_int_ne(a.status, DNS_FOUND);
			for (int v = 0; v < 256; v += v < 16 || v >= 240 ? 1 : 16) {
				memcpy(octets, whole, sizeof(whole));
				octets[n] = (uint8_t)v;
				dns_read(types[t], lie, &a);
				ck_assert_uint_le(a.n, 2);
			}
		}
}
END_TEST

START_TEST(remembers)
{
	start();
	ask(DNS_A, "a.test");
	ask(DNS_A, "A.Test");
	ck_assert_uint_eq(asked, 1);
	ck_assert_uint_eq(got.n, 1);
	ask(DNS_TXT, "a.test");
	ck_assert_uint_eq(asked, 2);
	ask(DNS_A, "none.test");
	ask(DNS_A, "none.test");
	ck_assert_uint_eq(asked, 3);
	ck_assert_int_eq(got.status, DNS_NOTHING);
	ask(DNS_A, "once.test"); /* its time to live is 0 */
	ask(DNS_A, "once.test");
	ck_assert_uint_eq(asked, 5);
	stop();
}
END_TEST

START_TEST(remembers_so_many)
{
	char name[32];

	start();
	loop_timer_set(loop, &guard, 20000);
	for (int i = 0; i <= DNS_CACHE_MAX; i++) {
		snprintf(name, sizeof(name), "a%d.test", i);
		ask(DNS_A, name);
		ask(DNS_A, "a0.test"); /* used all the time */
	}
	asked = 0;
	ask(DNS_A, "a0.test");
	ck_assert_uint_eq(asked, 0);
	ask(DNS_A, "a1.test");
	ck_assert_uint_eq(asked, 1);
	stop();
}
END_TEST

START_TEST(one_that_is_late_holds_nobody_up)
{
	struct dns_query silent = { .done = done }, q = { .done = done };

	start();
	ck_assert_ptr_null(dns_ask(dns, &silent, DNS_A, "silent.test"));
	for (int i = 0; i < 3; i++) {
		const struct dns_answer *a =
		    dns_ask(dns, &q, DNS_A, (const char *[]){ "a.test", "b.test", "c.test" }[i]);

		ck_assert_ptr_null(a);
		ck_assert_int_eq(loop_run(loop), 0);
		ck_assert_int_eq(got.status, DNS_FOUND);
	}
	ck_assert_ptr_nonnull(silent.pending);
	ck_assert_uint_eq(ndone, 3);
	ck_assert_int_eq(loop_run(loop), 0);
	ck_assert_int_eq(got.status, DNS_FAILED);
	ck_assert_ptr_null(silent.pending);
	stop();
}
END_TEST

START_TEST(a_cancelled_one_is_not_told)
{
	struct dns_query q = { .done = done };

	start();
	ck_assert_ptr_null(dns_ask(dns, &q, DNS_A, "late.test"));
	dns_cancel(&q);
	dns_cancel(&q);
	ask(DNS_A, "silent.test"); /* long after */
	ck_assert_uint_eq(ndone, 1);
	ask(DNS_A, "late.test"); /* and yet remembered */
	ck_assert_int_eq(got.status, DNS_FOUND);
	ck_assert_uint_eq(ndone, 1);
	/* Closed with a question under way. */
	ck_assert_ptr_null(dns_ask(dns, &q, DNS_A, "silent2.test"));
	dns_cancel(&q);
	stop();
}
END_TEST

static const struct {
	uint8_t addr[16];
	const char *suffix, *name;
} reverse_row[] = {
	{ { [10] = 0xff, 0xff, 192, 0, 2, 1 }, NULL, "1.2.0.192.in-addr.arpa" },
	{ { [10] = 0xff, 0xff, 192, 0, 2, 1 }, "dnsbl.test", "1.2.0.192.dnsbl.test" },
	{ { 0x20, 0x01, 0x0d, 0xb8, [15] = 0x2a }, NULL,
	    "a.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa" },
};

START_TEST(reverses)
{
	char name[DNS_NAME_MAX], big[DNS_NAME_MAX];

	ck_assert_int_eq(dns_reverse(reverse_row[_i].addr, reverse_row[_i].suffix, name), 0);
	ck_assert_str_eq(name, reverse_row[_i].name);
	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	ck_assert_int_eq(dns_reverse(reverse_row[_i].addr, big, name), -1);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("dns");
	TCase *t = tcase_create("dns");

	tcase_set_timeout(t, 30);
	tcase_add_test(t, cannot_be_opened);
	tcase_add_loop_test(t, answers, 0, (int)(sizeof(row) / sizeof(*row)));
	tcase_add_test(t, lengths_that_lie);
	tcase_add_test(t, remembers);
	tcase_add_test(t, remembers_so_many);
	tcase_add_test(t, one_that_is_late_holds_nobody_up);
	tcase_add_test(t, a_cancelled_one_is_not_told);
	tcase_add_loop_test(t, reverses, 0, (int)(sizeof(reverse_row) / sizeof(*reverse_row)));
	suite_add_tcase(s, t);
	return suite_run(s);
}
