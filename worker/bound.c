/*
 * bound: see bound.h.  Each term is named after who frees it.
 */
#include "worker/bound.h"

#include "common/report.h"
#include "worker/handlers/policy/answer.h"
#include "worker/handlers/policy/request.h"
#include "worker/milter/milter.h"
#include "worker/milter/talk.h"
#include "worker/session.h"
#include "worker/smtp/content.h"
#include "worker/smtp/editor.h"
#include "worker/store/journal.h"

static unsigned
sections(const struct conf *cf, enum conf_kind kind)
{
	unsigned n = 0;

	for (size_t i = 0; i < cf->nhandler; i++)
		n += cf->handler[i].kind == kind;
	return n;
}

static bool
speaks_lmtp(const struct conf *cf)
{
	for (size_t i = 0; i < cf->nlistener; i++)
		if (cf->listener[i].protocol == CONF_LMTP)
			return true;
	return false;
}

/* The store's message: two chunks, and the journal's record or a file for each of as many mailboxes as a transaction can name. */
static uint64_t
message(void)
{
	uint64_t record = JOURNAL_TARGETS_MAX * (sizeof(struct spot) + TRACE_TARGET_MAX + MAILBOX_KEY_MAX + UNIQUE_MAX),
		 spots = TXN_ARENA_MAX / (sizeof(struct target) + sizeof(struct rcpt_target)) * sizeof(struct spot);

	return sizeof(struct store_msg) + TRACE_RECEIVED_MAX + sizeof(struct spool) + 2 * STORE_CHUNK +
	    (record > spots ? record : spots);
}

/* The list of edits, whoever makes one, the editor that carries it out, and the second message that takes the first one's place. */
static uint64_t
edits(const struct conf *cf)
{
	bool bodies = sections(cf, CONF_K_MILTER) + sections(cf, CONF_K_HANDLER) > 0;

	/* A mailbox that had the message before is set aside by an edit, with LMTP. */
	if (!bodies && sections(cf, CONF_K_POLICY) == 0 && !speaks_lmtp(cf))
		return 0;
	return 2 * EDIT_ROOM + (bodies ? 2 * cf->message_size_limit : 0) + EDITOR_HEADER_MAX + EDITOR_ARENA_MAX +
	    message();
}

uint64_t
bound_session(const struct conf *cf)
{
	const uint64_t milter = sizeof(struct talk) + MILTER_FACTS_MAX + TALK_TODO_MAX + MILTER_CHUNK + FIELDS_ONE_MAX,
		       policy = POLICY_REQUEST_MAX + POLICY_ANSWER_MAX;

	return sizeof(struct session) + SESSION_ARENA_MAX + TXN_ARENA_MAX + CONN_IN_MAX + CONN_OUT_MAX +
	    /* what a handler or a full disk holds up */
	    CONN_IN_MAX + CONTENT_HOLD_MAX + message() + edits(cf) + sections(cf, CONF_K_MILTER) * milter +
	    (sections(cf, CONF_K_POLICY) + sections(cf, CONF_K_TOKENS) > 0 ? policy : 0) +
	    (conf_offers_dsn(cf) ? REPORT_HEADERS_MAX : 0);
}

uint64_t
bound_shared(const struct conf *cf)
{
	const uint64_t large = 2 * (STORE_CHUNK_LARGE - STORE_CHUNK),
		       link = sizeof(struct milter_link) + MILTER_OUT_MAX + MILTER_CHUNK_1M + MILTER_HEAD;

	return STORE_LARGE_MAX * large + sections(cf, CONF_K_MILTER) * MILTER_LINKS_MAX * link +
	    (conf_offers_dsn(cf) ? (uint64_t)IOPOOL_THREADS * REPORT_RECORD_MAX : 0);
}
