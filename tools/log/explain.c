/*
 * explain: two passes over the log.
 * The first finds the lines that name the id, and so its session; the second
 * takes all lines of that session, and those of its worker that tell of a gap.
 */
#include "tools/log/explain.h"

#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "tools/log/story.h"

enum {
	ID_MAX = 64,                /* octets of an id with its NUL */
	ID_CHARS = 16,              /* of an id that we made: see common/id.c */
	LINES_MAX = 100000,         /* of one session */
	ID_SECOND_MIN = 1500000000, /* before that no server of ours made one */
	AROUND_MAX = 10000,         /* log-dropped and the like */
	AROUND_US = 60000000        /* a worker's death is a session's end when it comes so soon after its last line */
};

struct list {
	struct line *v;
	size_t n, cap, max;
};

struct search {
	char id[ID_MAX];
	char session[ID_MAX]; /* "" until it is found */
	bool is_message;
	struct list found, around;
	uint64_t read, ours;                              /* lines */
	char first[LINE_STAMP + 1], last[LINE_STAMP + 1]; /* the times of ours */
	bool failed;
};

/* Take ${l} over.  False: memory is out, or there are too many. */
static bool
keep(struct list *list, struct line *l)
{
	struct line *grown;

	if (list->n == list->max)
		return false;
	if (list->n == list->cap) {
		list->cap = list->cap > 0 ? 2 * list->cap : 64;
		if ((grown = reallocarray(list->v, list->cap, sizeof(*grown))) == NULL)
			return false;
		list->v = grown;
	}
	l->order = list->n;
	list->v[list->n++] = *l;
	*l = (struct line){ 0 };
	return true;
}

static void
list_free(struct list *list)
{
	for (size_t i = 0; i < list->n; i++)
		line_free(&list->v[i]);
	free(list->v);
	*list = (struct list){ .max = list->max };
}

/* --- the id --- */

static bool
is_id_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* The id in what was given: in brackets, behind "queued as", or all of it.  0 or -1. */
static int
find_id(const char *words, char out[ID_MAX])
{
	static const char queued[] = "queued as ";
	const char *at = strstr(words, queued), *open = strrchr(words, '[');
	size_t n = 0;

	at = at != NULL ? at + strlen(queued) : open != NULL ? open + 1 : words + strspn(words, " \t");
	while (is_id_char(at[n]))
		n++;
	if (n < 4 || n >= ID_MAX || (at == words && at[n] != '\0'))
		return -1;
	memcpy(out, at, n);
	out[n] = '\0';
	return 0;
}

/* When the id was made: its first 32 bits are unix seconds (common/id.c).  0: it is none of ours. */
static uint64_t
id_second(const char *id)
{
	uint64_t v = 0;

	if (strlen(id) != ID_CHARS)
		return 0;
	for (int i = 0; i < 7; i++) {
		if (id[i] > 'v')
			return 0;
		v = v << 5 | (uint64_t)(id[i] <= '9' ? id[i] - '0' : id[i] - 'a' + 10);
	}
	return v >> 3;
}

/* --- the passes --- */

static void
note_time(struct search *s, const char *stamp)
{
	if (s->ours++ == 0 || memcmp(stamp, s->first, LINE_STAMP) < 0)
		memcpy(s->first, stamp, LINE_STAMP);
	if (memcmp(stamp, s->last, LINE_STAMP) > 0)
		memcpy(s->last, stamp, LINE_STAMP);
}

/* First pass: whose id is it? */
static void
look(void *arg, const char *p, size_t n)
{
	struct search *s = arg;
	const char *stamp = line_stamp(p, n), *session;
	struct line l;

	s->read++;
	if (stamp != NULL)
		note_time(s, stamp);
	if (s->session[0] != '\0' || memmem(p, n, s->id, strlen(s->id)) == NULL || line_parse(p, n, &l) != 0)
		return;
	session = line_get(&l, "session");
	s->is_message = line_is(&l, "id", s->id);
	if (session != NULL && strlen(session) < ID_MAX && (s->is_message || strcmp(session, s->id) == 0))
		memcpy(s->session, session, strlen(session) + 1);
	line_free(&l);
}

static bool
tells_of_gap(const struct line *l)
{
	return line_is(l, "event", "log-dropped") || line_is(l, "event", "worker-died");
}

/* Second pass: all that belongs to it. */
static void
gather(void *arg, const char *p, size_t n)
{
	static const char dropped[] = "log-dropped", died[] = "worker-died";
	struct search *s = arg;
	struct line l;
	bool has = memmem(p, n, s->session, strlen(s->session)) != NULL;
	bool gap = memmem(p, n, dropped, sizeof(dropped) - 1) != NULL || memmem(p, n, died, sizeof(died) - 1) != NULL;

	if ((!has && !gap) || s->failed || line_parse(p, n, &l) != 0)
		return;
	if (line_is(&l, "session", s->session))
		s->failed = !keep(&s->found, &l);
	else if (tells_of_gap(&l) && s->around.n < s->around.max)
		s->failed = !keep(&s->around, &l);
	line_free(&l);
}

/* By time; lines of one time keep their order, which qsort() alone does not promise. */
static int
by_time(const void *va, const void *vb)
{
	const struct line *a = va, *b = vb;
	uint64_t ta = story_time(a), tb = story_time(b);

	if (ta != tb)
		return ta < tb ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

static bool
same(const struct line *a, const struct line *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->field[i].key, b->field[i].key) != 0 || strcmp(a->field[i].value, b->field[i].value) != 0)
			return false;
	return true;
}

/* A line that was read twice, from a file and its copy, is one. */
static void
fold(struct list *list)
{
	size_t n = 0;

	for (size_t i = 0; i < list->n; i++) {
		if (n > 0 && same(&list->v[n - 1], &list->v[i]))
			line_free(&list->v[i]);
		else
			list->v[n++] = list->v[i];
	}
	list->n = n;
}

/* Of the gaps only those of the session's worker and time stay. */
static void
choose_around(struct search *s)
{
	const struct line *first = &s->found.v[0], *last = &s->found.v[s->found.n - 1];
	const char *slot = line_get(first, "slot");
	bool ended = line_is(last, "event", "session");
	size_t n = 0;

	for (size_t i = 0; i < s->around.n; i++) {
		struct line *l = &s->around.v[i];
		bool died = line_is(l, "event", "worker-died");
		uint64_t at = story_time(l), to = story_time(last);

		if (slot != NULL && line_is(l, "slot", slot) && at >= story_time(first) &&
		    (died ? !ended && at <= to + AROUND_US : at <= to || !ended))
			s->around.v[n++] = *l;
		else
			line_free(l);
	}
	s->around.n = n;
}

/* --- the answer --- */

static void
unknown(const struct search *s)
{
	uint64_t second = id_second(s->id), now = (uint64_t)time(NULL);
	char made[STORY_TIME_MAX];
	bool inside;

	if (s->ours == 0) {
		warnx("%llu lines read, and none is of Letterplate's log", (unsigned long long)s->read);
		return;
	}
	warnx("%s stands in none of the %llu lines read, which are from %.19s to %.19s UTC", s->id,
	    (unsigned long long)s->read, s->first, s->last);
	if (second < ID_SECOND_MIN || second > now + 86400)
		return;
	story_time_text(second * 1000000, made);
	made[STORY_SECOND] = '\0';
	made[10] = 'T';
	inside = strncmp(made, s->first, STORY_SECOND) >= 0 && strncmp(made, s->last, STORY_SECOND) <= 0;
	warnx("an id of this server like that was made at %s UTC: %s", made,
	    inside ? "perhaps lines were cut away or dropped, or the log's level is above info"
		   : "not in this log's time; look in another file");
}

static int
tell(struct search *s)
{
	struct story story = { .session = s->session, .message = s->is_message ? s->id : NULL };

	qsort(s->found.v, s->found.n, sizeof(*s->found.v), by_time);
	if (s->around.n > 0) /* an empty list is NULL, which qsort() may not have */
		qsort(s->around.v, s->around.n, sizeof(*s->around.v), by_time);
	fold(&s->found);
	fold(&s->around);
	choose_around(s);
	story.line = s->found.v;
	story.nline = s->found.n;
	story.around = s->around.v;
	story.naround = s->around.n;
	story_tell(stdout, &story);
	if (fflush(stdout) != 0 || ferror(stdout) != 0) {
		warn("standard output");
		return EX_IOERR;
	}
	return EX_OK;
}

int
explain_id(struct input *in, const char *words)
{
	struct search s = { .found.max = LINES_MAX, .around.max = AROUND_MAX };
	int r;

	if (find_id(words, s.id) != 0) {
		warnx("no id in \"%.200s\": give the word in brackets, or the one after \"queued as\"", words);
		return EX_USAGE;
	}
	r = input_each(in, look, &s);
	/* It may stand in the part that is missing. */
	if (r == EX_OK && s.session[0] == '\0') {
		unknown(&s);
		return input_cut(in) ? EX_DATAERR : EXPLAIN_UNKNOWN;
	}
	if (r == EX_OK)
		r = input_each(in, gather, &s);
	if (r == EX_OK && s.failed) {
		warnx("more than %d lines of this session, or out of memory", LINES_MAX);
		r = EX_OSERR;
	}
	if (r == EX_OK && s.found.n > 0)
		r = tell(&s);
	list_free(&s.found);
	list_free(&s.around);
	return r;
}
