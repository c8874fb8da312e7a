/*
 * setup: a worker's chain, made from the config.
 */
#include "worker/setup.h"

#include <errno.h>
#include <string.h>

#include "common/log.h"
#include "worker/handlers/table.h"
#include "worker/sandbox.h"

static int
setup_section(struct worker *w, const struct conf_handler *h, const struct handler_ops *ops)
{
	struct handler_env env = {
		.name = h->name,
		.argument = h->argument,
		.conf = w->conf,
		.section = h,
		.loop = w->loop,
		.stats = w->stats,
	};
	void *ctx = NULL;

	if (ops->open != NULL && ops->open(&env, &ctx) != 0) {
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
setup_outward(const struct conf *cf, struct sandbox_out *out)
{
	for (size_t i = 0; i < cf->nhandler; i++) {
		const struct conf_handler *h = &cf->handler[i];

		if ((h->kind == CONF_K_MILTER || h->kind == CONF_K_POLICY) &&
		    setup_add(cf, out, &h->socket, SOCK_STREAM, h->line) != 0)
			return -1;
	}
	/* A long answer comes by TCP. */
	for (size_t i = 0; i < cf->dns.nserver; i++)
		if (setup_add(cf, out, &cf->dns.server[i], SOCK_DGRAM, cf->dns.line) != 0 ||
		    setup_add(cf, out, &cf->dns.server[i], SOCK_STREAM, cf->dns.line) != 0)
			return -1;
	return 0;
}

static int
setup_one(struct worker *w, const struct conf_handler *h)
{
	const struct handler_ops *ops = handlers_of(h->kind);

	if (ops != NULL)
		return setup_section(w, h, ops);
	log_msg(LOG_L_ERROR, "start", "%s:%u: this release has nobody for %s", w->conf->file, h->line, h->name);
	return -1;
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
