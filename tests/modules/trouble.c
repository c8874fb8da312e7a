/*
 * trouble: a module that does what it is told by the sender's address: crashes
 * ("crash", "segv", "forbidden", "exit"; "pool-segv" in a thread of the pool),
 * never answers, says nothing sensible, tells what it was given of a DSN, or
 * keeps a thread of the pool for half a second ("busy") or for ever ("stuck").
 * The same by a line that is no command.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "worker/handlers/handler.h"

static bool
told(const struct question *q, const char *word)
{
	struct span l = q->txn->from.local;

	return l.n == strlen(word) && memcmp(l.p, word, l.n) == 0;
}

static void
crash(struct handler_job *j)
{
	(void)j;
	abort();
}

static void
segv(struct handler_job *j)
{
	static char *volatile nowhere;

	(void)j;
	*(volatile char *)nowhere = 1;
}

/* No worker needs to be the tracee of anybody. */
static void
forbidden(struct handler_job *j)
{
	(void)j;
	syscall(SYS_ptrace, 0, 0, 0, 0);
}

static void
leave(struct handler_job *j)
{
	(void)j;
	exit(0);
}

static void
work_for_half_a_second(struct handler_job *j)
{
	nanosleep(&(struct timespec){ 0, 500000000 }, NULL);
	(void)ask_answer(j->ask, V_NEXT, NULL);
}

static void
work_for_ever(struct handler_job *j)
{
	(void)j;
	for (;;)
		nanosleep(&(struct timespec){ 3600, 0 }, NULL);
}

static void
work_done(struct handler_job *j)
{
	free(j);
}

static enum verdict
work(const struct question *q, void (*run)(struct handler_job *))
{
	struct handler_job *j = calloc(1, sizeof(*j));

	if (j == NULL)
		return V_FAIL;
	j->run = run;
	j->done = work_done;
	if (handler_pool(q, j) == 0)
		return V_LATER;
	free(j);
	return V_FAIL;
}

/* What ends the worker, by its word; with "pool-" before it in a thread. */
static enum verdict
end(const struct question *q)
{
	static const struct {
		const char *word;
		void (*run)(struct handler_job *);
	} ways[] = { { "pool-crash", crash }, { "pool-segv", segv }, { "pool-forbidden", forbidden },
		{ "pool-exit", leave } };

	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		if (told(q, ways[i].word))
			return work(q, ways[i].run);
		if (told(q, ways[i].word + sizeof("pool-") - 1))
			ways[i].run(NULL);
	}
	return V_NEXT;
}

static enum verdict
trouble_on_rcpt_to(void *ctx, const struct question *q, struct reply *r)
{
	(void)ctx;
	r->code = 0;
	if (told(q, "dsn")) {
		reply_set(r, 550, ENH(5, 7, 1), "dsn", "ret %u envid %.*s notify %u orcpt %.*s", q->txn->dsn_ret,
		    (int)q->txn->envid.n, (const char *)q->txn->envid.p, q->rcpt->notify, (int)q->rcpt->orcpt.n,
		    (const char *)q->rcpt->orcpt.p);
		return V_REPLY;
	}
	if (told(q, "never"))
		return V_LATER;
	if (told(q, "busy") || told(q, "stuck"))
		return work(q, told(q, "busy") ? work_for_half_a_second : work_for_ever);
	return told(q, "nonsense") ? V_REPLY : end(q);
}

/* What an administrator would do with mail that smells: a field, a folder, a tag. */
static enum verdict
trouble_on_end(void *ctx, const struct question *q, struct reply *r)
{
	struct edits *e = told(q, "smelly") ? handler_edits(q) : NULL;

	(void)ctx, (void)r;
	if (e == NULL)
		return V_NEXT;
	if (edit_add_header(e, SPAN("X-Spam"), SPAN("yes")) != 0)
		return V_FAIL;
	return handler_tag(q, "smelly") == 0 ? V_NEXT : V_FAIL;
}

static bool
is(struct span line, const char *word)
{
	return line.n == strlen(word) && memcmp(line.p, word, line.n) == 0;
}

static enum verdict
trouble_on_unknown(void *ctx, const struct question *q, struct reply *r)
{
	(void)ctx;
	r->code = 0;
	if (is(q->chunk, "BUSY"))
		return work(q, work_for_half_a_second);
	if (is(q->chunk, "NEVER"))
		return V_LATER;
	if (is(q->chunk, "YES"))
		reply_set(r, 250, ENH(2, 0, 0), "yes", "as you like");
	else if (is(q->chunk, "XYZZY now"))
		reply_set(r, 554, ENH(5, 7, 1), "magic", "no magic here");
	return is(q->chunk, "YES") || is(q->chunk, "XYZZY now") || is(q->chunk, "NONSENSE") ? V_REPLY : V_NEXT;
}

const struct handler_ops letterplate_handler = { .abi = HANDLER_ABI,
	.name = "trouble",
	.edits = true,
	.on_rcpt_to = trouble_on_rcpt_to,
	.on_end = trouble_on_end,
	.on_unknown = trouble_on_unknown };
