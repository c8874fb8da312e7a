/*
 * conf: values, defaults, every mistake with its line; unit/confcheck.c has what is looked up outside.
 * The broken configs stand in tests/conf/bad, what is said of each in
 * tests/conf/expected.txt, to the letter.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/conf_priv.h"
#include "common/log.h"
#include "tests/unit/confcase.h"

#define BAD "tests/conf/bad"

START_TEST(defaults)
{
	struct conf *cf = good(HOST MX);

	ck_assert_str_eq(cf->file, "x.conf");
	ck_assert_str_eq(cf->hostname, "mx.example.org");
	ck_assert_str_eq(cf->user, "letterplate");
	ck_assert_uint_ge(cf->workers, 1);
	ck_assert_uint_le(cf->workers, CONF_WORKERS_MAX);
	ck_assert_str_eq(cf->state_dir, "/run/letterplate");
	ck_assert_str_eq(cf->directory, "/var/lib/letterplate");
	ck_assert_uint_eq(cf->message_size_limit, 25 << 20);
	ck_assert_uint_eq(cf->recipient_limit, 1000);
	ck_assert_str_eq(cf->recipient_delimiters, "+");
	ck_assert_str_eq(cf->postmaster, "");
	ck_assert(!cf->dsn);
	ck_assert_str_eq(cf->dsn_relay, "");
	ck_assert_uint_eq(cf->greeting_delay_ms, 0);
	ck_assert_uint_eq(cf->nlistener, 1);
	ck_assert_uint_eq(cf->listener[0].naddress, 1);
	ck_assert_str_eq(cf->listener[0].name, "mx");
	ck_assert_uint_eq(cf->listener[0].line, 2);
	ck_assert_int_eq(cf->listener[0].protocol, CONF_SMTP);
	ck_assert_int_eq(cf->listener[0].tls, CONF_TLS_NONE);
	ck_assert_uint_eq(cf->listener[0].bare_newline_from.n, 0);
	ck_assert_uint_eq(cf->ntls, 0);
	ck_assert_uint_eq(cf->timeouts.command_ms, 5 * 60 * 1000);
	ck_assert_uint_eq(cf->timeouts.data_ms, 10 * 60 * 1000);
	ck_assert_uint_eq(cf->timeouts.handshake_ms, 30 * 1000);
	ck_assert_uint_eq(cf->timeouts.drain_ms, 30 * 1000);
	ck_assert_uint_eq(cf->limits.connections, 0);
	ck_assert_uint_eq(cf->limits.connections_per_ip, 50);
	ck_assert_uint_eq(cf->limits.errors, 20);
	ck_assert_uint_eq(cf->limits.error_pause_ms, 1000);
	ck_assert_uint_eq(cf->limits.rate_per_ip, 0);
	ck_assert_uint_eq(cf->limits.handshakes_per_ip, 0);
	ck_assert_uint_eq(cf->limits.session_ms, 3600000);
	ck_assert_uint_eq(cf->limits.data_rate, 100);
	ck_assert_str_eq(cf->store.kind, "maildir");
	ck_assert_str_eq(cf->store.path, "/var/mail/letterplate");
	ck_assert(cf->store.delivered_to);
	ck_assert_int_eq(cf->log.format, CONF_LOG_LOGFMT);
	ck_assert_int_eq(cf->log.level, LOG_L_INFO);
	conf_free(cf);
}
END_TEST

#define CERT "certificate = \"/etc/a.pem\" key = \"/etc/a.key\""

/* Who names a certificate wants it used; a listener's own word wins. */
START_TEST(tls_sections)
{
	struct conf *cf = good(HOST "tls { " CERT " }\n"
				    "listener \"mx\" { address = \"127.0.0.1:2525\" }\n"
				    "listener \"all\" { address = \"127.0.0.1:2527\" tls = implicit }\n"
				    "tls { " CERT " ocsp = \"/etc/a.ocsp\" }\n"
				    "tls \"x.example\" { " CERT " }\n");

	ck_assert(conf_offers_tls(cf));
	ck_assert_int_eq(cf->listener[0].tls, CONF_TLS_STARTTLS);
	ck_assert_int_eq(cf->listener[1].tls, CONF_TLS_IMPLICIT);
	ck_assert_str_eq(cf->tls[0].key, "/etc/a.key");
	ck_assert_uint_eq(cf->tls[0].line, 2);
	ck_assert_str_eq(cf->tls[1].ocsp, "/etc/a.ocsp");
	ck_assert_str_eq(cf->tls[2].name, "x.example");
	conf_free(cf);
	cf = good(HOST MX);
	ck_assert(!conf_offers_tls(cf));
	conf_free(cf);
}
END_TEST

START_TEST(every_key)
{
	struct conf *cf = good(
	    "# a comment\n"
	    "hostname = \"MX.Example.ORG\"\t// another\n"
	    "user = mail workers = 64\n"
	    "state_dir = \"/tmp/with \\\"quotes\\\" and \\\\\"\n"
	    "directory = '/tmp/d'\n"
	    "message_size_limit = \"1GiB\" recipient_limit = 100\n"
	    "recipient_delimiters = \"+-\"\n"
	    "postmaster = \"Alice@Example.ORG\"\n"
	    "dsn = yes dsn_relay = \"relay.example:26\" greeting_delay = \"1500ms\"\n"
	    "/* over\n lines { \" ' */\n"
	    "listener \"one\" {\n address = {\"0.0.0.0:25\", \"[::]:25\"}\n protocol = \"smtp\" tls = none\n"
	    " proxy_from = {} xclient_from = {} bare_newline_from = {\"10.0.0.0/8\", \"2001:db8::/32\", \"::1\"}\n}\n"
	    "listener two { address = \"unix:/run/x\" protocol = lmtp }\n"
	    "timeouts { command = \"1s\" data = \"2m\" handshake = \"250ms\" drain = \"1h\" }\n"
	    "limits { connections = 10000 connections_per_ip = 0 errors = 1 error_pause = \"0s\" rate_per_ip = 60 "
	    "handshakes_per_ip = 30 "
	    "session = \"0s\" data_rate = \"1KiB\" }\n"
	    "store \"maildir\" { path = \"/tmp/m\" delivered_to = no }\n"
	    "log { format = \"json\" level = \"debug\" }");
	const struct conf_listener *l = cf->listener;

	ck_assert_str_eq(cf->hostname, "mx.example.org");
	ck_assert_str_eq(cf->user, "mail");
	ck_assert_uint_eq(cf->workers, 64);
	ck_assert_str_eq(cf->state_dir, "/tmp/with \"quotes\" and \\");
	ck_assert_str_eq(cf->directory, "/tmp/d");
	ck_assert_uint_eq(cf->message_size_limit, 1 << 30);
	ck_assert_uint_eq(cf->recipient_limit, 100);
	ck_assert_str_eq(cf->recipient_delimiters, "+-");
	ck_assert_str_eq(cf->postmaster, "alice@example.org");
	ck_assert(cf->dsn);
	ck_assert_str_eq(cf->dsn_relay, "relay.example:26");
	ck_assert(conf_offers_dsn(cf));
	ck_assert_uint_eq(cf->greeting_delay_ms, 1500);
	ck_assert_uint_eq(cf->nlistener, 2);
	ck_assert_uint_eq(l[0].naddress, 2);
	ck_assert_str_eq(l[0].address[1].text, "[::]:25");
	ck_assert_uint_eq(l[0].address[1].line, 13);
	ck_assert_uint_eq(l[0].bare_newline_from.n, 3);
	ck_assert_uint_eq(l[0].proxy_from.n, 0);
	ck_assert_uint_eq(l[1].naddress, 1);
	ck_assert_str_eq(l[1].name, "two");
	ck_assert_str_eq(l[1].address[0].text, "unix:/run/x");
	ck_assert_int_eq(l[1].protocol, CONF_LMTP);
	ck_assert_uint_eq(l[1].bare_newline_from.n, 0);
	ck_assert_uint_eq(cf->timeouts.command_ms, 1000);
	ck_assert_uint_eq(cf->timeouts.data_ms, 120000);
	ck_assert_uint_eq(cf->timeouts.handshake_ms, 250);
	ck_assert_uint_eq(cf->timeouts.drain_ms, 3600000);
	ck_assert_uint_eq(cf->limits.connections, 10000);
	ck_assert_uint_eq(cf->limits.connections_per_ip, 0);
	ck_assert_uint_eq(cf->limits.errors, 1);
	ck_assert_uint_eq(cf->limits.error_pause_ms, 0);
	ck_assert_uint_eq(cf->limits.rate_per_ip, 60);
	ck_assert_uint_eq(cf->limits.handshakes_per_ip, 30);
	ck_assert_uint_eq(cf->limits.session_ms, 0);
	ck_assert_uint_eq(cf->limits.data_rate, 1024);
	ck_assert_str_eq(cf->store.path, "/tmp/m");
	ck_assert(!cf->store.delivered_to);
	ck_assert_int_eq(cf->log.format, CONF_LOG_JSON);
	ck_assert_int_eq(cf->log.level, LOG_L_DEBUG);
	ck_assert_uint_eq(conf_line(cf, "store", "path"), 20);
	ck_assert_uint_eq(conf_line(cf, "", "workers"), 3);
	conf_free(cf);
}
END_TEST

START_TEST(hostname_has_a_default)
{
	char name[256] = "";
	struct conf *cf = parse(MX);

	/* A machine whose name is no domain name needs the key, and is told so. */
	ck_assert_int_eq(gethostname(name, sizeof name - 1), 0);
	if (cf != NULL)
		ck_assert_int_eq(strcasecmp(cf->hostname, name), 0);
	else
		ck_assert_msg(strncmp(told.text, "x.conf:1: hostname is not set", 29) == 0, "%s", told.text);
	conf_free(cf);
}
END_TEST

/* --- the broken ones --- */

static struct dirent **bad;
static int nbad;

static int
is_conf(const struct dirent *e)
{
	return strstr(e->d_name, ".conf") != NULL;
}

/* What expected.txt says of ${name}. */
static void
expected(const char *name, struct told *out)
{
	FILE *f = fopen("tests/conf/expected.txt", "r");
	char line[1024];
	size_t n = strlen(name);

	ck_assert(f != NULL);
	while (fgets(line, sizeof line, f) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, name, n) == 0 && line[n] == ':')
			take(out, line);
	}
	fclose(f);
}

START_TEST(broken)
{
	static struct told want;
	struct conf *cf = NULL;
	char path[512], *text;
	size_t n;

	memset(&told, 0, sizeof told);
	memset(&want, 0, sizeof want);
	expected(bad[_i]->d_name, &want);
	ck_assert_msg(want.lines > 0, "expected.txt says nothing of %s", bad[_i]->d_name);
	snprintf(path, sizeof path, BAD "/%s", bad[_i]->d_name);
	ck_assert_int_eq(conf_read(path, &text, &n), 0);
	ck_assert_int_eq(conf_parse(bad[_i]->d_name, text, n, take, &told, &cf), -1);
	ck_assert_ptr_null(cf);
	free(text);
	ck_assert_str_eq(told.text, want.text);
	/* Whatever the mistake was, the next parse (a reload) isn't touched by it. */
	conf_free(good(HOST MX));
}
END_TEST

/* What a text says of state_dir, whatever else is wrong with it.  ${want} NULL: it cannot be told. */
static const struct state_row {
	const char *text, *want;
} state_rows[] = {
	{ HOST MX, "/run/letterplate" },
	{ HOST MX "state_dir = \"/s\"\n", "/s" },
	{ "state_dir = \"/s\"\ncolour = \"red\"\n", "/s" },
	{ "colour = \"red\"\nstate_dir = \"/s\"\n", "/s" },
	{ "colour = \"red\"\n", "/run/letterplate" },
	{ "hostname 7 8\nstate_dir = \"/s\"\n", "/s" },
	{ "state_dir = \"/s\"\nhostname 7 8\n", "/s" },
	{ "hostname = \"mx\n  state_dir = \"/s\" # so\n", "/s" },
	{ "listener \"mx\" {\nstate_dir = \"/s\"\n", "/s" },
	{ "x %\nstate_dir='/s'\n", "/s" },
	{ "", "/run/letterplate" },
	/* What was read up to a mistake says nothing of what stands behind it. */
	{ "hostname 7 8\n", NULL },
	{ "hostname 7 8\n# state_dir = \"/s\"\n", NULL },
	{ "hostname 7 8\nstate_dirs = \"/s\"\n", NULL },
	{ "hostname 7 8\nstate_dir = \"/s\"\nstate_dir = \"/t\"\n", NULL },
	{ "state_dir = \"/s\"\nstate_dir = \"/t\"\n", NULL },
	{ "state_dir = \"s\"\n", NULL },
	{ "state_dir = \"/s\n", NULL },
	{ "state_dir\n", NULL },
};

START_TEST(state_dir_in_spite_of_mistakes)
{
	const struct state_row *r = &state_rows[_i];
	char *dir;

	memset(&told, 0, sizeof told);
	dir = conf_state_dir("x.conf", r->text, strlen(r->text), take, &told);
	if (r->want != NULL) {
		ck_assert_ptr_nonnull(dir);
		ck_assert_str_eq(dir, r->want);
		ck_assert_uint_eq(told.lines, 0);
	} else {
		ck_assert_ptr_null(dir);
		ck_assert_uint_ge(told.lines, 1);
	}
	free(dir);
}
END_TEST

START_TEST(nothing_in_expected_is_without_a_file)
{
	FILE *f = fopen("tests/conf/expected.txt", "r");
	char line[1024], path[1200];

	ck_assert(f != NULL);
	ck_assert_int_ge(nbad, 60);
	while (fgets(line, sizeof line, f) != NULL) {
		snprintf(path, sizeof path, BAD "/%.*s", (int)strcspn(line, ":"), line);
		ck_assert_msg(access(path, R_OK) == 0, "%s", path);
	}
	fclose(f);
}
END_TEST

/* --- notations --- */

static const struct {
	const char *text;
	int rc;
	uint64_t value;
} sizes[] = {
	{ "0B", 0, 0 },
	{ "1B", 0, 1 },
	{ "10KiB", 0, 10240 },
	{ "25MiB", 0, 26214400 },
	{ "2GiB", 0, 2147483648 },
	{ "18446744073709551615B", 0, UINT64_MAX },
	{ "18446744073709551616B", -1, 0 },
	{ "17179869184GiB", -1, 0 },
	{ "17179869183GiB", 0, 17179869183ULL << 30 },
	{ "", -1, 0 },
	{ "B", -1, 0 },
	{ "1", -1, 0 },
	{ "1 B", -1, 0 },
	{ "1KB", -1, 0 },
	{ "1kib", -1, 0 },
	{ "-1B", -1, 0 },
	{ "+1B", -1, 0 },
	{ "0x1B", -1, 0 },
	{ "1BB", -1, 0 },
	{ " 1B", -1, 0 },
	{ "1B ", -1, 0 },
	{ "1TiB", -1, 0 },
};

static const struct {
	const char *text;
	int rc;
	uint64_t value;
} durations[] = {
	{ "0s", 0, 0 },
	{ "500ms", 0, 500 },
	{ "30s", 0, 30000 },
	{ "5m", 0, 300000 },
	{ "1h", 0, 3600000 },
	{ "1", -1, 0 },
	{ "", -1, 0 },
	{ "s", -1, 0 },
	{ "1min", -1, 0 },
	{ "1d", -1, 0 },
	{ "1.5s", -1, 0 },
	{ "-1s", -1, 0 },
	{ "1S", -1, 0 },
	{ "99999999999999999999s", -1, 0 },
	{ "18446744073709551615h", -1, 0 },
};

START_TEST(size_and_duration)
{
	uint64_t v;

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		ck_assert_msg(conf_value_size(sizes[i].text, &v) == sizes[i].rc, "%s", sizes[i].text);
		if (sizes[i].rc == 0)
			ck_assert_uint_eq(v, sizes[i].value);
	}
	for (size_t i = 0; i < sizeof durations / sizeof *durations; i++) {
		ck_assert_msg(conf_value_duration(durations[i].text, &v) == durations[i].rc, "%s", durations[i].text);
		if (durations[i].rc == 0)
			ck_assert_uint_eq(v, durations[i].value);
	}
}
END_TEST

START_TEST(words)
{
	unsigned v = 9;
	bool b;

	ck_assert_int_eq(conf_value_word("none", "none starttls", &v), 0);
	ck_assert_uint_eq(v, 0);
	ck_assert_int_eq(conf_value_word("starttls", "none starttls", &v), 0);
	ck_assert_uint_eq(v, 1);
	ck_assert_int_eq(conf_value_word("start", "none starttls", &v), -1);
	ck_assert_int_eq(conf_value_word("none starttls", "none starttls", &v), -1);
	ck_assert_int_eq(conf_value_word("", "none starttls", &v), -1);
	ck_assert_int_eq(conf_value_word(" ", "none starttls", &v), -1);
	ck_assert(conf_value_bool("yes", &b) == 0 && b);
	ck_assert(conf_value_bool("no", &b) == 0 && !b);
	ck_assert(conf_value_bool("on", &b) == 0 && b);
	ck_assert(conf_value_bool("false", &b) == 0 && !b);
	ck_assert_int_eq(conf_value_bool("Yes", &b), -1);
	ck_assert_int_eq(conf_value_bool("1", &b), -1);
	ck_assert_int_eq(conf_value_bool("", &b), -1);
}
END_TEST

static const struct {
	const char *net, *addr;
	bool in;
} members[] = {
	{ "10.0.0.0/8", "::ffff:10.255.255.255", true },
	{ "10.0.0.0/8", "::ffff:11.0.0.0", false },
	{ "10.0.0.0/8", "::ffff:9.255.255.255", false },
	{ "0.0.0.0/0", "::ffff:255.255.255.255", true },
	{ "0.0.0.0/0", "2001:db8::1", false },
	{ "::/0", "::ffff:1.2.3.4", true },
	{ "::/0", "ffff::", true },
	{ "192.0.2.128/25", "::ffff:192.0.2.128", true },
	{ "192.0.2.128/25", "::ffff:192.0.2.127", false },
	{ "192.0.2.1", "::ffff:192.0.2.1", true },
	{ "192.0.2.1", "::ffff:192.0.2.0", false },
	{ "192.0.2.1/32", "::ffff:192.0.2.1", true },
	{ "2001:db8::/33", "2001:db8:7fff::", true },
	{ "2001:db8::/33", "2001:db8:8000::", false },
	{ "::1/128", "::1", true },
	{ "::1", "::2", false },
};

START_TEST(network_members)
{
	struct conf_net net;
	struct conf_nets nets = { &net, 1 }, none = { NULL, 0 };
	uint8_t addr[16];

	ck_assert_ptr_null(conf_value_net(members[_i].net, &net));
	ck_assert_int_eq(inet_pton(AF_INET6, members[_i].addr, addr), 1);
	ck_assert_msg(conf_nets_have(&nets, addr) == members[_i].in, "%s %s", members[_i].net, members[_i].addr);
	ck_assert(!conf_nets_have(&none, addr));
}
END_TEST

static const char *const no_nets[] = { "", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8/8",
	"10.0.0.1/31", "10.0.0.0/ 8", "10.0.0/8", "::/129", "::1/127", "2001:db9::/31", "x", "10.0.0.0/8x",
	"fe80::1%lo/64", "1111111111111111111111111111111111111111111111111111/8" };

/* The sections of who is asked, with every key and form that is fixed. */
START_TEST(who_is_asked)
{
	static const char text[] = HOST MX
	    "handler \"name\" { module = \"/path/x.so\"  argument = \"some text\" }\n"
	    "milter \"opendkim\" { socket = \"inet:127.0.0.1:8891\"  timeout = \"30s\"  on_failure = \"accept\" }\n"
	    "policy \"postgrey\" { socket = \"inet:127.0.0.1:10023\"  stage = \"end\"  timeout = \"10s\"  on_failure = "
	    "\"reject\" }\n"
	    "networks { accept = {}  reject = {\"198.51.100.0/24\"}  skip_checks = {} }\n"
	    "dns { servers = {\"127.0.0.1:5353\"}  timeout = \"5s\"  blocklists = {\"dnsbl.example=10\"}  allowlists = "
	    "{}  "
	    "threshold = 10 }\n"
	    "milter \"second\" { socket = \"unix:/path\" }\n"
	    "quota { when_full = \"reject\" }\n"
	    "checks { helo_own = yes }\n";
	static const char *const names[] = { "name", "opendkim", "postgrey", "networks", "dns", "second", "quota",
		"checks" };
	struct conf *cf = good(text);

	ck_assert_uint_eq(cf->nhandler, sizeof(names) / sizeof(names[0]));
	for (size_t i = 0; i < cf->nhandler; i++)
		ck_assert_str_eq(cf->handler[i].name, names[i]);
	ck_assert_str_eq(cf->handler[0].module, "/path/x.so");
	ck_assert_str_eq(cf->handler[0].argument, "some text");
	ck_assert_int_eq(cf->handler[1].on_failure, CONF_F_ACCEPT);
	ck_assert_uint_eq(cf->handler[1].timeout_ms, 30000);
	ck_assert_int_eq(cf->handler[2].stage, CONF_S_END);
	ck_assert_int_eq(cf->handler[2].on_failure, CONF_F_REJECT);
	ck_assert_int_eq(cf->handler[5].socket.ss.ss_family, AF_UNIX);
	ck_assert_int_eq(cf->handler[5].on_failure, CONF_F_TEMPFAIL);
	ck_assert_uint_eq(cf->networks.reject.n, 1);
	ck_assert_uint_eq(cf->networks.accept.n + cf->networks.skip_checks.n, 0);
	ck_assert_uint_eq(cf->dns.nblock, 1);
	ck_assert_str_eq(cf->dns.block[0].zone, "dnsbl.example");
	ck_assert_int_eq(cf->dns.block[0].weight, 10);
	ck_assert_uint_eq(cf->dns.threshold, 10);
	ck_assert_int_eq(cf->quota.when_full, CONF_FULL_REJECT);
	ck_assert(cf->checks.helo_own && !cf->checks.helo_full && !cf->checks.sender_domain);
	conf_free(cf);
}
END_TEST

/* The quota is asked with a section and without, then behind all others; and not where it says no. */
START_TEST(quota_unless_not)
{
	static const struct {
		const char *text, *names;
	} rows[] = {
		{ HOST MX, "quota " },
		{ HOST MX "checks { helo_own = yes }\nnetworks { }\n", "checks networks quota " },
		{ HOST MX "quota { }\nchecks { helo_own = yes }\n", "quota checks " },
		{ HOST MX "quota { enforce = no }\n", "" },
		{ HOST MX "networks { }\nquota { enforce = no }\nchecks { helo_own = yes }\n", "networks checks " },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct conf *cf = good(rows[i].text);
		char names[100] = "";

		for (size_t k = 0, n = 0; k < cf->nhandler; k++)
			n += (size_t)snprintf(names + n, sizeof(names) - n, "%s ", cf->handler[k].name);
		ck_assert_str_eq(names, rows[i].names);
		conf_free(cf);
	}
}
END_TEST

START_TEST(no_networks)
{
	struct conf_net net;

	for (size_t i = 0; i < sizeof no_nets / sizeof *no_nets; i++)
		ck_assert_msg(conf_value_net(no_nets[i], &net) != NULL, "\"%s\" was taken", no_nets[i]);
}
END_TEST

START_TEST(addresses)
{
	struct conf_address a, b;
	const struct sockaddr_in *sin = (const struct sockaddr_in *)&a.ss;
	const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)&a.ss;
	const struct sockaddr_un *sun = (const struct sockaddr_un *)&a.ss;
	char path[128] = "unix:/";

	ck_assert_ptr_null(conf_value_address("127.0.0.1:25", &a));
	ck_assert(a.ss.ss_family == AF_INET && ntohs(sin->sin_port) == 25 && a.len == sizeof *sin);
	ck_assert_uint_eq(ntohl(sin->sin_addr.s_addr), INADDR_LOOPBACK);
	ck_assert_ptr_null(conf_value_address("[2001:db8::1]:65535", &a));
	ck_assert(a.ss.ss_family == AF_INET6 && ntohs(sin6->sin6_port) == 65535 && a.len == sizeof *sin6);
	ck_assert_uint_eq(sin6->sin6_addr.s6_addr[15], 1);
	memset(path + 6, 'x', 106);
	ck_assert_ptr_null(conf_value_address(path, &a));
	ck_assert_str_eq(sun->sun_path, path + 5);
	ck_assert_uint_eq(a.len, offsetof(struct sockaddr_un, sun_path) + 108);
	path[112] = 'x';
	ck_assert_ptr_nonnull(conf_value_address(path, &a));

	ck_assert_ptr_null(conf_value_address("0.0.0.0:25", &a));
	ck_assert_ptr_null(conf_value_address("[::]:25", &b));
	ck_assert_ptr_null(conf_value_clash(&a, &b));
	ck_assert_ptr_null(conf_value_address("127.0.0.1:26", &b));
	ck_assert_ptr_null(conf_value_clash(&a, &b));
	ck_assert_ptr_null(conf_value_address("127.0.0.1:25", &b));
	ck_assert_str_eq(conf_value_clash(&a, &b), "covers");
	ck_assert_str_eq(conf_value_clash(&b, &a), "is covered by");
}
END_TEST

/* --- the scanner --- */

static void
complain(void *arg, unsigned line, const char *why)
{
	(void)why;
	*(unsigned *)arg = line;
}

static const struct {
	const char *in, *out;
	unsigned open[4];
	size_t nopen;
} scans[] = {
	{ "", " ", { 0 }, 0 },
	{ "a = 1 # b", "a = 1    ", { 0 }, 0 },
	{ "a /* x\n{ */ { b = {1,2} }", "a     \n     { b = {1,2} }", { 2 }, 1 },
	{ "a = \"#/*//\" // c\n", "a = \"#/*//\"     \n", { 0 }, 0 },
	{ "tls { } tls\n{\n} tls \"x\" { }", "tls \"\" { } tls \"\"\n{\n} tls \"x\" { }", { 1, 2, 3 }, 3 },
	{ "a { tls { } }", "a { tls { } }", { 1 }, 1 },
	{ "tls{}", "tls \"\"{}", { 1 }, 1 },
	{ "tls = {1}", "tls = {1}", { 0 }, 0 },
	{ "a = 'it is \\' quoted' b = \"\\\\\"", "a = 'it is \\' quoted' b = \"\\\\\"", { 0 }, 0 },
};

START_TEST(scanned)
{
	unsigned line = 0, *open;
	size_t nopen;
	struct span s = guarded_str(scans[_i].in);
	char *clean = conf_scan_clean((const char *)s.p, s.n, complain, &line), *text;

	ck_assert_msg(clean != NULL, "line %u", line);
	ck_assert_uint_eq(strlen(clean), s.n);
	text = conf_scan_finish(clean, &open, &nopen);
	ck_assert_ptr_nonnull(text);
	ck_assert_str_eq(text, scans[_i].out);
	ck_assert_uint_eq(nopen, scans[_i].nopen);
	for (size_t i = 0; i < nopen; i++)
		ck_assert_uint_eq(open[i], scans[_i].open[i]);
	free(open);
	free(text);
	free(clean);
}
END_TEST

static const struct {
	const char *in, *name;
	unsigned line;
	const char *out; /* NULL: not found */
	bool section;
} blanks[] = {
	{ "a = 1 b = 2 c = 3", "b", 1, "a = 1       c = 3", false },
	{ "b = 1\nb = {1,\n2} c = 3", "b", 2, "b = 1\n       \n   c = 3", false },
	{ "a = b b { x { } } c = 3", "b", 1, "a = b             c = 3", true },
	{ "a { b \"t\" { x = {1} } } c = 3", "b", 1, "a {                   } c = 3", true },
	{ "a = 1 b c = 3", "b", 1, "a = 1   c = 3", false },
	{ "a = {b, b} b = {", "b", 1, NULL, false },
	{ "a = 1", "b", 1, NULL, false },
	{ "a = 1", "a", 2, NULL, false },
};

START_TEST(blanked)
{
	char *text = strdup(blanks[_i].in);
	bool section = false;
	bool found = conf_scan_blank(text, blanks[_i].line, blanks[_i].name, &section);

	if (blanks[_i].out != NULL) {
		ck_assert(found);
		ck_assert_str_eq(text, blanks[_i].out);
		ck_assert(section == blanks[_i].section);
	} else {
		/* What is blanked of half a statement doesn't matter; that it ends does. */
		ck_assert_uint_eq(strlen(text), strlen(blanks[_i].in));
	}
	free(text);
}
END_TEST

/* Whether the manual's entry at ${at} says that ${k} has the default that it has. */
static bool
entry_right(const char *at, const struct conf_key *k)
{
	const char *end = strstr(at + 1, "\n.It Ic "), *def = strstr(at, "\nDefault: ");
	const char *want = k->def != NULL && *k->def != '\0' ? k->def : "none";

	if (def == NULL || (end != NULL && end < def))
		return false;
	def += strlen("\nDefault: ");
	return strcspn(def, ";\n") == strlen(want) && strncmp(def, want, strlen(want)) == 0;
}

/* The manual names every key, in the order of the table, with its default. */
START_TEST(manual)
{
	char *text, want[128];
	const char *at;
	size_t n;

	ck_assert_int_eq(conf_read("man/letterplate.conf.5", &text, &n), 0);
	text[n] = '\0';
	at = text;
	for (size_t i = 0; i < conf_nkey; i++) {
		snprintf(want, sizeof want, "\n.It Ic %s Ns ", conf_key[i].name);
		at = strstr(at, want);
		ck_assert_msg(at != NULL, "%s is missing, or not in its place", conf_key[i].name);
		ck_assert_msg(
		    entry_right(at, &conf_key[i]), "%s: the default isn't %s", conf_key[i].name, conf_key[i].def);
	}
	free(text);
}
END_TEST

#define LOOP(t, f, table) tcase_add_loop_test(t, f, 0, (int)(sizeof table / sizeof *table))

int
main(void)
{
	Suite *s = suite_create("conf");
	TCase *t = tcase_create("parse");

	nbad = scandir(BAD, &bad, is_conf, alphasort);
	tcase_add_test(t, defaults);
	tcase_add_test(t, every_key);
	tcase_add_test(t, tls_sections);
	tcase_add_test(t, hostname_has_a_default);
	tcase_add_loop_test(t, broken, 0, nbad > 0 ? nbad : 1);
	tcase_add_test(t, nothing_in_expected_is_without_a_file);
	LOOP(t, state_dir_in_spite_of_mistakes, state_rows);
	tcase_add_test(t, size_and_duration);
	tcase_add_test(t, words);
	LOOP(t, network_members, members);
	tcase_add_test(t, who_is_asked);
	tcase_add_test(t, quota_unless_not);
	tcase_add_test(t, no_networks);
	tcase_add_test(t, addresses);
	LOOP(t, scanned, scans);
	LOOP(t, blanked, blanks);
	tcase_add_test(t, manual);
	suite_add_tcase(s, t);
	return suite_run(s);
}
