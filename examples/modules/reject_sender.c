/*
 * reject_sender: refuses senders that stand in a file, an address or a domain a
 * line.  The argument is the path of the file; it is read once, before the
 * sandbox closes: send HUP after a change.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/handlers/handler.h"

struct list {
	char **line;
	size_t n;
};

static void
list_free(struct list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->line[i]);
	free(l->line);
	free(l);
}

static int
list_add(struct list *l, const char *line)
{
	char **more = reallocarray(l->line, l->n + 1, sizeof(*more));

	if (more == NULL)
		return -1;
	l->line = more;
	if ((l->line[l->n] = strdup(line)) == NULL)
		return -1;
	l->n++;
	return 0;
}

/* All lines, or -1 with errno: who stands in the rest of half a list would pass. */
static int
list_read(struct list *l, FILE *f)
{
	char *line = NULL;
	size_t cap = 0;
	int rc = 0;

	errno = 0;
	while (rc == 0 && getline(&line, &cap, f) > 0) {
		line[strcspn(line, " \t\r\n#")] = '\0';
		if (line[0] != '\0')
			rc = list_add(l, line);
	}
	free(line);
	return rc == 0 && feof(f) && !ferror(f) ? 0 : -1;
}

static int
list_open(const struct handler_env *env, void **ctx)
{
	struct list *l = calloc(1, sizeof(*l));
	FILE *f = l != NULL ? fopen(env->argument, "re") : NULL;
	int rc = f != NULL ? list_read(l, f) : -1, err = errno;

	if (f != NULL)
		fclose(f);
	if (rc == 0) {
		*ctx = l;
		return 0;
	}
	if (l != NULL)
		list_free(l);
	errno = err;
	return -1;
}

static enum verdict
list_on_mail_from(void *ctx, const struct question *q, struct reply *r)
{
	const struct list *l = ctx;
	char text[ADDR_TEXT_MAX + 1];
	ssize_t n = addr_format(&q->txn->from, text, sizeof(text) - 1);
	const char *domain;

	if (n <= 0)
		return V_NEXT; /* the null sender: reports must get through */
	text[n] = '\0';
	domain = strrchr(text, '@') + 1;
	for (size_t i = 0; i < l->n; i++)
		if (strcasecmp(l->line[i], text) == 0 || strcasecmp(l->line[i], domain) == 0) {
			reply_set(r, 550, ENH(5, 7, 1), "sender-listed", "we take no mail from this sender");
			handler_tag(q, "sender-listed");
			return V_REPLY;
		}
	return V_NEXT;
}

const struct handler_ops letterplate_handler = {
	.abi = HANDLER_ABI,
	.name = "reject-sender",
	.open = list_open,
	.on_mail_from = list_on_mail_from,
};
