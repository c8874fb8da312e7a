/*
 * show: the jobs that only look: list, show, info.
 * They take no lock; what they opened is never written again.
 */
#include <sys/stat.h>

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "common/entry.h"
#include "tools/mailboxes/tool.h"

enum { ARENA_FIRST = 4096, ARENA_MAX = 8 << 20 };

int
tool_print(const char *prefix, struct span key, struct span rec)
{
	static char line[TOOL_LINE_MAX];
	struct entry e;
	ssize_t n;

	if (entry_decode(rec, &e) != 0 || (n = entry_format(key, &e, line, sizeof(line))) < 0) {
		errno = EBADMSG;
		return -1;
	}
	fputs(prefix, stdout);
	fwrite(line, 1, (size_t)n, stdout);
	putchar('\n');
	return 0;
}

/* The current snapshot, which must be there. */
static int
need_current(const struct tool *t, struct mdb **m)
{
	int rc = tool_current(t, m);

	if (rc == 0 && *m == NULL) {
		warnx("there is no snapshot in %s yet; make one with load or add", t->dir);
		return EX_NOINPUT;
	}
	return rc;
}

int
tool_list(struct tool *t)
{
	struct span key, rec;
	struct mdb *m;
	int rc = need_current(t, &m), got;

	if (rc != 0)
		return rc;
	for (bool first = true; (got = mdb_walk(m, first, &key, &rec)) > 0; first = false)
		if (!(rec.n > 0 && rec.p[0] == ENTRY_DOMAIN) && tool_print("", key, rec) != 0) {
			got = -1;
			break;
		}
	if (got < 0)
		rc = tool_fail(t, "read", MDB_FILE);
	mdb_close(m);
	return rc;
}

/* --- show --- */

static void
print_step(void *arg, unsigned depth, const char *text)
{
	(void)arg;
	printf("%*s%s\n", (int)depth * 4, "", text);
}

static void
print_answer(enum resolve_res res, const struct resolve_box *boxes, const struct reply *r)
{
	char wire[REPLY_WIRE_MAX];

	if (res == RESOLVE_REPLY) {
		printf("%s: %.*s\n", r->code < 500 ? "try again later" : "refused",
		    (int)(reply_format(r, SPAN(""), wire) - 2), wire);
		return;
	}
	for (const struct resolve_box *b = boxes; b != NULL; b = b->next) {
		printf("delivered to %.*s in %.*s", (int)b->key.n, (const char *)b->key.p, (int)b->dir.n,
		    (const char *)b->dir.p);
		if (b->extension.n > 0)
			printf(", extension %.*s", (int)b->extension.n, (const char *)b->extension.p);
		if (b->quota.octets > 0)
			printf(", quota %llu octets", (unsigned long long)b->quota.octets);
		if (b->quota.messages > 0)
			printf(", quota %llu messages", (unsigned long long)b->quota.messages);
		printf("\n");
	}
}

int
tool_show(struct tool *t, const char *address)
{
	struct resolve_box *boxes;
	struct arena ar;
	struct reply r;
	struct addr a = { .local = SPAN("postmaster") };
	enum resolve_res res;
	struct mdb *m;
	int rc;

	arena_init(&ar, ARENA_FIRST, ARENA_MAX);
	if (!span_caseeq(span_str(address), SPAN("postmaster")) &&
	    addr_parse_bare(span_str(address), ADDR_UTF8, &ar, &a) != 0) {
		warnx("'%s' is not a valid address", address);
		arena_reset(&ar);
		return EX_USAGE;
	}
	rc = tool_current(t, &m);
	if (m == NULL && rc == 0)
		warnx("there is no snapshot in %s yet; make one with load or add", t->dir);
	res = resolve(m, &t->rc, &a, &ar, &boxes, &r, print_step, NULL);
	print_answer(res, boxes, &r);
	arena_reset(&ar);
	mdb_close(m);
	return m == NULL && rc == 0 ? EX_NOINPUT : rc;
}

/* --- info --- */

static int
print_info(const struct tool *t, const char *title, const char *name)
{
	struct mdb_info i;
	struct mdb *m;
	char made[32];
	struct tm tm;

	if (mdb_open(t->dir, name, &m) != 0)
		return -1;
	mdb_info(m, &i);
	mdb_close(m);
	time_t when = (time_t)i.made;

	if (gmtime_r(&when, &tm) == NULL || strftime(made, sizeof(made), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		made[0] = '\0';
	printf("%s: %s/%s\n  entries: %llu\n  domains: %llu\n  made:    %s\n  octets:  %llu\n", title, t->dir, name,
	    (unsigned long long)i.entries, (unsigned long long)i.domains, made, (unsigned long long)i.octets);
	return 0;
}

int
tool_info(struct tool *t)
{
	struct mdb *m;
	int rc = need_current(t, &m);

	mdb_close(m);
	if (rc != 0)
		return rc;
	if (print_info(t, "current", MDB_FILE) != 0)
		return tool_fail(t, "open", MDB_FILE);
	if (print_info(t, "previous", MDB_PREVIOUS) == 0)
		return 0;
	if (errno == ENOENT) {
		printf("previous: none\n");
		return 0;
	}
	return tool_fail(t, "open", MDB_PREVIOUS);
}
