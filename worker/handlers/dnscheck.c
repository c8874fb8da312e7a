/*
 * dnscheck: look-ups begin at connect, all at once.  The greeting waits for the
 * host name alone, which milters and policy servers are told; the lists have
 * until RCPT, where it shows for whom the mail is: postmaster hears everybody
 * (RFC 5321 4.5.1).  What has not answered in time says nothing.
 */
#include "worker/handlers/dnscheck.h"

#include <bsd/string.h>
#include <stdlib.h>

#include "common/conf.h"
#include "common/ip.h"
#include "common/log.h"
#include "worker/net/dns.h"

enum { DNSCHECK_LISTS = 2 * CONF_DNSLISTS_MAX };

struct dnscheck {
	struct dns *dns;
	struct loop *loop;
	const struct conf_dns *cf;
	bool complained[DNSCHECK_LISTS]; /* that a list refuses to answer us was logged */
};

struct dnscheck_job;

struct dnscheck_list {
	struct dns_query query; /* first */
	struct dnscheck_job *job;
	unsigned index; /* of the block lists, then of the allow lists */
};

/* Look-ups under way for one client. */
struct dnscheck_job {
	struct dnscheck *d;
	struct dnscheck_mine *mine;
	struct loop_timer late;
	uint8_t addr[16];
	struct dns_query name, text;
	bool forward;          /* the name's address is asked for, the name is known */
	unsigned names, lists; /* look-ups that are not over */
	int worst;             /* the heaviest block list that has it, -1: none */
	unsigned nlist;
	struct dnscheck_list list[];
};

/* What is known of a client, and is kept with the session. */
struct dnscheck_mine {
	struct dnscheck_job *job; /* NULL: all is known */
	struct ask ask;
	enum { DNSCHECK_NOBODY, DNSCHECK_NAME, DNSCHECK_SCORE } waits; /* what the question waits for */
	int score;
	const char *zone; /* that the refusal names, or NULL */
	char *text;       /* what it says, or NULL */
	char *reverse;    /* or NULL */
	bool verified;
};

static int
dnscheck_open(const struct handler_env *env, void **ctx)
{
	struct dnscheck *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return -1;
	d->dns = env->dns;
	d->loop = env->loop;
	d->cf = &env->conf->dns;
	*ctx = d;
	return 0;
}

static void
job_free(struct dnscheck_job *j)
{
	loop_timer_clear(&j->late);
	dns_cancel(&j->name);
	dns_cancel(&j->text);
	for (unsigned i = 0; i < j->nlist; i++)
		dns_cancel(&j->list[i].query);
	j->mine->job = NULL;
	free(j);
}

/* Something is over: wake who waits for it, and go when nothing is left. */
static void
job_step(struct dnscheck_job *j)
{
	struct dnscheck_mine *m = j->mine;

	if ((m->waits == DNSCHECK_NAME && j->names == 0) || (m->waits == DNSCHECK_SCORE && j->lists == 0)) {
		m->waits = DNSCHECK_NOBODY;
		(void)ask_answer(m->ask, V_AGAIN, NULL);
	}
	if (j->names == 0 && j->lists == 0)
		job_free(j);
}

/* Which list costs the client its mail, if any does. */
static void
list_judge(struct dnscheck_job *j)
{
	const struct conf_dns *cf = j->d->cf;

	if (j->worst != -1 && j->mine->score >= (int)cf->threshold)
		j->mine->zone = cf->block[j->worst].zone;
}

/* Time is over: what is not known stays so. */
static void
job_late(struct loop_timer *t)
{
	struct dnscheck_job *j = (struct dnscheck_job *)((char *)t - offsetof(struct dnscheck_job, late));

	list_judge(j);
	j->names = j->lists = 0;
	job_step(j);
}

/* --- the name --- */

static void
name_answer(struct dnscheck_job *j, const struct dns_answer *a)
{
	struct dnscheck_mine *m = j->mine;

	if (j->forward) {
		for (unsigned i = 0; a->status == DNS_FOUND && i < a->n; i++)
			m->verified = m->verified || memcmp(a->addr[i], j->addr, sizeof(j->addr)) == 0;
	} else if (a->status == DNS_FOUND && (m->reverse = strdup(a->name)) != NULL) {
		j->forward = true;
		a = dns_ask(j->d->dns, &j->name, ip_is4(j->addr) ? DNS_A : DNS_AAAA, m->reverse);
		if (a != NULL)
			name_answer(j, a);
		return;
	}
	j->names--;
}

static void
name_done(struct dns_query *q, const struct dns_answer *a)
{
	struct dnscheck_job *j = (struct dnscheck_job *)((char *)q - offsetof(struct dnscheck_job, name));

	name_answer(j, a);
	job_step(j);
}

static void
name_start(struct dnscheck_job *j)
{
	char name[DNS_NAME_MAX];
	const struct dns_answer *a;

	j->names = 1;
	j->name.done = name_done;
	if (dns_reverse(j->addr, NULL, name) != 0)
		return;
	a = dns_ask(j->d->dns, &j->name, DNS_PTR, name);
	if (a != NULL)
		name_answer(j, a);
}

/* --- the lists --- */

static const struct conf_dnslist *
list_conf(const struct dnscheck *d, unsigned index)
{
	return index < d->cf->nblock ? &d->cf->block[index] : &d->cf->allow[index - d->cf->nblock];
}

static void
text_answer(struct dnscheck_job *j, const struct dns_answer *a)
{
	if (a->status == DNS_FOUND)
		j->mine->text = strdup(a->text);
	j->lists--;
}

static void
text_done(struct dns_query *q, const struct dns_answer *a)
{
	struct dnscheck_job *j = (struct dnscheck_job *)((char *)q - offsetof(struct dnscheck_job, text));

	text_answer(j, a);
	job_step(j);
}

/* All lists have answered: one that costs the client its mail is asked why. */
static void
list_why(struct dnscheck_job *j)
{
	const struct dnscheck *d = j->d;
	const struct dns_answer *a;
	char name[DNS_NAME_MAX];

	list_judge(j);
	if (j->mine->zone == NULL)
		return;
	if (dns_reverse(j->addr, j->mine->zone, name) != 0)
		return;
	j->lists++;
	j->text.done = text_done;
	a = dns_ask(d->dns, &j->text, DNS_TXT, name);
	if (a != NULL)
		text_answer(j, a);
}

/*
 * Only 127.0.0.0/8 means listed, and of that what the config chooses (RFC 5782 2.1): a domain that was given up
 * answers with somebody's web server for every address.  127.255.255.0/24 is
 * how lists tell a resolver that they don't serve it.
 */
static bool
list_has(struct dnscheck *d, unsigned index, const struct dns_answer *a)
{
	const struct conf_dnslist *c = list_conf(d, index);
	bool has = false;

	for (unsigned i = 0; a->status == DNS_FOUND && i < a->n; i++) {
		const uint8_t *ip = a->addr[i] + 12;

		if (ip[0] == 127 && ip[1] == 255 && ip[2] == 255) {
			if (!d->complained[index])
				log_msg(LOG_L_WARN, "dns", "list %s does not answer us: it says 127.255.255.%u",
				    c->zone, ip[3]);
			d->complained[index] = true;
			return false;
		}
		has = has || (c->chooses ? conf_answers_have(&c->answers, ip) : ip[0] == 127);
	}
	return has;
}

static void
list_answer(struct dnscheck_list *l, const struct dns_answer *a)
{
	struct dnscheck_job *j = l->job;
	struct dnscheck *d = j->d;
	int weight = list_conf(d, l->index)->weight;

	if (list_has(d, l->index, a)) {
		bool block = l->index < d->cf->nblock;

		j->mine->score += block ? weight : -weight;
		if (block && (j->worst == -1 || d->cf->block[j->worst].weight < weight))
			j->worst = (int)l->index;
	}
	j->lists--;
	if (j->lists == 0)
		list_why(j);
}

static void
list_done(struct dns_query *q, const struct dns_answer *a)
{
	struct dnscheck_list *l = (struct dnscheck_list *)q;
	struct dnscheck_job *j = l->job;

	list_answer(l, a);
	job_step(j);
}

static void
list_start(struct dnscheck_job *j)
{
	/* One more, so that answers which are there at once don't end it early. */
	j->lists = j->nlist + 1;
	for (unsigned i = 0; i < j->nlist; i++) {
		struct dnscheck_list *l = &j->list[i];
		const struct dns_answer *a;
		char name[DNS_NAME_MAX];

		*l = (struct dnscheck_list){ .query.done = list_done, .job = j, .index = i };
		if (dns_reverse(j->addr, list_conf(j->d, i)->zone, name) != 0) {
			j->lists--;
			continue;
		}
		a = dns_ask(j->d->dns, &l->query, DNS_A, name);
		if (a != NULL)
			list_answer(l, a);
	}
	if (--j->lists == 0)
		list_why(j);
}

/* --- questions --- */

static struct dnscheck_mine *
dnscheck_start(struct dnscheck *d, const struct question *q, bool names, unsigned nlist)
{
	struct dnscheck_mine *m = calloc(1, sizeof(*m));
	struct dnscheck_job *j = calloc(1, sizeof(*j) + nlist * sizeof(j->list[0]));

	if (m == NULL || j == NULL || handler_keep(q, m) != 0) {
		free(m);
		free(j);
		return NULL;
	}
	j->d = d;
	j->mine = m;
	j->nlist = nlist;
	j->worst = -1;
	j->late.fire = job_late;
	memcpy(j->addr, q->session->remote_addr, sizeof(j->addr));
	m->job = j;
	loop_timer_set(d->loop, &j->late, d->cf->timeout_ms);
	/* Two at once from the start, so that neither ends the job while the other begins. */
	j->names = j->lists = 1;
	if (names)
		name_start(j);
	else
		j->names = 0;
	if (nlist > 0)
		list_start(j);
	else
		j->lists = 0;
	job_step(j);
	return m;
}

static enum verdict
dnscheck_on_connect(void *ctx, const struct question *q, struct reply *r)
{
	static const uint8_t none[16]; /* a unix socket's */
	struct dnscheck *d = ctx;
	struct dnscheck_mine *m = q->mine;
	const struct session_view *s = q->session;

	(void)r;
	if (!q->again) {
		unsigned nlist = s->skip_checks ? 0 : (unsigned)(d->cf->nblock + d->cf->nallow);
		/* Who speaks for a client (XCLIENT) may have named it. */
		bool names = d->cf->client_names && s->client_name == NULL;

		if (memcmp(s->remote_addr, none, sizeof(none)) == 0 || (!names && nlist == 0))
			return V_NEXT;
		m = dnscheck_start(d, q, names, nlist);
		if (m == NULL)
			return V_FAIL;
		if (m->job != NULL && m->job->names > 0) {
			m->ask = q->ask;
			m->waits = DNSCHECK_NAME;
			return V_LATER;
		}
	}
	if (m->reverse != NULL)
		(void)handler_client_name(q, m->verified ? m->reverse : NULL, m->reverse);
	return V_NEXT;
}

/* Whom everybody may write to (RFC 5321 4.5.1, RFC 2142 4). */
static bool
dnscheck_exempt(const struct rcpt *rc)
{
	return span_caseeq(rc->addr.local, span_str("postmaster")) || span_caseeq(rc->addr.local, span_str("abuse"));
}

static enum verdict
dnscheck_on_rcpt_to(void *ctx, const struct question *q, struct reply *r)
{
	struct dnscheck *d = ctx;
	struct dnscheck_mine *m = q->mine;

	if (m == NULL || q->session->user != NULL || q->session->skip_checks || dnscheck_exempt(q->rcpt))
		return V_NEXT;
	if (m->job != NULL && m->job->lists > 0) {
		m->ask = q->ask;
		m->waits = DNSCHECK_SCORE;
		return V_LATER;
	}
	if (m->zone == NULL || m->score < (int)d->cf->threshold)
		return V_NEXT;
	reply_set(r, 554, ENH(5, 7, 1), "dns-list", "your address %s is listed by %s%s%.200s", q->session->remote,
	    m->zone, m->text != NULL ? ": " : "", m->text != NULL ? m->text : "");
	return V_REPLY;
}

static void
dnscheck_on_cancel(void *ctx, const struct question *q)
{
	struct dnscheck_mine *m = q->mine;

	(void)ctx;
	if (m != NULL)
		m->waits = DNSCHECK_NOBODY;
}

static void
dnscheck_on_close(void *ctx, const struct question *q)
{
	struct dnscheck_mine *m = q->mine;

	(void)ctx;
	if (m == NULL)
		return;
	if (m->job != NULL)
		job_free(m->job);
	free(m->reverse);
	free(m->text);
	free(m);
}

static void
dnscheck_close(void *ctx)
{
	free(ctx);
}

const struct handler_ops dnscheck_ops = {
	.abi = HANDLER_ABI,
	.name = "dns",
	.open = dnscheck_open,
	.on_connect = dnscheck_on_connect,
	.on_rcpt_to = dnscheck_on_rcpt_to,
	.on_cancel = dnscheck_on_cancel,
	.on_close = dnscheck_on_close,
	.close = dnscheck_close,
};
