/*
 * conf: from the text of a config file to a struct conf, by libconfuse.
 * Values are set as libconfuse meets them, so that each mistake has its own
 * line; libconfuse keeps nothing of ours.  It stops at the first unknown key:
 * that statement is blanked and the text read again, so that one run tells all.
 * Not reentrant, because libconfuse's lexer isn't.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <confuse.h>

#include "common/addr.h"
#include "common/conf_priv.h"

/* libconfuse hands its callbacks no pointer of ours. */
static struct conf_parse *parsing;

void
conf_mistake(void *arg, unsigned line, const char *text)
{
	struct conf_parse *p = arg;
	struct conf_mistake *m = &p->mistake[p->nmistake];

	if (p->nmistake == CONF_REPORTS_MAX) {
		p->cut = true;
		return;
	}
	m->line = line;
	snprintf(m->text, sizeof m->text, "%s", text);
	p->nmistake++;
}

void
conf_mistakef(struct conf_parse *p, unsigned line, const char *fmt, ...)
{
	char text[CONF_WHY_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	conf_mistake(p, line, text);
}

int
conf_shown(const char *value)
{
	size_t n = strlen(value);

	if (n <= 80)
		return (int)n;
	for (n = 80; ((unsigned char)value[n] & 0xc0) == 0x80; n--)
		;
	return (int)n;
}

static void
value_mistake(struct conf_parse *p, const struct conf_key *k, const char *value, const char *why)
{
	int n = conf_shown(value);

	conf_mistakef(p, p->line, "%s = \"%.*s%s\": %s", k->name, n, value, value[n] != '\0' ? "..." : "", why);
}

static void *
field_of(struct conf_parse *p, const struct conf_key *k)
{
	char *base = (char *)&p->own->conf;

	if (strcmp(k->section, "listener") == 0)
		base = (char *)&p->listener[p->nlistener];
	else if (strcmp(k->section, "tls") == 0)
		base = (char *)&p->tls[p->ntls];
	else if (strcmp(k->section, "handler") == 0)
		base = (char *)&p->fresh[CONF_K_HANDLER];
	else if (strcmp(k->section, "milter") == 0)
		base = (char *)&p->fresh[CONF_K_MILTER];
	else if (strcmp(k->section, "policy") == 0)
		base = (char *)&p->fresh[CONF_K_POLICY];
	return base + k->off;
}

static void
set(struct conf_parse *p, const struct conf_key *k, const char *value)
{
	const char *why = k->set(p, k, value, field_of(p, k));

	if (why != NULL)
		value_mistake(p, k, value, why);
}

static void
set_defaults(struct conf_parse *p, bool (*which)(const char *section))
{
	for (size_t i = 0; i < conf_nkey; i++) {
		const struct conf_key *k = &conf_key[i];

		if (k->def != NULL && which(k->section))
			(void)k->set(p, k, k->def, field_of(p, k));
	}
}

static bool
is_listener(const char *section)
{
	return strcmp(section, "listener") == 0;
}

static bool
is_single(const char *section)
{
	int kind = conf_handler_kind(section);

	return !is_listener(section) && strcmp(section, "tls") != 0 && (kind < 0 || kind >= CONF_K_TITLED);
}

/* --- libconfuse's callbacks --- */

/* One value, or one member of a list. */
static int
on_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	struct conf_parse *p = parsing;
	const char *section = strcmp(cfg->name, "root") == 0 ? "" : cfg->name;
	const struct conf_key *k = conf_key_find(section, opt->name);

	*(const char **)result = value;
	p->line = (unsigned)cfg->line;
	p->title = cfg->title;
	if (k == NULL) {
		conf_mistakef(p, p->line, "unknown key \"%s\"", opt->name);
		return 0;
	}
	if (p->seen[k - conf_key] && (!k->list || opt->nvalues == 1))
		conf_mistakef(p, p->line, "%s is set twice", k->name);
	p->seen[k - conf_key] = true;
	p->own->line[k - conf_key] = p->line;
	set(p, k, value);
	return 0;
}

const char *
conf_title_wrong(const char *title)
{
	size_t n = strlen(title);

	if (n == 0 || n > 64 || strspn(title, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") != n)
		return "the name must be 1 to 64 of a-z A-Z 0-9 _ . -";
	return NULL;
}

bool
conf_take_nets(struct conf_parse *p, enum conf_list l, struct conf_nets *out)
{
	size_t n = p->nnets[l];

	p->nnets[l] = 0;
	out->n = n;
	out->net = NULL;
	if (n == 0)
		return true;
	out->net = arena_alloc(&p->own->arena, n * sizeof *out->net);
	if (out->net == NULL)
		return false;
	memcpy(out->net, p->nets[l], n * sizeof *out->net);
	return true;
}

const char *
conf_keep(struct conf_parse *p, const char *s)
{
	char *copy = arena_alloc(&p->own->arena, strlen(s) + 1);

	if (copy != NULL)
		memcpy(copy, s, strlen(s) + 1);
	return copy;
}

bool
conf_seen(const struct conf_parse *p, const char *section, const char *name)
{
	return p->seen[conf_key_find(section, name) - conf_key];
}

static void
end_listener(struct conf_parse *p, const char *title, unsigned line)
{
	struct conf_listener *l = &p->listener[p->nlistener];
	const char *why = conf_title_wrong(title);

	if (why != NULL)
		conf_mistakef(p, line, "listener \"%.*s\": %s", conf_shown(title), title, why);
	for (size_t i = 0; i < p->nlistener; i++)
		if (strcmp(p->listener[i].name, title) == 0)
			conf_mistakef(p, line, "listener \"%s\" stands here twice; the first is on line %u", title,
			    p->listener[i].line);
	/* An address that was refused has been told already. */
	if (p->naddress == p->first_address && !conf_seen(p, "listener", "address"))
		conf_mistakef(p, line,
		    "listener \"%s\" has no address; write e.g. address = {\"0.0.0.0:25\", \"[::]:25\"}", title);
	l->name = conf_keep(p, title);
	l->line = line;
	if (!conf_seen(p, "listener", "tls"))
		p->tls_unset |= (uint64_t)1 << p->nlistener;
	l->naddress = p->naddress - p->first_address;
	p->first_address = p->naddress;
	if (!conf_take_nets(p, CONF_L_PROXY, &l->proxy_from) || !conf_take_nets(p, CONF_L_XCLIENT, &l->xclient_from) ||
	    !conf_take_nets(p, CONF_L_BARE, &l->bare_newline_from) || l->name == NULL)
		conf_mistake(p, line, "out of memory");
	if (p->nlistener == CONF_LISTENERS_MAX)
		conf_mistakef(p, line, "more than %d listeners", CONF_LISTENERS_MAX);
	else if (l->name != NULL)
		p->nlistener++;
	p->listener[p->nlistener] = (struct conf_listener){ 0 };
	set_defaults(p, is_listener);
}

static void
end_tls(struct conf_parse *p, const char *title, unsigned line)
{
	struct conf_tls_section *t = &p->tls[p->ntls];

	if (!conf_seen(p, "tls", "certificate") || !conf_seen(p, "tls", "key"))
		conf_mistake(p, line, "a tls section needs both certificate and key");
	if (*title != '\0' && !addr_domain_ok(span_str(title), false))
		conf_mistakef(p, line, "tls \"%.*s\": no host name", conf_shown(title), title);
	for (size_t i = 0; i < p->ntls; i++)
		if (*title != '\0' && strcasecmp(p->tls[i].name, title) == 0)
			conf_mistakef(p, line, "tls \"%s\" stands here twice", title);
	t->name = conf_keep(p, title);
	t->line = line;
	if (t->ocsp == NULL)
		t->ocsp = "";
	if (t->name == NULL)
		conf_mistake(p, line, "out of memory");
	else if (p->ntls == CONF_LISTENERS_MAX)
		conf_mistakef(p, line, "more than %d tls sections", CONF_LISTENERS_MAX);
	else
		p->ntls++;
	p->tls[p->ntls] = (struct conf_tls_section){ 0 };
}

/* A section has ended. */
static int
on_section(cfg_t *cfg, cfg_opt_t *opt)
{
	struct conf_parse *p = parsing;
	unsigned line = p->section < p->nopen ? p->open_line[p->section] : (unsigned)cfg->line;
	const cfg_t *last = opt->nvalues > 0 ? opt->values[opt->nvalues - 1]->section : NULL;
	const char *title = p->title != NULL ? p->title : last != NULL && last->title != NULL ? last->title : "";
	int kind = conf_handler_kind(opt->name);

	p->section++;
	if (kind >= 0)
		conf_handler_end(p, (enum conf_kind)kind, title, line);
	else if (strcmp(opt->name, "listener") == 0)
		end_listener(p, title, line);
	else if (strcmp(opt->name, "tls") == 0)
		end_tls(p, title, line);
	else if (strcmp(opt->name, "store") == 0 && strcmp(title, "maildir") != 0)
		conf_mistakef(p, line, "store \"%.*s\": there is no such store; this release has \"maildir\"",
		    conf_shown(title), title);
	for (unsigned i = 0; i < conf_nsection; i++) {
		if (strcmp(conf_section[i].name, opt->name) != 0)
			continue;
		if (conf_section[i].many)
			continue;
		if ((p->single & 1U << i) != 0)
			conf_mistakef(p, line, "section %s stands here twice", opt->name);
		p->single |= 1U << i;
	}
	for (size_t i = 0; i < conf_nkey; i++)
		if (conf_key[i].section[0] != '\0')
			p->seen[i] = false;
	p->title = NULL;
	return 0;
}

/* libconfuse's messages in our words; %s is its one argument. */
static const struct saying {
	const char *theirs, *before, *after;
} sayings[] = {
	{ "no such option '%s'", "unknown key \"", "\"" },
	{ "missing equal sign after option '%s'", "", " is a key: it needs \"=\" and a value" },
	{ "missing opening brace for section '%s'", "", " is a section: it needs { } around its keys" },
	{ "missing title for section '%s'", "", " needs a name in quotes before its {" },
	{ "unexpected token '%s'", "\"", "\" does not belong here" },
	{ "premature end of file", "the file ends in the middle of something: a value or a \"}\" is missing", "" },
	{ "unexpected closing brace", "this \"}\" closes nothing", "" },
};

static void on_error(cfg_t *cfg, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

static void
on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	struct conf_parse *p = parsing;
	char text[CONF_WHY_MAX];

	p->unknown_line = cfg->line > 0 ? (unsigned)cfg->line : 1;
	for (size_t i = 0; i < sizeof sayings / sizeof *sayings; i++) {
		const char *arg;

		if (strcmp(fmt, sayings[i].theirs) != 0)
			continue;
		arg = strstr(fmt, "%s") != NULL ? va_arg(ap, const char *) : "";
		if (i == 0) {
			snprintf(p->unknown, sizeof p->unknown, "%s", arg);
			snprintf(p->where, sizeof p->where, "%s", strcmp(cfg->name, "root") == 0 ? "" : cfg->name);
			return;
		}
		conf_mistakef(
		    p, p->unknown_line, "%s%.*s%s", sayings[i].before, conf_shown(arg), arg, sayings[i].after);
		return;
	}
	vsnprintf(text, sizeof text, fmt, ap);
	conf_mistake(p, p->unknown_line, text);
}

/* --- a pass over the text --- */

static size_t
options_of(const char *section, cfg_opt_t *out)
{
	size_t n = 0;

	for (size_t i = 0; i < conf_nkey; i++) {
		const struct conf_key *k = &conf_key[i];

		if (strcmp(k->section, section) == 0)
			out[n++] = (cfg_opt_t)CFG_STR_CB(
			    k->name, NULL, CFGF_NODEFAULT | (k->list ? CFGF_LIST : CFGF_NONE), on_value);
	}
	out[n] = (cfg_opt_t)CFG_END();
	return n;
}

/* The tables in libconfuse's form; it copies them. */
static cfg_t *
tables(void)
{
	static cfg_opt_t root[CONF_KEYS_MAX + CONF_SECTIONS_MAX], sub[CONF_SECTIONS_MAX][CONF_KEYS_MAX];
	size_t n = options_of("", root);

	for (size_t i = 0; i < conf_nsection; i++) {
		options_of(conf_section[i].name, sub[i]);
		root[n] = (cfg_opt_t)CFG_SEC(
		    conf_section[i].name, sub[i], CFGF_MULTI | (conf_section[i].title ? CFGF_TITLE : CFGF_NONE));
		root[n++].validcb = on_section;
	}
	root[n] = (cfg_opt_t)CFG_END();
	return cfg_init(root, CFGF_NONE);
}

static bool
begin(struct conf_parse *p, const char *file)
{
	conf_free(p->own != NULL ? &p->own->conf : NULL);
	p->own = calloc(1, sizeof *p->own);
	if (p->own == NULL)
		return false;
	arena_init(&p->own->arena, 4096, 4 * CONF_TEXT_MAX);
	p->own->conf.file = conf_keep(p, file);
	p->own->conf.store.kind = "maildir";
	p->nmistake = 0;
	p->nlistener = p->naddress = p->first_address = p->ntls = p->section = 0;
	p->tls_unset = 0;
	memset(p->nnets, 0, sizeof p->nnets);
	memset(&p->listener[0], 0, sizeof p->listener[0]);
	memset(&p->tls[0], 0, sizeof p->tls[0]);
	memset(p->seen, 0, sizeof p->seen);
	p->nhandler = 0;
	p->single = 0;
	p->title = NULL;
	p->unknown[0] = '\0';
	set_defaults(p, is_single);
	set_defaults(p, is_listener);
	conf_handler_defaults(p);
	return p->own->conf.file != NULL;
}

/* One reading of the text.  Whether libconfuse came to its end. */
static bool
pass(struct conf_parse *p, const char *file, const char *clean)
{
	char *text = conf_scan_finish(clean, &p->open_line, &p->nopen);
	FILE *fp = text != NULL ? fmemopen(text, strlen(text), "r") : NULL;
	cfg_t *cfg = fp != NULL && begin(p, file) ? tables() : NULL;
	bool whole = false;

	parsing = p;
	if (cfg == NULL) {
		conf_mistake(p, 0, "out of memory");
	} else {
		cfg_set_error_function(cfg, on_error);
		whole = cfg_parse_fp(cfg, fp) == CFG_SUCCESS;
		cfg_free(cfg);
		if (!whole && p->unknown[0] == '\0' && p->nmistake == 0)
			conf_mistake(p, 0, "cannot be read: out of memory?");
	}
	parsing = NULL;
	p->title = NULL;
	if (fp != NULL)
		fclose(fp);
	free(text);
	free(p->open_line);
	p->open_line = NULL;
	return whole;
}

/* Say that a key is unknown, in a way that outlives the pass. */
static void
tell_unknown(struct conf_parse *p, bool section)
{
	struct conf_mistake *m = &p->kept[p->nkept++];
	const struct conf_key *other = NULL;
	const char *belongs = "";

	for (size_t i = 0; i < conf_nkey && !section; i++)
		if (strcmp(conf_key[i].name, p->unknown) == 0)
			other = &conf_key[i];
	if (other != NULL)
		belongs = other->section[0] != '\0' ? "; it belongs into section " : "; it belongs outside of sections";
	m->line = p->unknown_line;
	snprintf(m->text, sizeof m->text, "unknown %s \"%s\"%s%s%s%s", section ? "section" : "key", p->unknown,
	    p->where[0] != '\0' ? " in " : "", p->where, belongs, other != NULL ? other->section : "");
}

/* Whether it could be read to its end. */
static bool
read_all(struct conf_parse *p, const char *file, char *clean)
{
	for (int i = 0; i < CONF_PASSES_MAX; i++) {
		bool section = false, found;

		if (pass(p, file, clean))
			return true;
		if (p->unknown[0] == '\0')
			return false;
		found = conf_scan_blank(clean, p->unknown_line, p->unknown, &section);
		tell_unknown(p, section);
		if (!found)
			return false;
	}
	p->cut = true;
	return false;
}

/* --- telling --- */

static int
by_line(const void *a, const void *b)
{
	const struct conf_mistake *x = a, *y = b;

	return x->line != y->line ? (x->line > y->line) - (x->line < y->line) : strcmp(x->text, y->text);
}

static void
tell(struct conf_parse *p, const char *file, conf_report *report, void *arg)
{
	qsort(p->mistake, p->nmistake, sizeof *p->mistake, by_line);
	for (size_t i = 0; i < p->nmistake; i++) {
		const struct conf_mistake *m = &p->mistake[i];
		char line[CONF_WHY_MAX + CONF_PATH_MAX];

		if (i > 0 && by_line(m, m - 1) == 0)
			continue;
		snprintf(line, sizeof line, "%s:%u: %s", file, m->line > 0 ? m->line : 1, m->text);
		report(arg, line);
	}
	if (p->cut) {
		char line[CONF_PATH_MAX + 64];

		snprintf(line, sizeof line, "%s:%u: there are more mistakes than are shown", file, p->last_line);
		report(arg, line);
	}
}

/* For what is missing from the file as a whole. */
static unsigned
last_line(const char *text, size_t n)
{
	unsigned line = 1;

	for (size_t i = 0; i + 1 < n; i++)
		line += text[i] == '\n';
	return line;
}

/* What was read of state_dir: NULL if a mistake concerns it, or may have kept it from being read. */
static char *
state_dir_read(const struct conf_parse *p, bool to_its_end)
{
	if (p->own == NULL || (!to_its_end && p->own->line[conf_key_find("", "state_dir") - conf_key] == 0))
		return NULL;
	for (size_t i = 0; i < p->nmistake; i++)
		if (strstr(p->mistake[i].text, "state_dir") != NULL)
			return NULL;
	for (size_t i = 0; i < p->nkept; i++)
		if (strstr(p->kept[i].text, "state_dir") != NULL)
			return NULL;
	return p->own->conf.state_dir != NULL ? strdup(p->own->conf.state_dir) : NULL;
}

int
conf_parse(const char *file, const char *text, size_t n, conf_report *report, void *arg, struct conf **out)
{
	return conf_parse_for(file, text, n, report, arg, out, NULL);
}

int
conf_parse_for(
    const char *file, const char *text, size_t n, conf_report *report, void *arg, struct conf **out, char **state_dir)
{
	bool to_its_end;
	struct conf_parse *p = calloc(1, sizeof *p);
	char *clean = NULL;
	int rc = -1;

	if (p == NULL || (p->mistake = calloc(CONF_REPORTS_MAX + CONF_PASSES_MAX, sizeof *p->mistake)) == NULL) {
		report(arg, "out of memory");
		free(p);
		return -1;
	}
	p->last_line = last_line(text, n);
	if (n > CONF_TEXT_MAX)
		conf_mistakef(p, p->last_line, "more than %d octets", CONF_TEXT_MAX);
	else
		clean = conf_scan_clean(text, n, conf_mistake, p);
	to_its_end = clean != NULL && read_all(p, file, clean);
	if (state_dir != NULL)
		*state_dir = state_dir_read(p, to_its_end);
	if (to_its_end)
		conf_whole(p);
	for (size_t i = 0; i < p->nkept; i++)
		p->mistake[p->nmistake++] = p->kept[i];
	if (p->nmistake > 0 || p->own == NULL) {
		tell(p, file, report, arg);
		conf_free(p->own != NULL ? &p->own->conf : NULL);
	} else {
		*out = &p->own->conf;
		rc = 0;
	}
	free(clean);
	free(p->mistake);
	free(p);
	return rc;
}

void
conf_free(struct conf *cf)
{
	struct conf_own *own = (struct conf_own *)cf;

	if (own == NULL)
		return;
	arena_reset(&own->arena);
	free(own);
}
