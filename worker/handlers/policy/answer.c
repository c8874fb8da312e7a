/*
 * answer: a line of octets becomes an action, or nothing does.
 */
#include "worker/handlers/policy/answer.h"

#include <stdio.h>

/* How an action that takes no code refuses by itself (access(5)). */
struct answer_word {
	const char *word;
	enum policy_kind kind;
	uint16_t code; /* of its reply, 0: it has none */
	uint32_t enh;
	const char *reason, *text;
	bool needs_text;
};

static const struct answer_word answer_words[] = {
	{ "OK", POLICY_OK, 0, 0, "", "", false },
	{ "PERMIT", POLICY_OK, 0, 0, "", "", false },
	{ "DUNNO", POLICY_DUNNO, 0, 0, "", "", false },
	{ "REJECT", POLICY_REFUSE, 554, ENH(5, 7, 1), "policy-reject", "access denied", false },
	{ "DEFER", POLICY_REFUSE, 450, ENH(4, 7, 1), "policy-defer", "access denied, try again later", false },
	{ "DEFER_IF_PERMIT", POLICY_DEFER_IF_PERMIT, 450, ENH(4, 7, 1), "policy-defer-if-permit", "try again later",
	    false },
	{ "DEFER_IF_REJECT", POLICY_DEFER_IF_REJECT, 450, ENH(4, 7, 1), "policy-defer-if-reject", "try again later",
	    false },
	{ "DISCARD", POLICY_DISCARD, 0, 0, "", "", false },
	{ "PREPEND", POLICY_PREPEND, 0, 0, "", "", true },
	{ "HOLD", POLICY_HOLD, 0, 0, "", "", false },
	{ "WARN", POLICY_WARN, 0, 0, "", "", false },
	{ "INFO", POLICY_INFO, 0, 0, "", "", false },
	{ "FILTER", POLICY_UNSUPPORTED, 0, 0, "", "", true },
	{ "REDIRECT", POLICY_UNSUPPORTED, 0, 0, "", "", true },
	{ "BCC", POLICY_BCC, 0, 0, "", "", true },
};

static struct span
answer_trim(struct span s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = span_skip(s, 1);
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

static bool
answer_digits(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.n > 0;
}

/* reply_parse() is strict: a text is made printable and short first, and its enhanced code one of the reply's class. */
static int
answer_reply(uint16_t code, const char *reason, struct span text, struct reply *r)
{
	char line[REPLY_TEXT_MAX];
	size_t n = (size_t)snprintf(line, sizeof(line), "%u ", (unsigned)code);
	char kept[REPLY_REASON_MAX];

	for (size_t i = 0; i < text.n && n < sizeof(line); i++)
		line[n++] = text.p[i] >= 0x20 && text.p[i] <= 0x7e ? (char)text.p[i] : '?';
	if (reply_enhanced_at(text))
		line[4] = line[0];
	if (reply_parse(span_of(line, n), r) != 0)
		return -1;
	snprintf(kept, sizeof(kept), "%s", reason);
	memcpy(r->reason, kept, sizeof(kept));
	r->close = code == 421 || code == 521;
	return 0;
}

/* "550 5.7.1 text": the server's own code; without an enhanced one it is a matter of policy, as in Postfix. */
static int
answer_code(struct policy_answer *out)
{
	uint16_t code = (uint16_t)((out->word.p[0] - '0') * 100 + (out->word.p[1] - '0') * 10 + (out->word.p[2] - '0'));

	out->kind = POLICY_REFUSE;
	if (answer_reply(code, code < 500 ? "policy-defer" : "policy-reject", out->text, &out->reply) != 0)
		return -1;
	if (!reply_enhanced_at(out->text))
		out->reply.enh = ENH(code / 100u, 7, 1);
	return 0;
}

/* "X-Field: value", so that what is put on top of a message is a header field (RFC 5322 2.2). */
static bool
answer_field_ok(struct span s)
{
	const uint8_t *colon = memchr(s.p, ':', s.n);

	if (colon == NULL || colon == s.p)
		return false;
	for (const uint8_t *p = s.p; p < colon; p++)
		if (*p <= 0x20 || *p > 0x7e)
			return false;
	return true;
}

static int
answer_apply(const struct answer_word *w, struct policy_answer *out)
{
	out->kind = w->kind;
	if (w->needs_text && out->text.n == 0)
		return -1;
	if (w->kind == POLICY_PREPEND && !answer_field_ok(out->text))
		return -1;
	if (w->code == 0)
		return 0;
	reply_set(&out->reply, w->code, w->enh, w->reason, "%s", w->text);
	if (out->text.n == 0)
		return 0;
	if (answer_reply(w->code, w->reason, out->text, &out->reply) != 0)
		return -1;
	if (out->reply.enh == ENH(w->code / 100u, 0, 0))
		out->reply.enh = w->enh;
	return 0;
}

static int
answer_action(struct span v, struct policy_answer *out)
{
	size_t n = 0;

	v = answer_trim(v);
	while (n < v.n && v.p[n] != ' ' && v.p[n] != '\t')
		n++;
	*out = (struct policy_answer){ .word = span_head(v, n), .text = answer_trim(span_skip(v, n)) };
	if (out->text.n > POLICY_TEXT_MAX)
		return -1;
	if (answer_digits(out->word)) {
		if (n == 3 && (v.p[0] == '4' || v.p[0] == '5'))
			return answer_code(out);
		/* Any other number is a yes (access(5)), as long as nothing stands behind it. */
		return out->text.n == 0 || v.p[0] == '2' ? 0 : -1;
	}
	for (size_t i = 0; i < sizeof(answer_words) / sizeof(*answer_words); i++)
		if (span_caseeq(out->word, span_str(answer_words[i].word)))
			return answer_apply(&answer_words[i], out);
	return -1;
}

/* One line without its end.  Attributes that we do not know are passed over; two actions contradict each other. */
static int
answer_line(struct span line, bool *have, struct policy_answer *out)
{
	static const char name[] = "action=";
	const size_t len = sizeof(name) - 1;

	for (size_t i = 0; i < line.n; i++)
		if ((line.p[i] < 0x20 && line.p[i] != '\t') || line.p[i] == 0x7f)
			return -1;
	if (line.n < len || memcmp(line.p, name, len) != 0)
		return line.n > 0 && line.p[0] != '=' && memchr(line.p, '=', line.n) != NULL ? 0 : -1;
	if (*have)
		return -1;
	*have = true;
	return answer_action(span_skip(line, len), out);
}

ssize_t
policy_answer(struct span in, struct policy_answer *out)
{
	struct span rest = in.n > POLICY_ANSWER_MAX ? span_head(in, POLICY_ANSWER_MAX) : in;
	bool have = false;

	for (;;) {
		const uint8_t *lf = rest.n > 0 ? memchr(rest.p, '\n', rest.n) : NULL;
		struct span line;

		if (lf == NULL)
			return in.n < POLICY_ANSWER_MAX ? POLICY_MORE : POLICY_BAD;
		line = span_head(rest, (size_t)(lf - rest.p));
		rest = span_skip(rest, line.n + 1);
		/* Some write CRLF. */
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		if (line.n == 0)
			return have ? rest.p - in.p : POLICY_BAD;
		if (answer_line(line, &have, out) != 0)
			return POLICY_BAD;
	}
}
