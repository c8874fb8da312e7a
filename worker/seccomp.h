/*
 * seccomp: which system calls a worker can still make.
 * A part of the sandbox; nobody else includes it.
 */
#ifndef WORKER_SECCOMP_H_
#define WORKER_SECCOMP_H_

enum seccomp_table { SECCOMP_WORKER, SECCOMP_KEYS };

/**
 * seccomp_confine(table):
 * From now on every thread of the process dies with the process at the first
 * call that is not in the table.  no_new_privs must be set.  0, or -1 after a
 * logged error.
 */
int seccomp_confine(enum seccomp_table table);
#endif
