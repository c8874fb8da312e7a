/*
 * caps: what a master that was started as root keeps of it.
 */
#ifndef MASTER_CAPS_H_
#define MASTER_CAPS_H_

#include "common/conf.h"

/**
 * caps_drop(cf):
 * Keep CAP_NET_BIND_SERVICE, SETUID, SETGID, KILL; DAC_OVERRIDE only if the
 * config, its state_dir or a unix socket's folder belongs to somebody else.
 * Nothing to do when not root.  0, or -1 with errno.
 */
int caps_drop(const struct conf *cf);
#endif
