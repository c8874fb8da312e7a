/*
 * conf_whole: what concerns the config as a whole.
 * What no single line can say: what one setting wants of another, what is
 * worked out where nothing is set, and what it all comes to.
 */
#include <netinet/in.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "common/conf_priv.h"

static unsigned
cpus(void)
{
	cpu_set_t set_of;
	int n =
	    sched_getaffinity(0, sizeof set_of, &set_of) == 0 ? CPU_COUNT(&set_of) : (int)sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : n > CONF_WORKERS_MAX ? CONF_WORKERS_MAX : (unsigned)n;
}

static void
default_hostname(struct conf_parse *p)
{
	char name[256] = "";
	const struct conf_key *k = conf_key_find("", "hostname");

	if (gethostname(name, sizeof name - 1) != 0 || k == NULL || k->set(p, k, name, &p->own->conf.hostname) != NULL)
		conf_mistakef(p, p->last_line,
		    "hostname is not set and this machine's name \"%.*s\" cannot serve; set it, e.g. "
		    "hostname = \"mx.example.org\"",
		    conf_shown(name), name);
}

/* Move the lists into the config's arena. */
static bool
take_lists(struct conf_parse *p)
{
	struct conf *cf = &p->own->conf;
	struct conf_address *a = arena_alloc(&p->own->arena, (p->naddress + 1) * sizeof *a);
	struct conf_listener *l = arena_alloc(&p->own->arena, (p->nlistener + 1) * sizeof *l);
	struct conf_tls_section *t = arena_alloc(&p->own->arena, (p->ntls + 1) * sizeof *t);

	if (a == NULL || l == NULL || t == NULL)
		return false;
	memcpy(a, p->address, p->naddress * sizeof *a);
	memcpy(l, p->listener, p->nlistener * sizeof *l);
	memcpy(t, p->tls, p->ntls * sizeof *t);
	for (size_t i = 0; i < p->nlistener; i++) {
		l[i].address = a;
		a += l[i].naddress;
	}
	cf->listener = l;
	cf->nlistener = p->nlistener;
	cf->tls = t;
	cf->ntls = p->ntls;
	return conf_handler_whole(p);
}

/* A password is never said in clear, and somebody must know it. */
static void
check_auth(struct conf_parse *p, const struct conf_listener *l)
{
	if (l->auth == CONF_AUTH_OFF)
		return;
	if (l->tls == CONF_TLS_NONE)
		conf_mistakef(p, l->line,
		    "listener \"%s\" has auth but no tls: AUTH is only inside TLS; add a tls section, or leave auth "
		    "out",
		    l->name);
	if (p->own->conf.credentials == NULL && p->own->conf.tokens.line == 0)
		conf_mistakef(p, l->line,
		    "listener \"%s\" has auth, but nothing is known of anybody: set credentials and make them with "
		    "letterplate-credentials, or write a section tokens",
		    l->name);
}

/* RFC 2033 5: not on SMTP's port, where whoever says EHLO would be refused. */
static void
check_lmtp(struct conf_parse *p, const struct conf_listener *l)
{
	if (l->protocol != CONF_LMTP)
		return;
	for (size_t i = 0; i < l->naddress; i++) {
		const struct conf_address *a = &l->address[i];
		uint16_t port = a->ss.ss_family == AF_INET ? ((const struct sockaddr_in *)&a->ss)->sin_port
		    : a->ss.ss_family == AF_INET6          ? ((const struct sockaddr_in6 *)&a->ss)->sin6_port
							   : 0;

		if (ntohs(port) == IPPORT_SMTP)
			conf_mistakef(p, a->line,
			    "address = \"%s\": LMTP must not be spoken on port 25 (RFC 2033); take another, 24 for "
			    "instance",
			    a->text);
	}
}

void
conf_whole(struct conf_parse *p)
{
	struct conf *cf = &p->own->conf;

	if (cf->hostname == NULL && p->own->line[conf_key_find("", "hostname") - conf_key] == 0)
		default_hostname(p);
	if (cf->workers == 0)
		cf->workers = cpus();
	if (p->nlistener == 0 && p->nmistake == 0 && p->nkept == 0)
		conf_mistake(p, p->last_line,
		    "there is no listener; write e.g. listener \"mx\" { address = {\"0.0.0.0:25\", \"[::]:25\"} }");
	/* Who names a certificate wants it used. */
	for (size_t i = 0; i < p->nlistener; i++)
		if ((p->tls_unset & (uint64_t)1 << i) != 0 && p->ntls > 0)
			p->listener[i].tls = CONF_TLS_STARTTLS;
	for (size_t i = 0; i < p->nlistener; i++)
		if (p->listener[i].tls != CONF_TLS_NONE && p->ntls == 0)
			conf_mistakef(p, p->listener[i].line,
			    "listener \"%s\" offers TLS, but there is no tls section with a "
			    "certificate",
			    p->listener[i].name);
	for (size_t i = 0; i < p->nlistener; i++)
		check_auth(p, &p->listener[i]);
	if (!take_lists(p)) {
		conf_mistake(p, 0, "out of memory");
		return;
	}
	for (size_t i = 0; i < cf->nlistener; i++)
		check_lmtp(p, &cf->listener[i]);
}

bool
conf_offers_auth(const struct conf *cf)
{
	for (size_t i = 0; i < cf->nlistener; i++)
		if (cf->listener[i].auth != CONF_AUTH_OFF)
			return true;
	return false;
}

bool
conf_offers_passwords(const struct conf *cf)
{
	return conf_offers_auth(cf) && cf->credentials[0] != '\0';
}

bool
conf_offers_tls(const struct conf *cf)
{
	for (size_t i = 0; i < cf->nlistener; i++)
		if (cf->listener[i].tls != CONF_TLS_NONE)
			return true;
	return false;
}

bool
conf_offers_dsn(const struct conf *cf)
{
	return cf->dsn;
}
