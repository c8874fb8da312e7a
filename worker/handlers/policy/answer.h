/*
 * answer: what a policy server says: "action=..." and an empty line, the
 * action in the words of Postfix's access(5).  The server is untrusted input:
 * what is not understood is no consent and no refusal, but a failure.  PURE.
 */
#ifndef WORKER_HANDLERS_POLICY_ANSWER_H_
#define WORKER_HANDLERS_POLICY_ANSWER_H_

#include "common/reply.h"

enum {
	POLICY_ANSWER_MAX = 4096, /* octets of an answer with its empty line */
	POLICY_TEXT_MAX   = 998   /* octets of the text of an action: a header field fits (RFC 5322 2.1.1) */
};

enum policy_kind {
	POLICY_OK,              /* and the policy servers behind this one are not asked */
	POLICY_DUNNO,           /* no opinion */
	POLICY_REFUSE,          /* reply: 4xx or 5xx */
	POLICY_DEFER_IF_PERMIT, /* reply: 4xx, if nobody else refuses */
	POLICY_DEFER_IF_REJECT, /* reply: 4xx, instead of a 5xx of somebody else's */
	POLICY_DISCARD,         /* say yes and throw the message away */
	POLICY_PREPEND,         /* text: a header field */
	POLICY_HOLD,            /* set the message aside */
	POLICY_BCC,             /* text: the address of one more recipient */
	POLICY_WARN,            /* text is for the log, as a warning */
	POLICY_INFO,            /* ... as a remark */
	POLICY_UNSUPPORTED      /* FILTER, REDIRECT...: what a relay does; word says which */
};

struct policy_answer {
	enum policy_kind kind;
	struct reply     reply;
	struct span      word; /* the action's first word, as given */
	struct span      text; /* what stands behind it */
};

/* What policy_answer() returns instead of a length. */
enum { POLICY_MORE = 0, POLICY_BAD = -1 };

/**
 * policy_answer(in, out):
 * Read one answer at the start of ${in}: the octets it takes and *out, whose
 * spans are parts of ${in}; or POLICY_MORE, while it is not all there and less
 * than POLICY_ANSWER_MAX octets are; or POLICY_BAD.  No octet of text is a
 * control octet.
 */
ssize_t policy_answer(struct span in, struct policy_answer *out);
#endif
