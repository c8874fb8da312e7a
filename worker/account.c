/*
 * account: counters of the worker's slot, and the lines of the log.
 * docs/LOGS.md lists the events and their fields.
 */
#include "worker/account.h"

#include <stdio.h>

#include "common/log.h"
#include "worker/hooks.h"
#include "worker/message.h"
#include "worker/tap.h"

void
account_reply(struct session *s, struct smtp_sent sent)
{
	if (sent.code == 0)
		return;
	if (s->w->taps != NULL)
		tap_reply(s, sent);
	stats_reply(s->w->stats, sent.code, sent.enh, sent.reason);
	s->replies++;
	s->last_code = sent.code;
	if (sent.code >= 400)
		s->refusals++;
	if (sent.reason[0] == 'e' && strcmp(sent.reason, "early-talker") == 0)
		stats_add(s->w->stats, STATS_EARLY_TALKERS, 1);
	if (sent.reason[0] == 'h' && strcmp(sent.reason, "http-verb") == 0) {
		stats_add(s->w->stats, STATS_HTTP_VERBS, 1);
		s->end = "http-verb";
	}
}

static void
account_who(struct log_line *l, const struct session *s)
{
	log_str(l, "session", s->id);
	log_str(l, "remote", s->remote);
	if (s->remote_port != 0)
		log_u64(l, "port", s->remote_port);
	if (s->proxy != NULL)
		log_str(l, "proxy", s->proxy);
	if (s->user != NULL)
		log_str(l, "user", s->user);
	log_str(l, "listener", s->listener->conf->name);
	if (smtp_helo(s->smtp).n > 0)
		log_span(l, "helo", smtp_helo(s->smtp));
}

/* As account_who() and the transaction's id; put together once for all that is refused in it. */
static void
account_who_and_id(struct log_line *l, const struct session *s, struct txn *t)
{
	size_t from = l->n;

	if (t != NULL && t->who.n > 0) {
		log_again(l, t->who);
		return;
	}
	account_who(l, s);
	if (t == NULL)
		return;
	log_str(l, "id", t->id);
	if (!l->cut)
		(void)arena_dup(t->arena, log_since(l, from), &t->who); /* without memory: once more */
}

static void
account_code(struct log_line *l, uint16_t code, uint32_t enh, const char *reason)
{
	char text[REPLY_ENH_MAX];

	if (code != 0)
		log_u64(l, "code", code);
	if (enh != 0)
		log_span(l, "enhanced", span_of(text, reply_enhanced(enh, text)));
	if (reason != NULL && reason[0] != '\0')
		log_str(l, "reason", reason);
}

static void
account_tls_facts(struct log_line *l, const struct session *s)
{
	if (s->tls == NULL)
		return;
	log_str(l, "tls", s->tls->version);
	log_str(l, "cipher", s->tls->cipher);
	log_str(l, "sni", s->tls->sni);
}

void
account_tls(struct session *s, const char *why, bool resumed)
{
	bool is_1_3 = s->tls != NULL && s->tls->version != NULL && strcmp(s->tls->version, "TLSv1.3") == 0;
	struct log_line l;

	if (s->w->taps != NULL)
		tap_tls(s, why);
	if (why != NULL) {
		stats_tls_failed(s->w->stats, why);
	} else {
		stats_add(s->w->stats, is_1_3 ? STATS_TLS_1_3 : STATS_TLS_1_2, 1);
		if (resumed)
			stats_add(s->w->stats, STATS_TLS_RESUMED, 1);
	}
	if (!log_enabled(why != NULL ? LOG_L_INFO : LOG_L_DEBUG))
		return;
	log_begin(&l, why != NULL ? LOG_L_INFO : LOG_L_DEBUG, why != NULL ? "tls-failed" : "tls");
	account_who(&l, s);
	account_tls_facts(&l, s);
	if (resumed)
		log_str(&l, "resumed", "yes");
	log_str(&l, "reason", why);
	log_end(&l);
}

void
account_auth(struct session *s, const struct reply *r)
{
	static const enum stats_counter yes[] = { STATS_AUTH_PLAIN, STATS_AUTH_LOGIN, STATS_AUTH_SCRAM,
		STATS_AUTH_SCRAM_PLUS, STATS_AUTH_OAUTHBEARER, STATS_AUTH_XOAUTH2 };
	static const enum stats_counter no[] = { STATS_AUTH_PLAIN_WRONG, STATS_AUTH_LOGIN_WRONG, STATS_AUTH_SCRAM_WRONG,
		STATS_AUTH_SCRAM_PLUS_WRONG, STATS_AUTH_OAUTHBEARER_WRONG, STATS_AUTH_XOAUTH2_WRONG };
	const struct sasl *x = smtp_sasl(s->smtp);
	struct log_line l;

	if (r->code < 500)
		stats_add(s->w->stats, r->code < 400 ? yes[x->mech] : STATS_AUTH_DEFERRED, 1);
	else
		stats_add(s->w->stats, no[x->mech], 1);
	if (!log_enabled(LOG_L_INFO))
		return;
	log_begin(&l, LOG_L_INFO, r->code < 400 ? "auth" : "auth-failed");
	account_who(&l, s);
	if (s->user == NULL)
		log_span(&l, "claimed", span_of(x->user, x->nuser));
	log_str(&l, "method", sasl_name[x->mech]);
	account_code(&l, r->code, r->enh, r->reason);
	log_end(&l);
}

static void
account_address(struct log_line *l, const char *key, const struct addr *a)
{
	char text[ADDR_TEXT_MAX];
	ssize_t n = addr_format(a, text, sizeof(text));

	log_span(l, key, span_of(text, n > 0 ? (size_t)n : 0));
}

/* What was said, and who said it: mostly the same again, and then it is written as it was. */
static void
account_said(struct log_line *l, struct account_said *last, const struct reply *r, const char *by)
{
	size_t from = l->n;
	struct span fields;

	if (last->n > 0 && last->by == by && last->reply.code == r->code && last->reply.enh == r->enh &&
	    strcmp(last->reply.reason, r->reason) == 0 &&
	    span_eq(span_of(last->reply.text, last->reply.n), span_of(r->text, r->n))) {
		log_again(l, span_of(last->fields, last->n));
		return;
	}
	account_code(l, r->code, r->enh, r->reason);
	log_str(l, "by", by[0] != '\0' ? by : NULL);
	log_span(l, "text", span_of(r->text, r->n));
	fields = log_since(l, from);
	last->n = 0;
	if (l->cut || fields.n > sizeof(last->fields))
		return;
	*last = (struct account_said){ .by = by, .reply = *r, .n = fields.n };
	memcpy(last->fields, fields.p, fields.n);
}

void
account_refusal(struct session *s, const struct rcpt *rc, const struct reply *r, const char *by)
{
	struct log_line l;
	struct txn *t = smtp_txn(s->smtp);

	if (!log_enabled(LOG_L_INFO))
		return;
	log_begin(&l, LOG_L_INFO, "refusal");
	account_who_and_id(&l, s, t);
	if (t != NULL)
		account_address(&l, "from", &t->from);
	if (rc != NULL)
		account_address(&l, "to", &rc->addr);
	account_said(&l, &s->w->said, r, by);
	log_end(&l);
}

void
account_turned_away(struct session *s, const char *reason)
{
	struct log_line l;

	stats_add(s->w->stats, STATS_SESSIONS_REFUSED, 1);
	stats_add(s->w->stats, STATS_TLS_LIMITED, 1);
	if (!log_enabled(LOG_L_INFO))
		return;
	log_begin(&l, LOG_L_INFO, "refusal");
	account_who(&l, s);
	log_str(&l, "reason", reason);
	log_str(&l, "by", "limits");
	log_end(&l);
}

/* All in one field, separated by commas: a key never comes twice in a line. */
static void
account_recipients(struct log_line *l, const struct txn *t)
{
	char text[ACCOUNT_TO_MAX];
	size_t n = 0;

	for (const struct rcpt *r = t->rcpts; r != NULL; r = r->next) {
		ssize_t k = addr_format(&r->addr, text + n, sizeof(text) - n);

		if (k < 0)
			break;
		n += (size_t)k;
		if (r->next != NULL && n < sizeof(text))
			text[n++] = ',';
	}
	if (n > 0)
		log_span(l, "to", span_of(text, n));
	log_u64(l, "nrcpt", t->nrcpt);
	if (t->nrefused > 0)
		log_u64(l, "refused", t->nrefused);
}

/* What handlers attached, and each counted once. */
static void
account_tags(struct session *s, struct log_line *l, const struct txn *t)
{
	char text[HANDLER_TAGS * (HANDLER_TAG_MAX + 1)];
	size_t n = 0;

	for (const struct txn_tag *tag = t->tags; tag != NULL; tag = tag->next) {
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", n > 0 ? "," : "", tag->word);
		stats_tag(s->w->stats, tag->word);
	}
	if (n > 0 && l != NULL)
		log_span(l, "tags", span_of(text, n));
}

static void
account_session_tags(struct session *s, struct log_line *l)
{
	char text[HANDLER_TAGS * (HANDLER_TAG_MAX + 1)];
	size_t n = 0;

	for (unsigned i = 0; s->hooks != NULL && i < s->hooks->ntag; i++) {
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", n > 0 ? "," : "", s->hooks->tag[i]);
		stats_tag(s->w->stats, s->hooks->tag[i]);
	}
	if (n > 0 && l != NULL)
		log_span(l, "tags", span_of(text, n));
}

static void
account_notify(struct log_line *l, const struct txn *t)
{
	static const struct {
		uint8_t bit;
		const char *word;
	} words[] = { { NOTIFY_NEVER, "never" }, { NOTIFY_SUCCESS, "success" }, { NOTIFY_FAILURE, "failure" },
		{ NOTIFY_DELAY, "delay" } };
	char text[ACCOUNT_TO_MAX];
	size_t n = 0;
	bool any = false;

	for (const struct rcpt *r = t->rcpts; r != NULL && n + sizeof("success+failure+delay,") < sizeof(text);
	     r = r->next) {
		size_t was = n;

		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if ((r->notify & words[i].bit) != 0)
				n += (size_t)snprintf(
				    text + n, sizeof(text) - n, "%s%s", n > was ? "+" : "", words[i].word);
		any |= n > was;
		if (r->next != NULL)
			text[n++] = ',';
	}
	if (any)
		log_span(l, "notify", span_of(text, n));
}

/* ORCPT as given, by recipient; xtext has no space. */
static void
account_orcpt(struct log_line *l, const struct txn *t)
{
	char text[ACCOUNT_TO_MAX];
	size_t n = 0;
	bool any = false;

	for (const struct rcpt *r = t->rcpts; r != NULL && r->orcpt.n + 2 < sizeof(text) - n; r = r->next) {
		any |= r->orcpt.n > 0;
		if (r->orcpt.n > 0)
			memcpy(text + n, r->orcpt.p, r->orcpt.n);
		else
			text[n] = '-';
		n += r->orcpt.n > 0 ? r->orcpt.n : 1;
		if (r->next != NULL)
			text[n++] = ' ';
	}
	if (any)
		log_span(l, "orcpt", span_of(text, n));
}

/* What the sender asked for (RFC 3461, RFC 8689), where it did. */
static void
account_dsn(struct log_line *l, const struct txn *t)
{
	if (t->requiretls)
		log_str(l, "requiretls", "yes");
	if (t->dsn_ret != 0)
		log_str(l, "ret", t->dsn_ret == TXN_RET_FULL ? "full" : "hdrs");
	if (t->envid.n > 0)
		log_span(l, "envid", t->envid);
	account_notify(l, t);
	account_orcpt(l, t);
}

/* Where handlers had it put, the last one that stands. */
static void
account_folder(struct log_line *l, const struct txn *t)
{
	const struct edit *folder = NULL;

	for (const struct edit *e = t->edits != NULL ? t->edits->first : NULL; e != NULL; e = e->next)
		if (e->kind == EDIT_FOLDER)
			folder = e;
	if (folder == NULL || folder->value.n == 0)
		return;
	log_span(l, "folder", folder->value);
	log_str(l, "folder_by", folder->by);
	if (folder->name.n > 0)
		log_span(l, "folder_reason", folder->name);
}

void
account_transaction(struct session *s, struct smtp_sent how)
{
	const struct txn *t = smtp_txn(s->smtp);
	struct log_line l;
	int mailboxes;
	uint64_t commit_us;
	bool stored = message_stored(s, &mailboxes, &commit_us);
	bool dropped = message_dropped(s);

	if (s->w->taps != NULL)
		tap_transaction(s,
		    stored                ? "accepted"
			: dropped         ? "discarded"
			: how.code >= 400 ? "refused"
					  : "aborted",
		    stored ? commit_us : 0);
	if (t->bare_newline)
		stats_add(s->w->stats, STATS_BARE_NEWLINES, 1);
	if (stored) {
		s->messages++;
		s->octets += t->size;
		stats_add(s->w->stats, STATS_MESSAGES, 1);
		stats_add(s->w->stats, STATS_OCTETS, t->size);
		stats_add(s->w->stats, STATS_RECIPIENTS, (uint64_t)mailboxes);
	}
	if (dropped)
		stats_add(s->w->stats, STATS_DISCARDED, 1);
	if (!log_enabled(LOG_L_INFO)) {
		account_tags(s, NULL, t);
		return;
	}
	log_begin(&l, LOG_L_INFO, "transaction");
	log_str(&l, "id", t->id);
	account_who(&l, s);
	log_str(&l, "result", stored ? "accepted" : dropped ? "discarded" : how.code >= 400 ? "refused" : "aborted");
	if (dropped)
		log_str(&l, "by", t->discard);
	account_address(&l, "from", &t->from);
	log_u64(&l, "size", t->size);
	if (stored) {
		log_u64(&l, "mailboxes", (uint64_t)mailboxes);
		log_ms(&l, "commit_ms", commit_us);
		account_folder(&l, t);
	}
	account_code(&l, how.code, how.enh, how.reason);
	account_tags(s, &l, t);
	account_recipients(&l, t);
	account_dsn(&l, t);
	log_end(&l);
}

void
account_session(struct session *s)
{
	struct log_line l;
	uint64_t us = loop_now_us(s->w->loop) - s->opened_us;

	if (s->w->taps != NULL)
		tap_end(s);
	stats_observe(s->w->stats, STATS_H_SESSION, us);
	if (!log_enabled(LOG_L_INFO)) {
		account_session_tags(s, NULL);
		return;
	}
	log_begin(&l, LOG_L_INFO, "session");
	account_who(&l, s);
	log_str(&l, "end", s->end);
	account_tls_facts(&l, s);
	account_session_tags(s, &l);
	log_u64(&l, "messages", s->messages);
	log_u64(&l, "octets", s->octets);
	log_u64(&l, "replies", s->replies);
	log_u64(&l, "refusals", s->refusals);
	log_ms(&l, "ms", us);
	log_end(&l);
}
