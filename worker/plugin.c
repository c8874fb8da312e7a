/*
 * plugin: C modules, loaded by dlopen(3).  What it finds is trusted as the
 * worker's own code is; only the number of the interface is looked at before
 * anything else, since the rest means nothing when it differs.
 */
#include "worker/plugin.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

int
plugin_load(const char *path, const struct handler_env *env, struct plugin *out, char *why)
{
	const struct handler_ops *ops;
	void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	if (so == NULL) {
		snprintf(why, PLUGIN_WHY_MAX, "cannot be loaded: %s", dlerror());
		return -1;
	}
	ops = dlsym(so, PLUGIN_SYMBOL);
	if (ops == NULL) {
		snprintf(why, PLUGIN_WHY_MAX, "%s is no module: it has no symbol " PLUGIN_SYMBOL, path);
		return -1;
	}
	if (ops->abi != HANDLER_ABI) {
		snprintf(why, PLUGIN_WHY_MAX,
		    "%s was built for interface number %u, this letterplate has %d: build it with this one's handler.h",
		    path, (unsigned)ops->abi, HANDLER_ABI);
		return -1;
	}
	*out = (struct plugin){ .ops = ops };
	if (env == NULL || ops->open == NULL)
		return 0;
	errno = 0;
	if (ops->open(env, &out->ctx) == 0)
		return 0;
	snprintf(why, PLUGIN_WHY_MAX, "%s cannot start: %s", path, strerror(errno));
	return -1;
}
