/*
 * fuzz policy: an answer is as long as it says, no prefix of it is another
 * one, nothing past POLICY_ANSWER_MAX is waited for, and no text has a control
 * octet.
 */
#include "worker/handlers/policy/answer.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool ok)
{
	if (!ok)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy_answer a, b;
	ssize_t got = policy_answer(span_of(data, size), &a);

	must(got >= POLICY_BAD && got <= (ssize_t)size && got <= POLICY_ANSWER_MAX);
	must(got != POLICY_MORE || size < POLICY_ANSWER_MAX);
	if (got <= 0)
		return 0;
	must(a.text.n <= POLICY_TEXT_MAX && a.word.n > 0);
	for (size_t i = 0; i < a.text.n; i++)
		must(a.text.p[i] == '\t' || (a.text.p[i] >= 0x20 && a.text.p[i] != 0x7f));
	must((a.reply.code != 0) ==
	    (a.kind == POLICY_REFUSE || a.kind == POLICY_DEFER_IF_PERMIT || a.kind == POLICY_DEFER_IF_REJECT));
	if (a.reply.code != 0)
		must(a.reply.code >= 400 && a.reply.code < 600 && ENH_CLASS(a.reply.enh) == a.reply.code / 100u &&
		    a.reply.n > 0);
	for (size_t n = got > 100 ? (size_t)got - 100 : 0; n < (size_t)got; n++) {
		uint8_t *copy = malloc(n + 1);

		must(copy != NULL);
		if (n > 0)
			memcpy(copy, data, n);
		must(policy_answer(span_of(copy, n), &b) == POLICY_MORE);
		free(copy);
	}
	return 0;
}
