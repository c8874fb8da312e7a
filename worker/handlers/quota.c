/*
 * quota: a thread that may block reads the mailbox's maildirsize.  Mailboxes
 * without a quota never come this far.
 */
#include "worker/handlers/quota.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/conf.h"
#include "common/log.h"
#include "common/maildirsize.h"

struct quota {
	int root; /* the store's path */
	bool reject;
};

/* One recipient's question.  The job's own: the session may be gone when it runs. */
struct quota_job {
	struct handler_job job; /* first */
	int root;
	bool reject;
	uint64_t octets;
	size_t n;
	struct quota_box {
		struct quota_limit limit;
		char dir[512]; /* DOMAIN/LOCAL */
	} box[];
};

static int
quota_open(const struct handler_env *env, void **ctx)
{
	struct quota *qt = calloc(1, sizeof(*qt));

	if (qt == NULL)
		return -1;
	qt->reject = env->conf->quota.when_full == CONF_FULL_REJECT;
	qt->root = open(env->conf->store.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (qt->root == -1) {
		free(qt);
		return -1;
	}
	*ctx = qt;
	return 0;
}

/* The mailbox's folder, a name at a time: as in the store no link is followed, of a domain neither. */
static int
quota_home(int root, const char *dir)
{
	const char *slash = strchr(dir, '/');
	char domain[sizeof(((struct quota_box *)NULL)->dir)];
	int at, home, err;

	if (slash == NULL) {
		errno = EINVAL;
		return -1;
	}
	memcpy(domain, dir, (size_t)(slash - dir));
	domain[slash - dir] = '\0';
	at = openat(root, domain, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (at == -1)
		return -1;
	home = openat(at, slash + 1, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	err = errno;
	close(at);
	errno = err;
	return home;
}

static bool
quota_full(const struct quota_job *j, const struct quota_box *b)
{
	int home = quota_home(j->root, b->dir);
	bool full;

	/* A mailbox that is not there yet is empty; what else is wrong with it is the store's to say. */
	if (home == -1)
		return errno == ENOENT && b->limit.octets != 0 && j->octets > b->limit.octets;
	full = maildirsize_room(home, &b->limit, j->octets, NULL) != 0 && errno == EDQUOT;
	close(home);
	return full;
}

static void
quota_run(struct handler_job *hj)
{
	struct quota_job *j = (struct quota_job *)hj;
	struct reply r = { .code = 0 };

	for (size_t i = 0; i < j->n && r.code == 0; i++)
		if (quota_full(j, &j->box[i]))
			reply_set(&r, j->reject ? 552 : 452, j->reject ? ENH(5, 2, 2) : ENH(4, 2, 2), "over-quota",
			    "the mailbox has no room for this mail%s", j->reject ? "" : " now, try again later");
	(void)ask_answer(hj->ask, r.code != 0 ? V_REPLY : V_NEXT, &r);
}

static void
quota_done(struct handler_job *hj)
{
	free(hj);
}

static enum verdict
quota_on_rcpt_to(void *ctx, const struct question *q, struct reply *r)
{
	const struct quota *qt = ctx;
	struct quota_job *j;
	size_t n = 0;

	(void)r;
	for (const struct rcpt_target *t = q->rcpt->targets; t != NULL; t = t->next)
		n += quota_limited(&t->target->quota);
	if (n == 0)
		return V_NEXT;
	j = calloc(1, sizeof(*j) + n * sizeof(j->box[0]));
	if (j == NULL)
		return V_FAIL;
	j->job.run = quota_run;
	j->job.done = quota_done;
	j->root = qt->root;
	j->reject = qt->reject;
	j->octets = q->txn->size_decl;
	for (const struct rcpt_target *t = q->rcpt->targets; t != NULL; t = t->next)
		if (quota_limited(&t->target->quota) && t->target->dir.n < sizeof(j->box[0].dir)) {
			j->box[j->n].limit = t->target->quota;
			memcpy(j->box[j->n++].dir, t->target->dir.p, t->target->dir.n);
		}
	if (handler_pool(q, &j->job) == 0)
		return V_LATER;
	free(j);
	return V_FAIL;
}

static void
quota_close(void *ctx)
{
	struct quota *qt = ctx;

	close(qt->root);
	free(qt);
}

const struct handler_ops quota_ops = {
	.abi = HANDLER_ABI,
	.name = "quota",
	.open = quota_open,
	.on_rcpt_to = quota_on_rcpt_to,
	.close = quota_close,
};
