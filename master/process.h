/*
 * process: a child of the master from open program to exec, and what is said
 * of its end.  What the child is for, and who takes its place, is told by
 * spawn.h (workers) and helper.h.
 */
#ifndef MASTER_PROCESS_H_
#define MASTER_PROCESS_H_

#include <stdint.h>
#include <sys/types.h>

#include "common/conf.h"

enum { PROCESS_FDS_MAX = 16 + CONF_ADDRESSES_MAX };

/* Where our own program stands, as of the first call: who replaces the file does not change it.  Static; "" when the kernel would not say. */
const char *process_self(void);

/* What a predecessor knew of it. */
void process_set_self(const char *path);

/* Hold program ${name} open, from the folder of our own.  The descriptor, or -1 with errno and its path in ${path}. */
int process_open_exe(const char *name, char *path, size_t cap);

/**
 * process_start(exe, argv, fd, n, control):
 * Start ${exe} as a child with ${argv}, and with the ${n} descriptors of
 * ${fd} from IPC_FD_CONF on and nothing else of ours, ${out} as standard output (-1: /dev/null); the one at IPC_FD_CONTROL
 * is the child's end of a new pair, whose other end becomes *control.  The
 * child's pid, or -1 with errno.  ${fd} is the caller's, argv[0] a word for the log.
 */
pid_t process_start(int exe, char *const *argv, const int *fd, unsigned n, int out, int *control);

/**
 * process_kill(pid, sig, user):
 * Send ${sig} to a child that runs as us, or as ${user} by now: without
 * CAP_KILL, which would reach everybody's processes, by a child of ours that
 * becomes that user first.  It is sent soon, not at once; failures are logged.
 */
void process_kill(pid_t pid, int sig, const char *user);

/* How a process ended, in words. */
void process_words(int status, char *out, size_t cap);

/* The exit status that ${status} of waitpid means for who started it: its own of sysexits, or EX_SOFTWARE. */
int process_code(int status);

/* Milliseconds until the next try after ${deaths} quick deaths in a row: of one slot there is at most one a second (TRUST S5). */
int64_t process_backoff_ms(unsigned deaths);

/* Whether ${status} of waitpid is SIGKILL: whoever did not send it knows that the process is not to blame. */
bool process_was_killed(int status);

/*
 * When (master_now_ms()) the successor of one that began at ${began_ms} and has ended at ${now_ms} may start.  *${deaths}, the
 * quick ones in a row, is kept up.  The successor of one that is not to blame comes at once, if not more often than ten
 * times a second.
 */
int64_t process_again_ms(bool to_blame, int64_t began_ms, int64_t now_ms, unsigned *deaths);
#endif
