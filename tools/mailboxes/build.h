/*
 * build: the only writer of snapshots.
 * It writes TOOL_NEW and nothing else; nobody reads that before
 * tool_publish().  LMDB runs without syncs and in short transactions, since a
 * half-made file is thrown away and its memory must stay bounded; build_done()
 * syncs once.
 */
#ifndef TOOLS_MAILBOXES_BUILD_H_
#define TOOLS_MAILBOXES_BUILD_H_

#include "common/mdb.h"
#include "tools/mailboxes/tool.h"

struct build;

/* An empty snapshot with room for ${octets} of keys and records.  NULL after a message, with *rc an exit code. */
struct build *build_new(const struct tool *t, uint64_t octets, int *rc);

/* A copy of the current one, which the caller has checked, with room for a few entries more. */
struct build *build_copy(const struct tool *t, int *rc);

/* Put ${key} in, greater than all before; only after build_new().  0 or an exit code, after a message. */
int build_append(struct build *b, struct span key, struct span rec);

int build_put(struct build *b, struct span key, struct span rec); /* ...in any order, or in place of another */
int build_delete(struct build *b, struct span key);

/* Write what it says of itself (made is now), the checksums and the tail, and sync.  Consumes ${b}.  0 or an exit code. */
int build_done(struct build *b, uint64_t entries, uint64_t domains);

/* Forget it.  NULL is a no-op. */
void build_abort(struct build *b);
#endif
