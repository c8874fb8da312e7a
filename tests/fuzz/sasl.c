/*
 * sasl: what a client says in an exchange, line by line.  The first octet
 * chooses the mechanism; each line is base64, and given to it as it is and
 * encoded.  What is asked about has the bounds that the header promises.
 */
#include "worker/smtp/sasl.h"

#include <stdio.h>
#include <stdlib.h>

#define MUST(what) \
	if (!(what)) \
	abort()

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
asked(const struct sasl *s)
{
	MUST(s->nuser <= SASL_USER_MAX && s->user[s->nuser] == '\0' && strlen(s->user) == s->nuser);
	MUST(s->nuser > 0 || s->step == SASL_TOKEN);
	for (size_t i = 0; i < s->nuser; i++)
		MUST((uint8_t)s->user[i] > ' ' && s->user[i] != 0x7f);
	if (s->step == SASL_PASSWORD)
		MUST(s->password.n > 0 && s->password.n <= SASL_PASSWORD_MAX &&
		    memchr(s->password.p, 0, s->password.n) == NULL);
	if (s->step == SASL_TOKEN) {
		MUST(s->password.n > 0 && s->password.n <= SASL_TEXT_MAX);
		for (size_t i = 0; i < s->password.n; i++)
			MUST(s->password.p[i] > ' ' && s->password.p[i] < 0x7f);
	}
	if (s->step == SASL_FIRST)
		MUST(s->nfirst > 0 && s->nfirst <= SASL_FIRST_MAX && s->ngs2 <= SASL_GS2_MAX && s->bind != 'y' &&
		    (s->bind == 'p') == (s->mech == SASL_SCRAM_PLUS));
	if (s->step == SASL_FINAL)
		MUST(s->final.n > 0 && s->nbinding <= SASL_BINDING_MAX && (s->nbinding > 0) == (s->bind == 'p'));
}

/* The answer to SCRAM's first message: the client's nonce and more. */
static void
tell(struct sasl *s)
{
	char text[SASL_SERVER_FIRST_MAX], line[SASL_SERVER_FIRST_MAX * 2];
	const uint8_t *r = s->first;
	size_t left = s->nfirst, n = 0;

	while (left > 3 && memcmp(r, ",r=", 3) != 0)
		r++, left--;
	n = (size_t)snprintf(text, sizeof(text), "r=%.*sX,s=AAAA,i=4096", (int)(left > 3 ? left - 3 : 0), r + 3);
	if (sasl_encode(span_of(text, n < sizeof(text) ? n : sizeof(text) - 1), line, sizeof(line)) > 0)
		(void)sasl_told(s, span_str(line));
}

static void
play(enum sasl_mech mech, const uint8_t *data, size_t size, bool encode)
{
	static struct sasl s;
	static char text[3 * SASL_TEXT_MAX];

	sasl_init(&s, mech);
	for (int turn = 0; turn < 4; turn++) {
		const uint8_t *lf = memchr(data, '\n', size);
		size_t n = lf != NULL ? (size_t)(lf - data) : size;
		struct span line = span_of(data, n);
		enum sasl_got got;

		if (encode) {
			ssize_t len = sasl_encode(line, text, sizeof(text));

			line = span_of(text, len > 0 ? (size_t)len : 0);
		}
		got = sasl_take(&s, line);
		if (got == SASL_ASK)
			asked(&s);
		if (got == SASL_BAD || got == SASL_REFUSED || s.step == SASL_CONFIRMED || lf == NULL)
			break;
		if (got == SASL_ASK && s.step == SASL_FIRST)
			tell(&s);
		else if (got == SASL_ASK && s.step == SASL_FINAL)
			(void)sasl_told(&s, SPAN("dj1B"));
		else if (got == SASL_ASK)
			break;
		data = lf + 1;
		size -= n + 1;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	for (int encode = 0; encode < 2; encode++)
		play((enum sasl_mech)(data[0] % SASL_MECHS), data + 1, size - 1, encode == 1);
	return 0;
}
