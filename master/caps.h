/*
 * caps: what a master that was started as root keeps of it.
 */
#ifndef MASTER_CAPS_H_
#define MASTER_CAPS_H_

#include "common/conf.h"

enum { CAPS_WHY_MAX = 400 };

/**
 * caps_drop(cf):
 * Keep CAP_NET_BIND_SERVICE, SETUID, SETGID; DAC_OVERRIDE only if something of
 * somebody else's is needed later: the config, its state_dir, certificates and
 * keys, credentials, the log and its folder, or a unix socket's folder.
 * Nothing to do when not root.  0, or -1 with errno.
 */
int caps_drop(const struct conf *cf);

/**
 * caps_refused(path, text, cap):
 * ${text}, for behind a message that ${path} may not be used: "" where
 * caps_drop() has nothing to do with it; else ": ..." with what helps.
 */
const char *caps_refused(const char *path, char *text, size_t cap);

/* The same for the first such path of ${cf}, if there is any. */
const char *caps_refused_by(const struct conf *cf, char *text, size_t cap);
#endif
