/*
 * child: what letterplate-keys, letterplate-auth and letterplate-reports do
 * alike with what the master started them with: read arguments and config, say
 * that they cannot start, take the master's word.  Workers read their config so
 * too, and have more to say (worker/main.c, worker/drain.c).
 */
#ifndef COMMON_CHILD_H_
#define COMMON_CHILD_H_

#include "common/conf.h"
#include "common/ipc.h"

/* What a helper is started with. */
struct child {
	const char *who;        /* "keys": in letterplate-keys and in the log */
	bool        channels;   /* it has a pair to each worker */
	uint64_t    generation; /* out */
	unsigned    n;          /* out: of channels */
};

/**
 * child_begin(c, argc, argv, envp):
 * Read the arguments that the master gives (ipc.h).  From here on there is a
 * title, and a log on standard error; INT, HUP and PIPE are ignored.  Anything
 * else than those arguments ends the process: EX_PROTOCOL when the master is of
 * another build, EX_USAGE when it is no master.
 */
void child_begin(struct child *c, int argc, char **argv, char **envp);

/* Cannot start: the reason was logged.  Tells the master ${code} (sysexits) and exits with it. */
_Noreturn void child_fail(int code);

/**
 * child_conf(who, file):
 * The config in the memfd IPC_FD_CONF, which is closed; ${file} is its name for
 * messages.  From here on the log is as it says, under the name ${who}.  Never
 * NULL: what cannot be read ends the process.  Owner: the caller.
 */
struct conf *child_conf(const char *who, const char *file);

/* Its two halves, for a worker: EX_OK with *out, or the code to end with; and the log from here on, ${slot} -1: none, to where it
 * was inherited or, for one that pretends, to its own standard error. */
int  child_read(const char *file, struct conf **out);
void child_log(const struct conf *cf, const char *who, int slot, bool inherited);

/**
 * child_hear(m):
 * The master's next word, if there is one: as ipc_recv_with() on IPC_FD_CONTROL.
 * A new log and a new level of it are taken, and a descriptor that nobody here
 * wants is closed.
 */
int child_hear(struct ipc_msg *m);

/* Whether ${m} says that the process should end. */
bool child_ends(const struct ipc_msg *m);
#endif
