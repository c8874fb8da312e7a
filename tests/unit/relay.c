/*
 * relay: a relay of the test's own, on a clock of the test's own: one that
 * cannot be reached, one that is slow, and one that sends records of TLS
 * without end in which nothing stands.
 */
#include "reports/relay.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "tests/unit/suite.h"

enum { REPLY_MS = 1000, END_MS = 3000 };

static struct lookup where;
static struct relay relay = { .where = &where, .hostname = "mx.example.org", .reply_ms = REPLY_MS, .end_ms = END_MS };
static int listener, server;
static unsigned ntold;
static enum relay_result how;
static char words[RELAY_WORDS_MAX + 1];
static bool no_socket; /* socket() fails */

int
socket(int domain, int type, int protocol)
{
	int (*real)(int, int, int);

	if (no_socket) {
		errno = EMFILE;
		return -1;
	}
	*(void **)&real = dlsym(RTLD_NEXT, "socket");
	return real(domain, type, protocol);
}

static void
told(void *arg, enum relay_result result, const char *text)
{
	(void)arg;
	ntold++;
	how = result;
	snprintf(words, sizeof(words), "%s", text);
}

static void
setup(void)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&where.ss[0];

	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	*in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	where.len[0] = sizeof(*in);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)in, sizeof(*in)), 0);
	ck_assert_int_eq(listen(listener, 4), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)in, &where.len[0]), 0);
	where.n = 1;
	where.literal = true;
	relay.told = told;
	relay_init(&relay);
}

/* Let it do what it can at ${now}. */
static void
turn(int64_t now)
{
	struct pollfd p;

	if (relay_poll(&relay, &p))
		ck_assert_int_ge(poll(&p, 1, 0), 0);
	else
		p.revents = 0;
	relay_turn(&relay, p.revents, now);
}

/* A line of the relay's; what it heard before is gone. */
static void
says(const char *line, int64_t now)
{
	char heard[4096];
	ssize_t n;

	while ((n = recv(server, heard, sizeof(heard), MSG_DONTWAIT)) > 0)
		;
	ck_assert_int_eq(send(server, line, strlen(line), MSG_NOSIGNAL), (ssize_t)strlen(line));
	turn(now);
	/* And its answer goes out. */
	turn(now);
}

START_TEST(no_descriptor_is_said)
{
	setup();
	no_socket = true;
	relay_send(&relay, SPAN("a@b.example"), SPAN("x\n"), false, 0);
	turn(0);
	no_socket = false;
	ck_assert_uint_eq(ntold, 1);
	ck_assert_int_eq(how, RELAY_DOWN);
	ck_assert_str_eq(words, "cannot connect: Too many open files");
}
END_TEST

/* Each reply comes just in time, and all together take longer than a report may. */
START_TEST(a_slow_dialogue_ends)
{
	static const char *const replies[] = { "220 x\r\n", "250 x\r\n", "250 x\r\n", "250 x\r\n", "354 x\r\n",
		"250 x\r\n" };
	int64_t now = 0;

	setup();
	relay_send(&relay, SPAN("a@b.example"), SPAN("x\n"), false, now);
	server = accept(listener, NULL, NULL);
	ck_assert_int_ge(server, 0);
	turn(now);
	for (size_t i = 0; i < sizeof(replies) / sizeof(*replies) && ntold == 0; i++) {
		now += REPLY_MS - 1;
		if (now < relay_deadline_ms(&relay)) {
			says(replies[i], now);
		} else {
			now = relay_deadline_ms(&relay);
			turn(now);
		}
	}
	ck_assert_uint_eq(ntold, 1);
	ck_assert_int_eq(how, RELAY_DOWN);
	ck_assert_str_eq(words, "it takes too long");
	ck_assert_int_eq(now, END_MS + 2 * REPLY_MS);
	ck_assert_int_eq(relay_deadline_ms(&relay), INT64_MAX);
}
END_TEST

/* --- TLS --- */

static SSL_CTX *
server_context(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	SSL_CTX *c = SSL_CTX_new(TLS_server_method());

	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	ck_assert_int_gt(X509_sign(x, key, EVP_sha256()), 0);
	ck_assert_int_eq(SSL_CTX_use_certificate(c, x), 1);
	ck_assert_int_eq(SSL_CTX_use_PrivateKey(c, key), 1);
	X509_free(x);
	EVP_PKEY_free(key);
	return c;
}

/* Both sides of a connection after their handshake. */
static struct relay_tls *
shaken(SSL_CTX *c, SSL **other)
{
	int fd[2];
	const char *why;
	struct relay_tls *t;
	enum relay_tls_go go = RELAY_TLS_WAIT;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	ck_assert_int_eq(relay_tls_init(&why), 0);
	t = relay_tls_new(fd[0], NULL);
	*other = SSL_new(c);
	SSL_set_fd(*other, fd[1]);
	SSL_set_accept_state(*other);
	for (unsigned i = 0; i < 10 && (go == RELAY_TLS_WAIT || !SSL_is_init_finished(*other)); i++) {
		if (go == RELAY_TLS_WAIT)
			go = relay_tls_shake(t);
		(void)SSL_do_handshake(*other);
	}
	ck_assert_int_eq(go, RELAY_TLS_DONE);
	return t;
}

/* So many key updates (RFC 8446 4.6.3), then an octet: what the other side makes of it. */
static ssize_t
after_updates(struct relay_tls *t, SSL *other, unsigned n)
{
	uint8_t got;

	for (unsigned i = 0; i < n; i++) {
		ck_assert_int_eq(SSL_key_update(other, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		ck_assert_int_eq(SSL_do_handshake(other), 1);
	}
	ck_assert_int_eq(SSL_write(other, "x", 1), 1);
	errno = 0;
	return relay_tls_recv(t, &got, 1);
}

START_TEST(records_without_end)
{
	SSL_CTX *c = server_context();
	SSL *other;
	struct relay_tls *t = shaken(c, &other);

	/* Its two tickets count too. */
	ck_assert_int_eq(after_updates(t, other, RELAY_TLS_EMPTY_MAX - 2), 1);
	ck_assert_int_eq(after_updates(t, other, 3 * RELAY_TLS_EMPTY_MAX), -1);
	ck_assert_int_eq(errno, EPROTO);
	ck_assert_str_eq(relay_tls_why(), "too many records without data");
	ck_assert(!relay_tls_pending(t));
	relay_tls_free(t);
	SSL_free(other);
	SSL_CTX_free(c);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("relay");
	TCase *t = tcase_create("relay");

	tcase_add_test(t, no_descriptor_is_said);
	tcase_add_test(t, a_slow_dialogue_ends);
	tcase_add_test(t, records_without_end);
	suite_add_tcase(s, t);
	return suite_run(s);
}
