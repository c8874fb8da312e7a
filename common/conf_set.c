/*
 * conf_set: one value of the config into one field, with its range.
 * A setter answers NULL or says in words what is wrong and how it would be
 * right; file, line and key are put around it by conf.c.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/addr.h"
#include "common/conf_priv.h"
#include "common/log.h"
#include "common/norm.h"

static const char no_memory[] = "out of memory";

const char *
conf_why(struct conf_parse *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->why, sizeof p->why, fmt, ap);
	va_end(ap);
	return p->why;
}

/* A copy of ${n} octets as a C string in the config's arena. */
static const char *
set_text(struct conf_parse *p, const void *s, size_t n, void *field)
{
	char *copy = arena_alloc(&p->own->arena, n + 1);

	if (copy == NULL)
		return no_memory;
	memcpy(copy, s, n);
	*(const char **)field = copy;
	return NULL;
}

const char *
conf_set_hostname(struct conf_parse *p, const struct conf_key *k, const char *value, void *field)
{
	static const char form[] = "no host name; write a full name like mx.example.org";
	struct span s = span_str(value);
	char canonical[NORM_KEY_MAX];
	const char *last = strrchr(value, '.');
	ssize_t n;

	(void)k;
	last = last != NULL ? last + 1 : value;
	if (!addr_domain_ok(s, true) || strspn(last, "0123456789") == strlen(last))
		return form;
	n = norm_domain(s, canonical, sizeof canonical);
	if (n <= 0 || n > ADDR_DOMAIN_MAX)
		return form;
	return set_text(p, canonical, (size_t)n, field);
}

const char *
conf_set_user(struct conf_parse *p, const struct conf_key *k, const char *value, void *field)
{
	size_t n = strlen(value);

	if (n == 0 || n > k->max || value[0] == '-' || strspn(value, "0123456789") == n ||
	    strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") != n)
		return "no user name; write one as it stands in /etc/passwd";
	return set_text(p, value, n, field);
}

const char *
conf_set_u32(struct conf_parse *p, const struct conf_key *k, const char *value, void *field)
{
	uint64_t v;

	if (conf_value_u64(value, &v) != 0 || v < k->min || v > k->max)
		return conf_why(p, "must be a number, %" PRIu64 " to %" PRIu64, k->min, k->max);
	*(uint32_t *)field = (uint32_t)v;
	return NULL;
}

const char *
conf_set_size(struct conf_parse *p, const struct conf_key *k, const char *value, void *field)
{
	uint64_t v;

	if (conf_value_size(value, &v) != 0)
		return "no size; write a number and B, KiB, MiB or GiB, like \"25MiB\"";
	if (v < k->min || v > k->max)
		return conf_why(p, "out of range; it may be %s", k->arg);
	*(uint64_t *)field = v;
	return NULL;
}

/* 0, which is no limit elsewhere. */
const char *
conf_set_message_size(struct conf_parse *p, const struct conf_key *k, const char *value, void *field)
{
	uint64_t v;

	if (strcmp(value, "0") != 0 && (conf_value_size(value, &v) != 0 || v != 0))
		return conf_set_size(p, k, value, field);
	return conf_why(p, "0 would refuse every message, and there is no \"no limit\"; the largest is %s",
	    strrchr(k->arg, ' ') + 1);
}

/* 0 without a unit is none. */
const char *
conf_set_journal(struct conf_parse *p, const struct conf_key *k, const char *value, void *field)
{
	if (strcmp(value, "0") != 0)
		return conf_set_size(p, k, value, field);
	*(uint64_t *)field = 0;
	return NULL;
}

const char *
conf_set_duration(struct conf_parse *p, const struct conf_key *k, const char *value, void *field)
{
	uint64_t v;

	if (conf_value_duration(value, &v) != 0)
		return "no duration; write a number and ms, s, m or h, like \"30s\"";
	if (v < k->min || v > k->max)
		return conf_why(p, "out of range; it may be %s", k->arg);
	*(uint32_t *)field = (uint32_t)v;
	return NULL;
}

const char *
conf_set_bool(struct conf_parse *p, const struct conf_key *k, const char *value, void *field)
{
	(void)p;
	(void)k;
	return conf_value_bool(value, field) != 0 ? "must be yes or no" : NULL;
}

/* Enumerations of conf.h have the size of an unsigned, as gcc and clang lay them out without -fshort-enums. */
_Static_assert(sizeof(enum conf_tls) == sizeof(unsigned) && sizeof(enum conf_protocol) == sizeof(unsigned) &&
	sizeof(enum conf_log_format) == sizeof(unsigned) && sizeof(int) == sizeof(unsigned),
    "enums are unsigned");

const char *
conf_set_enum(struct conf_parse *p, const struct conf_key *k, const char *value, void *field)
{
	unsigned v;

	if (conf_value_word(value, k->arg, &v) != 0)
		return conf_why(p, "must be one of: %s", k->arg);
	memcpy(field, &v, sizeof v);
	return NULL;
}

const char *
conf_set_path(struct conf_parse *p, const struct conf_key *k, const char *value, void *field)
{
	const char *why = conf_value_path(value);

	(void)k;
	return why != NULL ? why : set_text(p, value, strlen(value), field);
}

const char *
conf_set_log_to(struct conf_parse *p, const struct conf_key *k, const char *value, void *field)
{
	enum log_to to;
	const char *path;

	if (strlen(value) > k->max || log_to_parse(value, &to, &path) != 0)
		return "must be stderr, journal, syslog, or file: and an absolute path, like "
		       "\"file:/var/log/letterplate.log\"";
	return set_text(p, value, strlen(value), field);
}

const char *
conf_set_delimiters(struct conf_parse *p, const struct conf_key *k, const char *value, void *field)
{
	size_t n = strlen(value);

	if (n > k->max)
		return conf_why(p, "more than %" PRIu64 " characters", k->max);
	/* What stands in a dot-atom (RFC 5322 3.2.3) and is no letter and no digit. */
	if (strspn(value, "!#$%&'*+-./=?^_`{|}~") != n)
		return "only characters of !#$%&'*+-./=?^_`{|}~ can be delimiters";
	for (size_t i = 1; i < n; i++)
		if (memchr(value, value[i], i) != NULL)
			return conf_why(p, "\"%c\" stands in it twice", value[i]);
	return set_text(p, value, n, field);
}

const char *
conf_set_postmaster(struct conf_parse *p, const struct conf_key *k, const char *value, void *field)
{
	struct addr a;
	char canonical[NORM_KEY_MAX];
	size_t at;
	ssize_t n;

	(void)k;
	if (*value == '\0')
		return set_text(p, "", 0, field);
	if (addr_parse_bare(span_str(value), ADDR_UTF8, &p->own->arena, &a) != 0 || a.is_null || a.literal ||
	    a.domain.n == 0)
		return "no mailbox; write it like alice@example.org";
	n = norm_addr(&a, canonical, sizeof canonical, &at);
	if (n <= 0)
		return "a mailbox that cannot exist: its name or domain is not allowed";
	return set_text(p, canonical, (size_t)n, field);
}

const char *
conf_set_hostport(struct conf_parse *p, const struct conf_key *k, const char *value, void *field)
{
	static const char form[] = "must be host:port, like relay.example.org:25";
	const char *colon = strrchr(value, ':');
	struct conf_address ignored;
	uint64_t port;

	(void)k;
	if (*value == '\0')
		return set_text(p, "", 0, field);
	if (value[0] == '[') {
		if (conf_value_address(value, &ignored) != NULL)
			return form;
	} else if (colon == NULL || !addr_domain_ok(span_of(value, (size_t)(colon - value)), false) ||
	    conf_value_u64(colon + 1, &port) != 0 || port < 1 || port > 65535) {
		return form;
	}
	return set_text(p, value, strlen(value), field);
}

const char *
conf_set_address(struct conf_parse *p, const struct conf_key *k, const char *value, void *field)
{
	struct conf_address *a = &p->address[p->naddress];
	const char *why;

	(void)k;
	(void)field;
	if (p->naddress == CONF_ADDRESSES_MAX)
		return conf_why(p, "more than %d addresses in all", CONF_ADDRESSES_MAX);
	why = conf_value_address(value, a);
	if (why != NULL)
		return why;
	for (size_t i = 0; i < p->naddress; i++) {
		const char *clash = conf_value_clash(a, &p->address[i]);

		if (clash != NULL)
			return conf_why(p, "it %s \"%s\" on line %u; leave one of them out", clash, p->address[i].text,
			    p->address[i].line);
	}
	a->line = p->line;
	why = set_text(p, value, strlen(value), &a->text);
	if (why == NULL)
		p->naddress++;
	return why;
}

static enum conf_list
list_of(const struct conf_key *k)
{
	static const struct {
		const char *section, *name;
		enum conf_list list;
	} lists[] = {
		{ "listener", "proxy_from", CONF_L_PROXY },
		{ "listener", "xclient_from", CONF_L_XCLIENT },
		{ "listener", "bare_newline_from", CONF_L_BARE },
		{ "networks", "accept", CONF_L_ACCEPT },
		{ "networks", "reject", CONF_L_REJECT },
		{ "networks", "defer", CONF_L_DEFER },
		{ "networks", "skip_checks", CONF_L_SKIP },
	};

	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		if (strcmp(lists[i].section, k->section) == 0 && strcmp(lists[i].name, k->name) == 0)
			return lists[i].list;
	return CONF_L_WHEN;
}

const char *
conf_set_nets(struct conf_parse *p, const struct conf_key *k, const char *value, void *field)
{
	enum conf_list l = list_of(k);
	const char *why;

	(void)field;
	if (p->nnets[l] == CONF_NETS_MAX)
		return conf_why(p, "more than %d networks in one list", CONF_NETS_MAX);
	why = conf_value_net(value, &p->nets[l][p->nnets[l]]);
	if (why == NULL)
		p->nnets[l]++;
	return why;
}
