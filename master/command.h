/*
 * command: what can be asked for at the control socket.
 */
#ifndef MASTER_COMMAND_H_
#define MASTER_COMMAND_H_

#include "common/facts.h"
#include "master/ctl.h"

struct command {
	const char   *name;
	bool          acts; /* it changes something: who asked is logged */
	enum ctl_wait wait; /* what the answer waits for */
	/* Do it, or ask the loop to; lines of the answer go to ${out}.  EX_OK, or a code of sysexits(3) and *why. */
	int (*run)(struct master *m, const struct fact *request, struct facts *out, const char **why);
};

/* The command of that name, or NULL. */
const struct command *command_find(const char *name);
#endif
