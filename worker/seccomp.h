/*
 * seccomp: which system calls a worker can still make.
 * A part of the sandbox; nobody else includes it.
 */
#ifndef WORKER_SECCOMP_H_
#define WORKER_SECCOMP_H_

enum seccomp_table { SECCOMP_WORKER, SECCOMP_KEYS, SECCOMP_REPORTS };

/**
 * seccomp_confine(table, out):
 * From now on every thread of the process dies with the process at the first
 * call that is not in the table.  ${out} (SANDBOX_OUT_* of sandbox.h): what
 * sockets it may make and connect, besides.  no_new_privs must be set.  0, or -1 after a
 * logged error.
 */
int seccomp_confine(enum seccomp_table table, unsigned out);
#endif
