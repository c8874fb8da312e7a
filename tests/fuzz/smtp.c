/*
 * fuzz smtp: no octets and no answers break the engine's contract, and the
 * same octets give the same replies and events however they are cut.
 * Octets of the input: extensions and protocol, limits, how answers fall, how
 * to cut; the rest is what the client sends.
 */
#include "tests/dialog/stage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 4 };

/* The n-th answer depends on n and on the input's third octet alone. */
struct chance {
	uint32_t seed, n;
};

static void
answer(struct stage *st, enum smtp_ev q, const struct smtp_event *ev, struct reply *r)
{
	static const uint16_t codes[] = { 451, 550, 250, 421, 554 };
	struct chance *c = st->arg;
	uint32_t x = (c->seed + ++c->n) * 2654435761U;

	(void)ev;
	if (q == SMTP_EV_AUTH && x >> 31 == 0)
		reply_set(r, 334, 0, "chance", "cj1hYg=="); /* "r=ab" */
	else if (q == SMTP_EV_AUTH)
		reply_set(r, 235, ENH(2, 7, 0), "chance", "by chance");
	if (q == SMTP_EV_AUTH || c->seed == 0 || (x >> 24) % 8 != 0 || (q == SMTP_EV_CONNECT && c->seed < 128))
		return;
	x = (x >> 16) % 5;
	reply_set(r, codes[x], ENH(codes[x] / 100, 3, 0), "chance", "by chance");
}

static void
play(struct stage *st, struct chance *c, const uint8_t *data, size_t size, size_t piece)
{
	struct smtp_conf cf = { .hostname = "mx.example.org",
		.ext = data[0] & 0x1f,
		.lmtp = (data[0] & 0x20) != 0,
		.tls_required = (data[0] & 0xc0) == 0xc0,
		.size_max = (data[1] & 0x0f) * 50U,
		.flood_max = (data[1] & 0x0f) * 50U,
		.rcpt_max = data[1] >> 4 & 3U,
		.errors_max = data[1] >> 6 & 3U };
	const char *p = (const char *)data + HEAD;

	if ((data[3] & 0x10) != 0)
		cf.ext |= SMTP_EXT_AUTH;
	if ((data[3] & 0x40) != 0)
		cf.ext |= SMTP_EXT_TOKENS;
	cf.auth_required = (data[3] & 0x20) != 0;

	*c = (struct chance){ .seed = data[2] };
	stage_init(st, &cf);
	st->answer = answer;
	st->arg = c;
	if ((data[0] & 0xc0) == 0x40)
		smtp_allow_bare_newline(st->s);
	if ((data[2] & 0x80) != 0)
		smtp_allow_xclient(st->s);
	if ((data[0] & 0xc0) == 0x80)
		smtp_tls_started(st->s, (struct span){ NULL, 0 });
	stage_feed(st, "", 0);
	for (size -= HEAD; size > 0;) {
		size_t n = piece < size ? piece : size;

		stage_feed(st, p, n);
		p += n;
		size -= n;
		/* What follows is sent inside TLS: both ways of cutting must come to the same there too. */
		while (st->handshake) {
			st->handshake = false;
			smtp_tls_started(st->s, (struct span){ NULL, 0 });
			stage_feed(st, "", 0);
		}
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stage whole, cut;
	struct chance a, b;

	if (size < HEAD)
		return 0;
	play(&whole, &a, data, size, size);
	play(&cut, &b, data, size, 1 + data[3] % 16U);
	if (whole.why[0] != '\0' || cut.why[0] != '\0') {
		fprintf(stderr, "breach of contract: %s%s\n", whole.why, cut.why);
		abort();
	}
	if (!text_eq(&whole.replies, &cut.replies) || !text_eq(&whole.trace, &cut.trace) ||
	    !text_eq(&whole.bodies, &cut.bodies)) {
		fprintf(stderr, "cuts make a difference\n");
		abort();
	}
	stage_fini(&whole);
	stage_fini(&cut);
	return 0;
}
