/*
 * dialog: every tests/dialog/NAME.smtp against the engine in this process:
 * once in step, once all at once, cut in two at every offset, and octet by
 * octet.  The replies and the trace of events must be the same each time.
 * Says "ok dialog/NAME" itself, so that a line a dialogue is counted.
 *   dialog [-t] [FILE]...     -t prints the trace
 */
#include <dirent.h>
#include <unistd.h>

#include "tests/dialog/mailboxes.h"
#include "tests/dialog/script.h"
#include "tests/dialog/stage.h"

enum {
	SPLITS_ALL = 3000, /* octets of input up to which every offset is tried */
	SPLITS_SOME = 150  /* offsets that are tried in longer ones */
};

static struct mailboxes boxes;

/* What stage_answer asks: the next E line of that question, else the mailbox list. */
struct cue {
	const struct script *sc;
	size_t at[16]; /* by question: the step behind the last E line used */
};

static bool
cue_next(struct cue *c, enum smtp_ev q, struct reply *r)
{
	size_t name = strlen(stage_names[q]);

	for (size_t i = c->at[q]; i < c->sc->nsteps; i++) {
		const struct step *st = &c->sc->steps[i];
		const char *p = st->p + name + 1;

		if (st->kind != STEP_ANSWER || st->n <= name || memcmp(st->p, stage_names[q], name) != 0 ||
		    st->p[name] != ' ')
			continue;
		c->at[q] = i + 1;
		if (strcmp(p, "yes") == 0)
			return true;
		if (strncmp(p, "close ", 6) == 0)
			p += 6;
		if (p[0] == '2') {
			reply_set(r, 250, ENH(2, 0, 0), "cue", "%s", p + strlen("250 2.0.0 "));
		} else if (p[0] == '3') {
			reply_set(r, 334, 0, "cue", "%s", p + strlen("334 "));
		} else if (reply_parse(span_str(p), r) != 0) {
			fprintf(stderr, "line %d: no reply: %s\n", st->line, p);
			exit(2);
		}
		r->close = p != st->p + name + 1;
		return true;
	}
	return false;
}

static void
answer(struct stage *st, enum smtp_ev q, const struct smtp_event *ev, struct reply *r)
{
	if (!cue_next(st->arg, q, r) && q == SMTP_EV_RCPT)
		mailboxes_lookup(&boxes, &ev->rcpt->addr, r);
}

struct play {
	struct stage st;
	struct cue cue;
	size_t shown; /* octets of st.replies that were compared */
};

static void
play_begin(struct play *p, const struct script *sc)
{
	stage_init(&p->st, &sc->cf);
	p->cue = (struct cue){ .sc = sc };
	p->st.answer = answer;
	p->st.arg = &p->cue;
	p->shown = 0;
	if (sc->xclient)
		smtp_allow_xclient(p->st.s);
	if (sc->bare)
		smtp_allow_bare_newline(p->st.s);
	if (sc->tls && smtp_tls_started(p->st.s, (struct span){ NULL, 0 }) != 0)
		stage_breach(&p->st, "implicit TLS was refused");
	if (!sc->early)
		stage_feed(&p->st, "", 0);
}

/* The client's handshake: all that was sent before the TLS step and is not consumed came in clear. */
static void
play_tls(struct play *p)
{
	struct stage *st = &p->st;

	if (!st->handshake)
		return;
	st->handshake = false;
	if (smtp_tls_started(st->s, span_of(st->pending.p, st->pending.n)) != 0)
		text_printf(&st->trace, "TLS refused\n");
	st->pending.n = 0;
	stage_feed(st, "", 0);
}

/* The pieces to feed: a cut at ${cut} (0: none), or octet by octet (SIZE_MAX). */
static void
play_send(struct play *p, const struct step *step, size_t *sent, size_t cut)
{
	const char *s = step->p;
	size_t n = step->n;

	if (cut == SIZE_MAX) {
		for (; n > 0; n--)
			stage_feed(&p->st, s++, 1);
	} else if (cut > *sent && cut < *sent + n) {
		stage_feed(&p->st, s, cut - *sent);
		stage_feed(&p->st, s + (cut - *sent), n - (cut - *sent));
	} else {
		stage_feed(&p->st, s, n);
	}
	*sent += step->n;
}

/* All that is sent between two handshakes as one step, so that cuts alone make pieces. */
static struct step
segment(const struct script *sc, size_t *i)
{
	struct text all = { .p = NULL };

	for (; *i < sc->nsteps && sc->steps[*i].kind != STEP_TLS; ++*i)
		if (sc->steps[*i].kind == STEP_SEND)
			text_add(&all, sc->steps[*i].p, sc->steps[*i].n);
	return (struct step){ .kind = STEP_SEND, .p = all.p, .n = all.n };
}

/* The whole dialogue with one way of cutting; returns the octets sent. */
static size_t
play_whole(struct play *p, const struct script *sc, size_t cut)
{
	size_t sent = 0;

	play_begin(p, sc);
	for (size_t i = 0; i < sc->nsteps; i++) {
		struct step seg = segment(sc, &i);

		play_send(p, &seg, &sent, cut);
		free(seg.p);
		if (p->st.handshake)
			play_tls(p);
	}
	return sent;
}

/* Compare the next reply line with an S line; false when it is not there or differs. */
static bool
expect(struct play *p, const struct step *step)
{
	struct text *r = &p->st.replies;
	char *line = r->p + p->shown, *cr;
	bool ok;

	if (p->shown >= r->n || (cr = strstr(line, "\r\n")) == NULL) {
		stage_breach(&p->st, "line %d: no reply where \"%s\" should be", step->line, step->p);
		return false;
	}
	*cr = '\0';
	ok = script_match(step->p, line);
	if (!ok)
		stage_breach(&p->st, "line %d: \"%s\" is not \"%s\"", step->line, line, step->p);
	*cr = '\r';
	p->shown += (size_t)(cr - line) + 2;
	return ok;
}

static bool
silent(struct play *p, int line)
{
	if (p->shown == p->st.replies.n)
		return true;
	stage_breach(&p->st, "line %d: a reply too many: %.60s", line, p->st.replies.p + p->shown);
	return false;
}

/* As a client that waits does it: S lines are compared where they stand. */
static void
play_in_step(struct play *p, const struct script *sc)
{
	const struct step *prev = NULL;
	size_t sent = 0;

	play_begin(p, sc);
	for (size_t i = 0; i < sc->nsteps && p->st.why[0] == '\0'; i++) {
		const struct step *step = &sc->steps[i];

		if (step->kind == STEP_SEND && (prev == NULL || prev->kind == STEP_SEND || silent(p, step->line)))
			play_send(p, step, &sent, 0);
		if (step->kind == STEP_EXPECT)
			expect(p, step);
		if (step->kind == STEP_TLS) {
			if (!p->st.handshake)
				stage_breach(&p->st, "line %d: nobody is ready for TLS", step->line);
			play_tls(p);
		}
		if (step->kind == STEP_CLOSE && silent(p, step->line)) {
			if (p->st.handshake)
				play_tls(p);
			if (!p->st.closed)
				stage_breach(&p->st, "line %d: it is not closed", step->line);
		}
		if (step->kind != STEP_ANSWER && step->kind != STEP_BODY && step->kind != STEP_TRACE)
			prev = step;
	}
	if (p->st.why[0] == '\0')
		silent(p, 0);
}

/* B and T lines against what was noted. */
static void
check_notes(struct play *p, const struct script *sc)
{
	struct stage *st = &p->st;
	char *body = st->bodies.p, *line = st->trace.p;

	for (size_t i = 0; i < sc->nsteps && st->why[0] == '\0'; i++) {
		const struct step *step = &sc->steps[i];

		if (step->kind == STEP_BODY) {
			size_t n = 0;

			if (body != NULL && *body != '\0')
				n = strtoul(body, &body, 10);
			if (body == NULL || *body != ':' || n != step->n || memcmp(body + 1, step->p, n) != 0)
				stage_breach(st, "line %d: content differs or is missing", step->line);
			else
				body += 1 + n;
		}
		while (step->kind == STEP_TRACE) {
			char *lf = line != NULL ? strchr(line, '\n') : NULL;
			bool ok;

			if (lf == NULL) {
				stage_breach(st, "line %d: not in the trace: %s", step->line, step->p);
				break;
			}
			*lf = '\0';
			ok = script_match(step->p, line);
			*lf = '\n';
			line = lf + 1;
			if (ok)
				break;
		}
	}
}

static bool
same(struct play *a, struct play *ref)
{
	if (a->st.why[0] != '\0')
		snprintf(ref->st.why, sizeof(ref->st.why), "%s", a->st.why);
	else if (!text_eq(&a->st.replies, &ref->st.replies))
		stage_breach(&ref->st, "other replies");
	else if (!text_eq(&a->st.trace, &ref->st.trace) || !text_eq(&a->st.bodies, &ref->st.bodies))
		stage_breach(&ref->st, "another trace");
	return ref->st.why[0] == '\0';
}

static bool
replay(const struct script *sc, struct play *ref, size_t cut)
{
	struct play p;
	bool ok;

	play_whole(&p, sc, cut);
	ok = same(&p, ref);
	stage_fini(&p.st);
	return ok;
}

/* Empty, or what is wrong with the dialogue. */
static void
judge(const struct script *sc, bool show, char *why, size_t cap)
{
	struct play ref, in_step;
	size_t n, step, cut;
	const char *how = "";

	play_in_step(&in_step, sc);
	check_notes(&in_step, sc);
	if (show)
		printf("%s%s", in_step.st.trace.p, in_step.st.replies.p);
	snprintf(why, cap, "%s", in_step.st.why);
	n = play_whole(&ref, sc, 0);
	if (why[0] == '\0' && !sc->early && !same(&in_step, &ref))
		how = "all at once: ";
	step = n <= SPLITS_ALL ? 1 : n / SPLITS_SOME;
	for (cut = 1; cut < n && why[0] == '\0' && ref.st.why[0] == '\0'; cut += step)
		if (!replay(sc, &ref, cut))
			how = "cut: ";
	if (why[0] == '\0' && ref.st.why[0] == '\0' && !replay(sc, &ref, SIZE_MAX))
		how = "octet by octet: ";
	if (why[0] == '\0' && ref.st.why[0] != '\0')
		snprintf(why, cap, "%s%zu: %s", how, cut, ref.st.why);
	stage_fini(&ref.st);
	stage_fini(&in_step.st);
}

static bool
run(const char *file, bool show)
{
	const char *name = strrchr(file, '/');
	struct script sc = script_read(file);
	char why[300];

	judge(&sc, show, why, sizeof(why));
	script_free(&sc);
	if (why[0] == '\0')
		printf("ok dialog/%s\n", name != NULL ? name + 1 : file);
	else
		printf("not ok dialog/%s: %s\n", name != NULL ? name + 1 : file, why);
	return why[0] == '\0';
}

static int
is_dialog(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return n > 5 && strcmp(d->d_name + n - 5, ".smtp") == 0;
}

int
main(int argc, char **argv)
{
	struct dirent **names;
	bool show = false, ok = true;
	char path[512];
	int c, n;

	while ((c = getopt(argc, argv, "t")) != -1)
		show = c == 't';
	setvbuf(stdout, NULL, _IOLBF, 0);
	mailboxes_read(&boxes, "tests/dialog/mailboxes.list");
	for (int i = optind; i < argc; i++)
		ok = run(argv[i], show) && ok;
	if (optind < argc)
		return ok ? EXIT_SUCCESS : EXIT_FAILURE;
	n = scandir("tests/dialog", &names, is_dialog, alphasort);
	if (n <= 0)
		printf("not ok dialog: no dialogues in tests/dialog\n");
	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "tests/dialog/%s", names[i]->d_name);
		ok = run(path, false) && ok;
		free(names[i]);
	}
	if (n > 0)
		free(names);
	return ok && n > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
