/*
 * conf_handler: the sections that say who is asked about mail: handler, milter,
 * policy, networks, dns, quota, checks.  The order in which they stand in the file is
 * the order of asking; here it is made, and checked that names and conditions
 * make sense.
 */
#include <bsd/string.h>
#include <string.h>

#include "common/conf_priv.h"

enum { DNS_GRACE_MS = 2000 };

static const struct {
	const char *section;
	enum conf_kind kind;
} kinds[] = {
	{ "handler", CONF_K_HANDLER },
	{ "milter", CONF_K_MILTER },
	{ "policy", CONF_K_POLICY },
	{ "networks", CONF_K_NETWORKS },
	{ "dns", CONF_K_DNS },
	{ "quota", CONF_K_QUOTA },
	{ "checks", CONF_K_CHECKS },
	{ "tokens", CONF_K_TOKENS },
};

/* Names that log and stats use for what is always there, or has a section without a title. */
static const char *const taken[] = { "limits", "recipients", "networks", "dns", "quota", "checks", "tokens", "tls",
	"auth", "guesses", "credentials", "other" };

int
conf_handler_kind(const char *section)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (strcmp(kinds[i].section, section) == 0)
			return (int)kinds[i].kind;
	return -1;
}

void
conf_handler_defaults(struct conf_parse *p)
{
	memset(p->fresh, 0, sizeof p->fresh);
	for (size_t i = 0; i < conf_nkey; i++) {
		const struct conf_key *k = &conf_key[i];
		int kind = conf_handler_kind(k->section);

		if (kind >= 0 && kind < CONF_K_TITLED && k->def != NULL)
			(void)k->set(p, k, k->def, (char *)&p->fresh[kind] + k->off);
	}
}

static void
check_title(struct conf_parse *p, const char *section, const char *title, unsigned line)
{
	const char *why = conf_title_wrong(title);

	if (why != NULL)
		conf_mistakef(p, line, "%s \"%.*s\": %s", section, conf_shown(title), title, why);
	for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
		if (strcmp(taken[i], title) == 0)
			conf_mistakef(p, line, "%s \"%s\": this name is taken by what is built in; choose another",
			    section, title);
	for (size_t i = 0; i < p->nhandler; i++)
		if (strcmp(p->handler[i].name, title) == 0)
			conf_mistakef(p, line, "%s \"%s\": the name stands on line %u too; logs need different ones",
			    section, title, p->handler[i].line);
}

/* What a section cannot do without. */
static void
check_whole(struct conf_parse *p, enum conf_kind kind, const char *title, unsigned line)
{
	const char *section = kinds[kind].section;

	if (kind == CONF_K_HANDLER && !conf_seen(p, section, "module"))
		conf_mistakef(p, line,
		    "handler \"%.*s\" has no module; write e.g. module = \"/usr/lib/letterplate/x.so\"",
		    conf_shown(title), title);
	if ((kind == CONF_K_MILTER || kind == CONF_K_POLICY) && !conf_seen(p, section, "socket"))
		conf_mistakef(p, line, "%s \"%.*s\" has no socket; write e.g. socket = \"inet:127.0.0.1:8891\"",
		    section, conf_shown(title), title);
}

/* The same network in two lists says nothing; one inside another does: the smaller one decides. */
static void
check_networks(struct conf_parse *p, const struct conf_networks *n, unsigned line)
{
	static const char *const names[] = { "accept", "reject", "defer", "skip_checks" };
	const struct conf_nets *list[] = { &n->accept, &n->reject, &n->defer, &n->skip_checks };

	for (size_t a = 0; a < sizeof list / sizeof *list; a++)
		for (size_t b = 0; b < a; b++)
			for (size_t i = 0; i < list[a]->n; i++)
				for (size_t k = 0; k < list[b]->n; k++)
					if (list[a]->net[i].bits == list[b]->net[k].bits &&
					    memcmp(list[a]->net[i].addr, list[b]->net[k].addr, 16) == 0) {
						conf_mistakef(p, line,
						    "networks: number %zu of %s stands in %s too; a network can be in "
						    "one of them",
						    i + 1, names[a], names[b]);
						break;
					}
}

static void
end_networks(struct conf_parse *p, unsigned line)
{
	struct conf_networks *n = &p->own->conf.networks;

	n->line = line;
	if (!conf_take_nets(p, CONF_L_ACCEPT, &n->accept) || !conf_take_nets(p, CONF_L_REJECT, &n->reject) ||
	    !conf_take_nets(p, CONF_L_DEFER, &n->defer) || !conf_take_nets(p, CONF_L_SKIP, &n->skip_checks))
		conf_mistake(p, line, "out of memory");
	check_networks(p, n, line);
}

void
conf_handler_end(struct conf_parse *p, enum conf_kind kind, const char *title, unsigned line)
{
	struct conf_handler *h = &p->handler[p->nhandler];

	*h = (struct conf_handler){ 0 };
	if ((int)kind < CONF_K_TITLED) {
		check_title(p, kinds[kind].section, title, line);
		check_whole(p, kind, title, line);
		*h = p->fresh[kind];
		if (!conf_take_nets(p, CONF_L_WHEN, &h->when.networks))
			conf_mistake(p, line, "out of memory");
		conf_handler_defaults(p);
	} else if (kind == CONF_K_NETWORKS) {
		end_networks(p, line);
	} else if (kind == CONF_K_DNS) {
		p->own->conf.dns.line = line;
		/* It keeps its own time; this is for the chain, which must not be before it. */
		h->timeout_ms = p->own->conf.dns.timeout_ms + DNS_GRACE_MS;
	} else if (kind == CONF_K_TOKENS) {
		p->own->conf.tokens.line = line;
		h->socket = p->own->conf.tokens.socket;
		h->timeout_ms = p->own->conf.tokens.timeout_ms;
		h->on_failure = CONF_F_TEMPFAIL;
		if (!conf_seen(p, "tokens", "socket"))
			conf_mistake(p, line, "tokens has no socket; write e.g. socket = \"unix:/run/tokens\"");
	} else if (kind == CONF_K_CHECKS) {
		p->own->conf.checks.line = line;
		/* What is refused when it is known must not get in because it takes too long to know. */
		h->on_failure = CONF_F_TEMPFAIL;
	}
	h->kind = kind;
	h->line = line;
	h->name = conf_keep(p, (int)kind < CONF_K_TITLED ? title : kinds[kind].section);
	if (h->module == NULL)
		h->module = "";
	if (h->argument == NULL)
		h->argument = "";
	if (h->name == NULL)
		conf_mistake(p, line, "out of memory");
	else if (p->nhandler == CONF_HANDLERS_MAX)
		conf_mistakef(p, line, "more than %d sections that are asked about mail", CONF_HANDLERS_MAX);
	else
		p->nhandler++;
}

/* A condition that no listener can meet is a slip of the pen. */
static void
check_listeners(struct conf_parse *p, const struct conf_handler *h)
{
	for (size_t i = 0; i < h->when.nlistener; i++) {
		size_t l = 0;

		while (l < p->nlistener && strcmp(p->listener[l].name, h->when.listener[i]) != 0)
			l++;
		if (l == p->nlistener)
			conf_mistakef(p, h->line, "%s \"%s\" is for listener \"%s\", and there is none of that name",
			    kinds[h->kind].section, h->name, h->when.listener[i]);
	}
}

/* What asks DNS needs somebody to ask, and has the time that DNS has: that section may stand further down. */
static void
check_checks(struct conf_parse *p, struct conf_handler *h)
{
	const struct conf *cf = &p->own->conf;

	if (h->kind != CONF_K_CHECKS)
		return;
	h->timeout_ms = cf->dns.timeout_ms + DNS_GRACE_MS;
	if (cf->checks.sender_domain && cf->dns.line == 0)
		conf_mistake(p, conf_line(cf, "checks", "sender_domain"),
		    "checks: sender_domain asks DNS; write a section for it too, dns { } is enough");
}

/* A quota of the mailbox list counts whether there is a section or not, unless that one says no. */
static void
quota_or_not(struct conf *cf)
{
	size_t at = 0;

	while (at < cf->nhandler && cf->handler[at].kind != CONF_K_QUOTA)
		at++;
	if (cf->quota.enforce && at == cf->nhandler) {
		cf->handler[at] = (struct conf_handler){
			.kind = CONF_K_QUOTA, .name = kinds[CONF_K_QUOTA].section, .module = "", .argument = ""
		};
		cf->nhandler++;
	} else if (!cf->quota.enforce && at < cf->nhandler) {
		cf->nhandler--;
		memmove(&cf->handler[at], &cf->handler[at + 1], (cf->nhandler - at) * sizeof *cf->handler);
	}
}

bool
conf_handler_whole(struct conf_parse *p)
{
	struct conf *cf = &p->own->conf;

	if (cf->credentials == NULL)
		cf->credentials = "";
	cf->handler = arena_alloc(&p->own->arena, (p->nhandler + 1) * sizeof *cf->handler);
	if (cf->handler == NULL)
		return false;
	for (size_t i = 0; i < p->nhandler; i++) {
		check_listeners(p, &p->handler[i]);
		check_checks(p, &p->handler[i]);
	}
	memcpy(cf->handler, p->handler, p->nhandler * sizeof *cf->handler);
	cf->nhandler = p->nhandler;
	quota_or_not(cf);
	return true;
}

/* --- setters of these sections --- */

static const char no_memory[] = "out of memory";

const char *
conf_set_text(struct conf_parse *p, const struct conf_key *k, const char *value, void *field)
{
	const char *copy;

	if (strlen(value) > k->max)
		return conf_why(p, "more than %u octets", (unsigned)k->max);
	copy = conf_keep(p, value);
	if (copy == NULL)
		return no_memory;
	*(const char **)field = copy;
	return NULL;
}

const char *
conf_set_listener_name(struct conf_parse *p, const struct conf_key *k, const char *value, void *field)
{
	struct conf_when *w = field;

	(void)k;
	if (w->nlistener == CONF_WHEN_MAX)
		return conf_why(p, "more than %d listeners", CONF_WHEN_MAX);
	w->listener[w->nlistener] = conf_keep(p, value);
	if (w->listener[w->nlistener] == NULL)
		return no_memory;
	w->nlistener++;
	return NULL;
}

const char *
conf_set_allow(struct conf_parse *p, const struct conf_key *k, const char *value, void *field)
{
	struct conf_handler *h = (struct conf_handler *)((char *)field - k->off);

	if (strcmp(value, "network") != 0 && conf_value_path(value) != NULL)
		return "must be \"network\", or the absolute path of a folder that the module may write below";
	if (h->nallow == CONF_ALLOW_MAX)
		return conf_why(p, "more than %d", CONF_ALLOW_MAX);
	h->allow[h->nallow] = conf_keep(p, value);
	if (h->allow[h->nallow] == NULL)
		return no_memory;
	h->nallow++;
	return NULL;
}

const char *
conf_set_socket(struct conf_parse *p, const struct conf_key *k, const char *value, void *field)
{
	struct conf_address *a = field;
	bool inet = strncmp(value, "inet:", 5) == 0;
	const char *why;

	(void)k;
	if (!inet && strncmp(value, "unix:", 5) != 0)
		return "no socket; write it like inet:127.0.0.1:8891, inet:[::1]:8891 or unix:/path";
	why = conf_value_address(inet ? value + 5 : value, a);
	if (why != NULL)
		return inet && why[0] == 'n'
		    ? "no socket; write it like inet:127.0.0.1:8891, inet:[::1]:8891 or unix:/path"
		    : why;
	a->line = p->line;
	a->text = conf_keep(p, value);
	return a->text == NULL ? no_memory : NULL;
}

const char *
conf_set_server(struct conf_parse *p, const struct conf_key *k, const char *value, void *field)
{
	struct conf_dns *d = field;
	struct conf_address *a = &d->server[d->nserver];
	const char *why;

	(void)k;
	if (d->nserver == CONF_SERVERS_MAX)
		return conf_why(p, "more than %d servers", CONF_SERVERS_MAX);
	if (strncmp(value, "unix:", 5) == 0)
		return "no DNS server; write it like 192.0.2.53:53 or [2001:db8::53]:53";
	why = conf_value_address(value, a);
	if (why != NULL)
		return why[0] == 'n' ? "no DNS server; write it like 192.0.2.53:53 or [2001:db8::53]:53" : why;
	a->line = p->line;
	a->text = conf_keep(p, value);
	if (a->text == NULL)
		return no_memory;
	d->nserver++;
	return NULL;
}

const char *
conf_set_dnslist(struct conf_parse *p, const struct conf_key *k, const char *value, void *field)
{
	static const char form[] =
	    "no list; write its zone and, if you like, its weight, and which answers count: dnsbl.example.org=10 or "
	    "dnsbl.example.org=127.0.0.[2..11]*10";
	struct conf_dnslist *list = field;
	struct conf_dns *d = &p->own->conf.dns;
	size_t *n = field == d->block ? &d->nblock : &d->nallow;
	const char *eq = strchr(value, '=');
	size_t zone = eq != NULL ? (size_t)(eq - value) : strlen(value);
	const char *star = eq != NULL ? strrchr(eq, '*') : NULL, *digits = star != NULL ? star + 1 : NULL;
	struct conf_dnslist l = { .chooses = eq != NULL && strchr(eq, '.') != NULL };
	uint64_t weight = 1;
	char *copy;

	(void)k;
	if (*n == CONF_DNSLISTS_MAX)
		return conf_why(p, "more than %d lists", CONF_DNSLISTS_MAX);
	if (!addr_domain_ok(span_of(value, zone), false))
		return form;
	if (l.chooses &&
	    conf_value_answers(span_of(eq + 1, star != NULL ? (size_t)(star - eq) - 1 : strlen(eq + 1)), &l.answers) !=
		0)
		return "the answers that count must be four numbers of 0 to 255 with dots between, each perhaps a list "
		       "in brackets, the first of them 127: 127.0.0.2 or 127.0.[0;3].[2..11]";
	if (!l.chooses)
		digits = eq != NULL ? eq + 1 : NULL;
	if (digits != NULL && (conf_value_u64(digits, &weight) != 0 || weight < 1 || weight > 1000))
		return "the weight must be a number, 1 to 1000";
	copy = arena_alloc(&p->own->arena, zone + 1);
	if (copy == NULL)
		return no_memory;
	strlcpy(copy, value, zone + 1);
	l.zone = copy;
	l.weight = (int)weight;
	list[*n] = l;
	(*n)++;
	return NULL;
}
