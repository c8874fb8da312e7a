/*
 * param: no parameters of MAIL and RCPT break the engine, each line has one
 * reply, and what was taken keeps to the RFCs' bounds.
 * The first octet chooses the command, what is offered, SMTPUTF8 and TLS; the
 * rest is what stands behind the path.
 */
#include "common/xtext.h"
#include "tests/dialog/stage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool ok)
{
	if (!ok)
		abort();
}

/* No control, so that nothing of it can end a line where it is written. */
static bool
one_line(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	return true;
}

static void
check(const struct txn *t)
{
	must(t->envid.n <= 100 && one_line(t->envid));
	must(t->dsn_ret <= TXN_RET_HDRS);
	for (const struct rcpt *r = t->rcpts; r != NULL; r = r->next) {
		uint8_t out[500];

		must(r->orcpt.n <= 500 && one_line(r->orcpt));
		must((r->notify & NOTIFY_NEVER) == 0 || r->notify == NOTIFY_NEVER);
		if (r->orcpt.n > 7 && span_caseeq(span_head(r->orcpt, 7), SPAN("rfc822;"))) {
			ssize_t n = xtext_decode(span_skip(r->orcpt, 7), out, sizeof(out));

			must(n > 0 && one_line(span_of(out, (size_t)n)));
		}
	}
}

/* One command with ${rest} behind ${head}; octets that would end the line are left out. */
static void
command(struct stage *st, const char *head, const uint8_t *rest, size_t n)
{
	size_t before = st->nreplies;

	stage_feed(st, head, strlen(head));
	for (size_t i = 0; i < n; i++)
		if (rest[i] != '\n')
			stage_feed(st, (const char *)&rest[i], 1);
	stage_feed(st, "\r\n", 2);
	must(st->nreplies == before + 1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_conf cf = { .hostname = "mx.example.org", .ext = SMTP_EXT_CHUNKING, .size_max = 10000 };
	struct stage st;

	if (size < 1 || size > 1500)
		return 0;
	if ((data[0] & 2) == 0)
		cf.ext |= SMTP_EXT_DSN | SMTP_EXT_SMTPUTF8 | SMTP_EXT_AUTH;
	stage_init(&st, &cf);
	if ((data[0] & 4) != 0)
		smtp_tls_started(st.s, (struct span){ NULL, 0 });
	stage_feed(&st, "", 0);
	command(&st, "EHLO client.example", NULL, 0);
	if ((data[0] & 1) != 0) {
		command(&st, "MAIL FROM:<a@b.example>", data + 1, size - 1);
	} else {
		command(
		    &st, (data[0] & 10) == 8 ? "MAIL FROM:<a@b.example> SMTPUTF8" : "MAIL FROM:<a@b.example>", NULL, 0);
		command(&st, "RCPT TO:<c@d.example>", data + 1, size - 1);
	}
	if (smtp_txn(st.s) != NULL)
		check(smtp_txn(st.s));
	command(&st, "NOOP", NULL, 0);
	if (st.why[0] != '\0') {
		fprintf(stderr, "breach of contract: %s\n", st.why);
		abort();
	}
	stage_fini(&st);
	return 0;
}
