/*
 * copy_to_folder: a copy of every message that is accepted, as ID.eml, with its
 * envelope as ID.json.  The argument is a folder that the config allows:
 * allow = {"/var/spool/copies"}.  Content is written where it comes in; a file
 * system that hangs would hold the loop up, so give it a local one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/handlers/handler.h"

struct copy {
	int fd;
	bool failed;
	char id[TXN_ID_MAX];
};

static int
copy_open(const struct handler_env *env, void **ctx)
{
	int *dir = malloc(sizeof(*dir));

	if (dir == NULL)
		return -1;
	*dir = open(env->argument, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*dir == -1) {
		free(dir);
		return -1;
	}
	*ctx = dir;
	return 0;
}

static struct copy *
copy_of(const struct question *q)
{
	struct copy *c = q->mine;

	if (c != NULL)
		return c;
	c = calloc(1, sizeof(*c));
	if (c == NULL || handler_keep(q, c) != 0) {
		free(c);
		return NULL;
	}
	c->fd = -1;
	return c;
}

static enum verdict
copy_on_data_begin(void *ctx, const struct question *q, struct reply *r)
{
	struct copy *c = copy_of(q);
	char name[64];

	(void)r;
	if (c == NULL)
		return V_FAIL;
	memcpy(c->id, q->txn->id, sizeof(c->id));
	snprintf(name, sizeof(name), "%s.tmp", c->id);
	c->failed = false;
	c->fd = openat(*(const int *)ctx, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return c->fd == -1 ? V_FAIL : V_NEXT;
}

static enum verdict
copy_on_data(void *ctx, const struct question *q, struct reply *r)
{
	struct copy *c = q->mine;

	(void)ctx, (void)r;
	if (c == NULL || c->fd == -1 || write(c->fd, q->chunk.p, q->chunk.n) != (ssize_t)q->chunk.n)
		return V_FAIL;
	return V_NEXT;
}

static void
json_address(FILE *f, const struct addr *a)
{
	char text[ADDR_TEXT_MAX];
	ssize_t n = addr_format(a, text, sizeof(text));

	fputc('"', f);
	for (ssize_t i = 0; i < n; i++)
		if (text[i] == '"' || text[i] == '\\')
			fprintf(f, "\\%c", text[i]);
		else
			fputc(text[i], f);
	fputc('"', f);
}

static void
envelope(FILE *f, const struct question *q)
{
	const struct session_view *s = q->session;
	const char *comma = "";

	fprintf(f,
	    "{\"id\":\"%s\",\"session\":\"%.*s\",\"remote\":\"%s\",\"with\":\"%s\",\"size\":%llu,\"from\":", q->txn->id,
	    (int)s->id.n, (const char *)s->id.p, s->remote, s->with, (unsigned long long)q->txn->size);
	json_address(f, &q->txn->from);
	fputs(",\"to\":[", f);
	for (const struct rcpt *r = q->txn->rcpts; r != NULL; r = r->next, comma = ",") {
		fputs(comma, f);
		json_address(f, &r->addr);
	}
	fputs("]}\n", f);
}

static enum verdict
copy_on_end(void *ctx, const struct question *q, struct reply *r)
{
	char name[64];
	int fd;
	FILE *f;

	(void)r;
	snprintf(name, sizeof(name), "%s.json", q->txn->id);
	fd = openat(*(const int *)ctx, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	f = fd != -1 ? fdopen(fd, "w") : NULL;
	if (f == NULL) {
		if (fd != -1)
			close(fd);
		return V_FAIL;
	}
	envelope(f, q);
	return fclose(f) == 0 ? V_NEXT : V_FAIL;
}

/* Only what was accepted stays. */
static void
copy_on_reset(void *ctx, const struct question *q)
{
	struct copy *c = q->mine;
	char tmp[64], name[64];
	int dir = *(const int *)ctx;

	if (c == NULL || c->fd == -1)
		return;
	close(c->fd);
	c->fd = -1;
	snprintf(tmp, sizeof(tmp), "%s.tmp", c->id);
	snprintf(name, sizeof(name), "%s.eml", c->id);
	if (q->delivered) {
		(void)renameat2(dir, tmp, dir, name, RENAME_NOREPLACE);
		return;
	}
	unlinkat(dir, tmp, 0);
	snprintf(name, sizeof(name), "%s.json", c->id);
	unlinkat(dir, name, 0);
}

static void
copy_on_close(void *ctx, const struct question *q)
{
	(void)ctx;
	free(q->mine);
}

const struct handler_ops letterplate_handler = {
	.abi = HANDLER_ABI,
	.name = "copy-to-folder",
	.open = copy_open,
	.on_data_begin = copy_on_data_begin,
	.on_data = copy_on_data,
	.on_end = copy_on_end,
	.on_reset = copy_on_reset,
	.on_close = copy_on_close,
};
