/*
 * plugin: C modules, loaded by dlopen(3).
 */
#ifndef WORKER_PLUGIN_H_
#define WORKER_PLUGIN_H_

#include "worker/handlers/handler.h"

enum {
	PLUGIN_WHY_MAX = 512, /* octets of a complaint */
	PLUGIN_THREADS = 16,  /* that modules may block in; handler.h, which is installed, says the number */
	PLUGIN_QUEUE   = 1024 /* jobs that may wait for one */
};

#define PLUGIN_SYMBOL "letterplate_handler"

struct plugin {
	const struct handler_ops *ops;
	void                     *ctx;
};

/**
 * plugin_load(path, env, out, why):
 * Load the module and, unless ${env} is NULL, open it.  0, or -1 with what is
 * wrong in ${why} (PLUGIN_WHY_MAX octets).  A module is never unloaded.
 */
int plugin_load(const char *path, const struct handler_env *env, struct plugin *out, char *why);

#endif
