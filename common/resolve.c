/*
 * resolve: from an address to mailboxes.
 * What an alias leads to is searched breadth first, so that every address is
 * met by its shortest way.  The answer is the set of mailboxes that can be
 * reached: a branch that leads back, or to nobody, is left out while another
 * delivers.  But a branch that cannot be taken now (deferred, unreadable)
 * answers for the whole: the sender tries again, and nobody gets it twice.
 * Why so, and what a sender is told, stands in letterplate-mailboxes(8).
 */
#include "common/resolve.h"

#include <errno.h>
#include <stdio.h>

#include "common/entry.h"
#include "common/norm.h"
#include "common/xtext.h"

enum {
	SCRATCH_FIRST = 16 << 10, /* octets; taken only once an alias is met */
	SCRATCH_MAX = 8 << 20,    /* octets: RESOLVE_STEPS_MAX addresses of usual length */
	BUCKETS = 1024,
	PATH_CAP = 2 * 256 + 1, /* two file names and a slash */
	STEP_MAX = 2 * NORM_KEY_MAX + 128
};

/* An address on the way. */
struct item {
	struct item *next;         /* in the queue */
	const struct item *parent; /* what led here; NULL for the address itself */
	struct span key;
	unsigned depth;
};

struct node {
	struct node *next;
	struct span key;
};

struct set {
	struct node *bucket[BUCKETS];
};

struct search {
	struct mdb *m;
	const struct resolve_conf *cf;
	struct arena *ar;     /* the caller's: boxes */
	struct arena scratch; /* ours: items, sets */
	struct item *head, **tail;
	struct set *met, *taken; /* addresses queued, mailboxes found; NULL until an alias is met */
	struct resolve_box **boxes, **box_tail;
	struct reply *r; /* what stopped it; until then the refusal of the first branch that led to nobody */
	bool refused;    /* *r is such a refusal */
	resolve_step *step;
	void *arg;
	unsigned steps, nboxes;
	bool loop, too_deep;
	bool unlisted; /* a branch led to what an older list lacks: the newest, which cannot be used, may have it */
};

/* Whether to go on. */
enum go { GO_ON, GO_STOP }; /* GO_STOP: *x->r is the answer */

/* A worker wants no steps told: then not even the arguments are made ready. */
#define say(x, ...) ((x)->step != NULL ? tell(x, __VA_ARGS__) : (void)0)

static void __attribute__((format(printf, 3, 4))) tell(const struct search *x, unsigned depth, const char *fmt, ...)
{
	char text[STEP_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	x->step(x->arg, depth, text);
}

#define S(s) (int)(s).n, (const char *)(s).p

/* --- replies; a sender reads them in a bounce --- */

static enum go
unavailable(struct search *x, unsigned depth, const char *why)
{
	say(x, depth, "cannot be known now: %s", why);
	reply_set(x->r, 451, ENH(4, 3, 0), "directory-unavailable",
	    "the mailbox directory cannot be read at the moment; try again later");
	return GO_STOP;
}

static enum go
too_large(struct search *x, unsigned depth)
{
	say(x, depth, "too large: an address may lead to %d mailboxes and cost %d look-ups", RESOLVE_BOXES_MAX,
	    RESOLVE_STEPS_MAX);
	reply_set(x->r, 451, ENH(4, 3, 5), "alias-too-large",
	    "this address leads to more mailboxes than can be served; its postmaster must mend that");
	return GO_STOP;
}

/* Whether the refusal at ${it}, which the caller then writes to *x->r, is what a sender would be told. */
static bool
refusal_counts(struct search *x, const struct item *it)
{
	bool counts = !x->refused || it->parent == NULL;

	x->refused = true;
	return counts;
}

/* What is not in the newest list is nowhere; of an older one that says nothing. */
static bool
may_be_listed(struct search *x, const struct item *it)
{
	if (mdb_state(x->m) != MDB_STATE_OLDER)
		return false;
	say(x, it->depth, "not in this list, and a newer one cannot be read: 451 4.3.0");
	x->unlisted = true;
	return true;
}

static void
refuse_mailbox(struct search *x, const struct item *it)
{
	if (may_be_listed(x, it))
		return;
	say(x, it->depth, "no such mailbox: 550 5.1.1");
	if (refusal_counts(x, it))
		reply_set(x->r, 550, ENH(5, 1, 1), "no-such-mailbox",
		    it->parent == NULL ? "there is no mailbox of this name here; check the address for mistakes"
				       : "this address leads to no mailbox that exists");
}

static void
refuse_domain(struct search *x, const struct item *it, struct span domain)
{
	if (may_be_listed(x, it))
		return;
	say(x, it->depth, "%.*s is not a domain of ours: 550 5.7.1", S(domain));
	if (refusal_counts(x, it))
		reply_set(x->r, 550, ENH(5, 7, 1), "not-our-domain", "mail for %.*s is not received here", S(domain));
}

/* --- sets --- */

/* Put ${key} in; 1 if it was there, 0 if not, -1 with errno ENOMEM.  The span must outlive the set. */
static int
set_add(struct search *x, struct set *s, struct span key)
{
	struct node *n, **b = &s->bucket[span_hash(key) % BUCKETS];

	for (n = *b; n != NULL; n = n->next)
		if (span_eq(n->key, key))
			return 1;
	n = arena_alloc(&x->scratch, sizeof(*n));
	if (n == NULL)
		return -1;
	n->key = key;
	n->next = *b;
	*b = n;
	return 0;
}

/* The first alias was met: from here on doubles are possible. */
static int
sets_begin(struct search *x, const struct item *it)
{
	if (x->met != NULL)
		return 0;
	x->met = arena_alloc(&x->scratch, sizeof(*x->met));
	x->taken = arena_alloc(&x->scratch, sizeof(*x->taken));
	return x->met == NULL || x->taken == NULL || set_add(x, x->met, it->key) < 0 ? -1 : 0;
}

/* --- what an entry does --- */

/* Queue ${target}, to which ${from} leads; the octets may go afterwards. */
static enum go
push(struct search *x, const struct item *from, struct span target)
{
	const struct item *p = from;
	struct item *it;
	int rc;

	do {
		if (span_eq(p->key, target)) {
			say(x, from->depth, "%.*s leads back to itself: a loop, this branch ends", S(target));
			x->loop = true;
			return GO_ON;
		}
		p = p->parent;
	} while (p != NULL);
	if (from->depth == RESOLVE_DEPTH_MAX) {
		say(x, from->depth, "%.*s is more than %d aliases away: taken for a loop", S(target),
		    RESOLVE_DEPTH_MAX);
		x->too_deep = true;
		return GO_ON;
	}
	it = arena_alloc(&x->scratch, sizeof(*it));
	if (it == NULL || arena_dup(&x->scratch, target, &it->key) != 0 || sets_begin(x, from) != 0)
		return unavailable(x, from->depth, "no memory");
	rc = set_add(x, x->met, it->key);
	if (rc < 0)
		return unavailable(x, from->depth, "no memory");
	if (rc > 0)
		return GO_ON;
	it->parent = from;
	it->depth = from->depth + 1;
	*x->tail = it;
	x->tail = &it->next;
	return GO_ON;
}

static enum go
take_targets(struct search *x, const struct item *it, struct span targets)
{
	enum go go = GO_ON;

	while (go == GO_ON && targets.n > 0) {
		size_t n = strnlen((const char *)targets.p, targets.n);

		go = push(x, it, span_head(targets, n));
		targets = span_skip(targets, n < targets.n ? n + 1 : n);
	}
	return go;
}

/* DOMAIN/LOCAL into ${out} of PATH_CAP octets; 0 when a part is too long for a file name. */
static size_t
box_dir(struct span key, char *out)
{
	const uint8_t *at = memrchr(key.p, '@', key.n);
	struct span local = span_head(key, (size_t)(at - key.p));
	ssize_t n = path_encode(span_skip(key, local.n + 1), out, PATH_CAP), l;

	if (n < 0)
		return 0;
	out[n++] = '/';
	l = path_encode(local, out + n, PATH_CAP - (size_t)n);
	return l < 0 ? 0 : (size_t)(n + l);
}

static enum go
take_mailbox(struct search *x, const struct item *it, struct span key, struct span ext, struct quota_limit quota)
{
	char dir[PATH_CAP];
	size_t n = box_dir(key, dir);
	struct resolve_box *b;
	int rc;

	if (n == 0)
		return unavailable(x, it->depth, "the mailbox's folder name is too long");
	b = arena_alloc(x->ar, sizeof(*b));
	if (b == NULL || arena_dup(x->ar, key, &b->key) != 0)
		return unavailable(x, it->depth, "no memory");
	rc = x->taken == NULL ? 0 : set_add(x, x->taken, b->key);
	if (rc > 0) {
		say(x, it->depth, "mailbox %.*s, which has it already", S(key));
		return GO_ON;
	}
	if (rc < 0 || arena_dup(x->ar, span_of(dir, n), &b->dir) != 0 || arena_dup(x->ar, ext, &b->extension) != 0)
		return unavailable(x, it->depth, "no memory");
	if (x->nboxes++ == RESOLVE_BOXES_MAX)
		return too_large(x, it->depth);
	say(x, it->depth, "mailbox %.*s", S(key));
	b->quota = quota;
	*x->box_tail = b;
	x->box_tail = &b->next;
	return GO_ON;
}

static enum go
take_reply(struct search *x, const struct item *it, const struct entry *e)
{
	struct reply listed;

	if (reply_parse(e->text, &listed) != 0)
		return unavailable(x, it->depth, "the entry is damaged");
	say(x, it->depth, "the list says %s: %.*s", e->kind == ENTRY_REJECT ? "reject" : "defer", S(e->text));
	if (e->kind == ENTRY_REJECT && !refusal_counts(x, it))
		return GO_ON;
	reply_set(x->r, listed.code, listed.enh, e->kind == ENTRY_REJECT ? "listed-reject" : "listed-defer", "%.*s",
	    (int)listed.n, listed.text);
	x->r->close = false;
	return e->kind == ENTRY_REJECT ? GO_ON : GO_STOP;
}

static enum go
take_domain_alias(struct search *x, const struct item *it, struct span local, struct span domain)
{
	char key[NORM_KEY_MAX];
	size_t n = local.n + 1 + domain.n;

	if (n > sizeof(key)) {
		refuse_mailbox(x, it);
		return GO_ON;
	}
	memcpy(key, local.p, local.n);
	key[local.n] = '@';
	memcpy(key + local.n + 1, domain.p, domain.n);
	return push(x, it, span_of(key, n));
}

/* --- looking up --- */

/* As mdb_find(), decoded; -1: *x->r is the answer. */
static int
look(struct search *x, const struct item *it, struct span key, struct entry *e)
{
	struct span rec;
	int rc;

	if (x->steps++ == RESOLVE_STEPS_MAX) {
		too_large(x, it->depth);
		return -1;
	}
	rc = mdb_find(x->m, key, &rec);
	if (rc == 1 && entry_decode(rec, e) == 0)
		return 1;
	if (rc == 0)
		return 0;
	unavailable(x, it->depth, rc == 1 ? "the entry is damaged" : "the snapshot cannot be read");
	return -1;
}

/* ${key} has an entry; ${ext} stood behind the delimiter. */
static enum go
take(struct search *x, const struct item *it, struct span key, struct span ext, const struct entry *e)
{
	enum go go;

	switch (e->kind) {
	case ENTRY_MAILBOX:
		return take_mailbox(x, it, key, ext, e->quota);
	case ENTRY_ALIAS:
		say(x, it->depth, "alias with %u target%s", e->ntargets, e->ntargets == 1 ? "" : "s");
		return take_targets(x, it, e->text);
	case ENTRY_COPY:
		/* Sets first: a copy may lead back here, and the mailbox has it already. */
		if (sets_begin(x, it) != 0)
			return unavailable(x, it->depth, "no memory");
		go = take_mailbox(x, it, key, ext, e->quota);
		if (go == GO_ON)
			say(x, it->depth, "and copies for %u target%s", e->ntargets, e->ntargets == 1 ? "" : "s");
		return go == GO_ON ? take_targets(x, it, e->text) : go;
	case ENTRY_REJECT:
	case ENTRY_DEFER:
		return take_reply(x, it, e);
	case ENTRY_DOMAIN:
	case ENTRY_DOMAIN_ALIAS:
		break;
	}
	return unavailable(x, it->depth, "the entry is damaged");
}

/* Nobody of this name is listed: the domain decides. */
static enum go
visit_domain(struct search *x, const struct item *it, struct span local, struct span domain)
{
	struct span key = span_of(domain.p - 1, domain.n + 1), pm = span_str(x->cf->postmaster);
	struct entry e = { .kind = ENTRY_DOMAIN };
	int rc = look(x, it, key, &e);

	if (rc < 0)
		return GO_STOP;
	if (rc == 0) {
		refuse_domain(x, it, domain);
		return GO_ON;
	}
	if (e.kind == ENTRY_DOMAIN_ALIAS) {
		say(x, it->depth, "domain alias of %.*s", S(e.text));
		return take_domain_alias(x, it, local, e.text);
	}
	if (e.kind == ENTRY_ALIAS) {
		say(x, it->depth, "catch-all of %.*s", S(domain));
		return take(x, it, key, SPAN(""), &e);
	}
	/* RFC 5321 4.5.1: postmaster is always there. */
	if (span_eq(local, SPAN("postmaster")) && pm.n > 0 && !span_eq(pm, it->key)) {
		say(x, it->depth, "the domain lists no postmaster: the configured one is asked");
		return push(x, it, pm);
	}
	if (e.kind == ENTRY_DOMAIN) {
		refuse_mailbox(x, it);
		return GO_ON;
	}
	return take(x, it, key, SPAN(""), &e);
}

/* The address without what stands behind the first delimiter, if there is one that is not its first octet. */
static enum go
visit_base(struct search *x, const struct item *it, struct span local, struct span domain)
{
	struct entry e;
	char key[NORM_KEY_MAX];
	size_t n = 1;
	int rc;

	while (n < local.n && (local.p[n] == '\0' || strchr(x->cf->delimiters, local.p[n]) == NULL))
		n++;
	if (n >= local.n)
		return visit_domain(x, it, local, domain);
	memcpy(key, local.p, n);
	memcpy(key + n, domain.p - 1, domain.n + 1);
	struct span base = span_of(key, n + domain.n + 1);

	rc = look(x, it, base, &e);
	if (rc < 0)
		return GO_STOP;
	if (rc == 0)
		return visit_domain(x, it, local, domain);
	say(x, it->depth, "without its extension: %.*s", S(base));
	return take(x, it, base, span_skip(local, n + 1), &e);
}

static enum go
visit(struct search *x, const struct item *it)
{
	const uint8_t *at = memrchr(it->key.p, '@', it->key.n);
	struct entry e;
	int rc;

	if (at == NULL || at == it->key.p || at + 1 == it->key.p + it->key.n)
		return unavailable(x, it->depth, "the entry is damaged");
	say(x, it->depth, "%.*s", S(it->key));
	rc = look(x, it, it->key, &e);
	if (rc < 0)
		return GO_STOP;
	if (rc == 1)
		return take(x, it, it->key, SPAN(""), &e);
	struct span local = span_head(it->key, (size_t)(at - it->key.p));

	return visit_base(x, it, local, span_skip(it->key, local.n + 1));
}

/* --- the whole --- */

/* ${first} is the address asked for: the caller's, as ${x} is, which points to it from here on. */
static enum resolve_res
search(struct search *x, struct item *first)
{
	x->head = first;
	x->tail = &first->next;
	for (const struct item *it = x->head; it != NULL; it = it->next)
		if (visit(x, it) == GO_STOP)
			return RESOLVE_REPLY;
	/* Beyond the last hop there may be mailboxes: to deliver to the others would lose theirs in silence. */
	if (!x->too_deep && *x->boxes != NULL) {
		x->r->code = 0; /* a branch may have been refused */
		return RESOLVE_OK;
	}
	if (x->unlisted && !x->too_deep)
		unavailable(x, 0, "the newest list cannot be read");
	else if (x->too_deep || x->loop || !x->refused)
		reply_set(x->r, 550, ENH(5, 4, 6), "alias-loop",
		    "mail for this address would go round in circles; its postmaster must mend that");
	return RESOLVE_REPLY;
}

/* Canonical form of the address into ${key}; 0 when *x->r answers already. */
static size_t
first_key(struct search *x, const struct addr *a, char *key)
{
	struct addr pm = { .local = SPAN("postmaster"), .domain = span_str(x->cf->hostname) };
	size_t n = strlen(x->cf->postmaster), at;
	ssize_t len;

	if (a->domain.n == 0) {
		say(x, 0, "<Postmaster> is %s", n > 0 ? x->cf->postmaster : "postmaster at our host name");
		if (n > 0 && n <= NORM_KEY_MAX) {
			memcpy(key, x->cf->postmaster, n);
			return n;
		}
		a = &pm;
	}
	len = norm_addr(a, key, NORM_KEY_MAX, &at);
	if (len > 0)
		return (size_t)len;
	if (errno == ENOMEM)
		unavailable(x, 0, "no memory");
	else
		reply_set(x->r, 550, ENH(5, 1, 1), "no-such-mailbox",
		    "no mailbox can have this address; check it for mistakes");
	return 0;
}

enum resolve_res
resolve(struct mdb *m, const struct resolve_conf *cf, const struct addr *a, struct arena *ar,
    struct resolve_box **boxes, struct reply *r, resolve_step *step, void *arg)
{
	struct search x = {
		.m = m, .cf = cf, .ar = ar, .boxes = boxes, .box_tail = boxes, .r = r, .step = step, .arg = arg
	};
	enum resolve_res res = RESOLVE_REPLY;
	char key[NORM_KEY_MAX];
	size_t n;

	*boxes = NULL;
	if (a->is_null) {
		reply_set(r, 550, ENH(5, 1, 3), "no-such-mailbox", "the null path is no recipient");
		return RESOLVE_REPLY;
	}
	if (a->literal) {
		say(&x, 0, "an address literal is never ours: 550 5.7.1");
		reply_set(r, 550, ENH(5, 7, 1), "not-our-domain", "mail for address literals is not received here");
		return RESOLVE_REPLY;
	}
	if (mdb_state(m) == MDB_STATE_NONE) {
		unavailable(&x, 0, "there is no snapshot");
		return RESOLVE_REPLY;
	}
	arena_init(&x.scratch, SCRATCH_FIRST, SCRATCH_MAX);
	n = first_key(&x, a, key);
	struct item first = { .key = span_of(key, n) };

	if (n > 0)
		res = search(&x, &first);
	arena_reset(&x.scratch);
	if (res == RESOLVE_REPLY)
		*boxes = NULL;
	return res;
}
