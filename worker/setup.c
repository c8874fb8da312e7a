/*
 * setup: a worker's chain, made from the config.
 */
#include "worker/setup.h"

#include <bsd/string.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "worker/handlers/table.h"
#include "worker/net/dns.h"
#include "worker/plugin.h"
#include "worker/sandbox.h"

static struct handler_env
setup_env(const struct worker *w, const struct conf_handler *h)
{
	return (struct handler_env){
		.name = h->name,
		.argument = h->argument,
		.conf = w->conf,
		.section = h,
		.loop = w->loop,
		.dns = w->dns,
		.stats = w->stats,
		.directory = w->recipients,
	};
}

/* Modules: before Landlock, so that they and what they need can be read. */
int
setup_modules(void *arg)
{
	struct worker *w = arg;
	char why[PLUGIN_WHY_MAX];
	unsigned row;
	int loaded;

	for (size_t i = 0; i < w->conf->nhandler; i++) {
		const struct conf_handler *h = &w->conf->handler[i];
		struct handler_env env = setup_env(w, h);

		if (h->kind != CONF_K_HANDLER)
			continue;
		if (w->plugins == NULL && (w->plugins = calloc(CONF_HANDLERS_MAX, sizeof(*w->plugins))) == NULL) {
			log_msg(LOG_L_ERROR, "start", "cannot load modules: %s", strerror(errno));
			return -1;
		}
		row = stats_handler(w->stats, h->name);
		stats_running(w->stats, row, 1);
		loaded = plugin_load(h->module, &env, &w->plugins[i], why);
		stats_running(w->stats, row, -1);
		if (loaded != 0) {
			log_msg(
			    LOG_L_ERROR, "start", "%s:%u: handler \"%s\": %s", w->conf->file, h->line, h->name, why);
			return -1;
		}
	}
	return 0;
}

static int
setup_section(struct worker *w, const struct conf_handler *h, const struct handler_ops *ops)
{
	struct handler_env env = setup_env(w, h);
	void *ctx = NULL;

	if (h->kind == CONF_K_HANDLER && w->plugins != NULL)
		ctx = w->plugins[h - w->conf->handler].ctx;

	if (h->kind != CONF_K_HANDLER && ops->open != NULL && ops->open(&env, &ctx) != 0) {
		log_msg(LOG_L_ERROR, "start", "%s:%u: %s cannot start: %s", w->conf->file, h->line, h->name,
		    strerror(errno));
		return -1;
	}
	if (chain_add(&w->chain, ops, ctx, h) == 0)
		return 0;
	log_msg(
	    LOG_L_ERROR, "start", "%s:%u: %s cannot be asked: %s", w->conf->file, h->line, h->name, strerror(errno));
	return -1;
}

static int
setup_add(const struct conf *cf, struct sandbox_out *out, const struct conf_address *a, int type, unsigned line)
{
	if (sandbox_out_add(out, (const struct sockaddr *)&a->ss, type) == 0)
		return 0;
	log_msg(LOG_L_ERROR, "start", "%s:%u: %s cannot be connected to: %s", cf->file, line, a->text, strerror(errno));
	return -1;
}

int
setup_dns(struct worker *w)
{
	const struct conf_dns *cf = &w->conf->dns;
	char servers[CONF_SERVERS_MAX * 64] = "";

	if (cf->line == 0)
		return 0;
	for (size_t i = 0; i < cf->nserver; i++) {
		strlcat(servers, i > 0 ? "," : "", sizeof(servers));
		strlcat(servers, cf->server[i].text, sizeof(servers));
	}
	w->dns = dns_open(w->loop, cf->nserver > 0 ? servers : NULL, cf->timeout_ms);
	if (w->dns != NULL)
		return 0;
	log_msg(LOG_L_ERROR, "start", "%s:%u: DNS cannot be asked: %s", w->conf->file, cf->line, strerror(errno));
	return -1;
}

struct setup_servers {
	const struct conf *cf;
	struct sandbox_out *out;
	bool failed;
};

/* A long answer comes by TCP. */
static void
setup_server(void *arg, const struct sockaddr *ss)
{
	struct setup_servers *s = arg;

	if (sandbox_out_add(s->out, ss, SOCK_DGRAM) == 0 && sandbox_out_add(s->out, ss, SOCK_STREAM) == 0)
		return;
	log_msg(LOG_L_ERROR, "start", "%s:%u: a DNS server cannot be connected to: %s", s->cf->file, s->cf->dns.line,
	    strerror(errno));
	s->failed = true;
}

/* What a module may do; a config has no more of it than there is room for. */
static void
setup_allow(const struct conf_handler *h, struct sandbox *sb)
{
	for (size_t i = 0; i < h->nallow; i++)
		if (strcmp(h->allow[i], "network") == 0) {
			sb->out.kinds |= SANDBOX_OUT_TCP | SANDBOX_OUT_UDP | SANDBOX_OUT_UNIX;
			sb->out.any_port = true;
		} else if (sb->nwrite < SANDBOX_PATHS) {
			sb->write[sb->nwrite++] = h->allow[i];
		}
}

int
setup_outward(const struct worker *w, struct sandbox *sb)
{
	struct sandbox_out *out = &sb->out;
	const struct conf *cf = w->conf;
	struct setup_servers servers = { cf, out, false };

	for (size_t i = 0; i < cf->nhandler; i++) {
		const struct conf_handler *h = &cf->handler[i];

		if (h->kind == CONF_K_HANDLER)
			setup_allow(h, sb);
		if ((h->kind == CONF_K_MILTER || h->kind == CONF_K_POLICY || h->kind == CONF_K_TOKENS) &&
		    setup_add(cf, out, &h->socket, SOCK_STREAM, h->line) != 0)
			return -1;
	}
	if (w->dns != NULL)
		dns_servers(w->dns, setup_server, &servers);
	return servers.failed ? -1 : 0;
}

uint32_t
setup_descriptors(const struct conf *cf)
{
	uint32_t n = 0;

	for (size_t i = 0; i < cf->nhandler; i++) {
		n += handlers_fds(cf->handler[i].kind);
		if (cf->handler[i].kind == CONF_K_DNS)
			n += DNS_SOCKETS_MAX;
	}
	return n;
}

static const struct handler_ops *
setup_ops(const struct worker *w, const struct conf_handler *h)
{
	if (h->kind == CONF_K_HANDLER && w->plugins != NULL)
		return w->plugins[h - w->conf->handler].ops;
	return handlers_of(h);
}

static int
setup_one(struct worker *w, const struct conf_handler *h)
{
	const struct handler_ops *ops = setup_ops(w, h);

	if (ops != NULL)
		return setup_section(w, h, ops);
	log_msg(LOG_L_ERROR, "start", "%s:%u: this release has nobody for %s", w->conf->file, h->line, h->name);
	return -1;
}

bool
setup_has_auth(const struct worker *w)
{
	for (size_t i = 0; i < w->conf->nhandler; i++) {
		const struct handler_ops *ops = setup_ops(w, &w->conf->handler[i]);

		if (ops != NULL && ops->on_auth != NULL)
			return true;
	}
	return false;
}

int
setup_handlers(struct worker *w)
{
	/* Which network a client is of says whom to ask at all: wherever the section stands. */
	for (int networks = 1; networks >= 0; networks--)
		for (size_t i = 0; i < w->conf->nhandler; i++) {
			const struct conf_handler *h = &w->conf->handler[i];

			if ((h->kind == CONF_K_NETWORKS) == (networks == 1) && setup_one(w, h) != 0)
				return -1;
		}
	return 0;
}
