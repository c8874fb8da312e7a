/*
 * fuzz milterpacket: whatever a milter says, nothing is read beyond it, and
 * what is let through has no line break that could become a field or a reply.
 */
#include "worker/milter/packet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/fuzz/parts/field.h"
#include "worker/smtp/edit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static void
inside(struct span part, struct span all)
{
	must(part.n == 0 || (part.p >= all.p && part.n <= all.n && part.p + part.n <= all.p + all.n));
}

/* What a field becomes in the list of edits: one field, whatever line ends its value came with. */
static void
header(const struct milter_reply *r)
{
	static const enum edit_kind kinds[] = { EDIT_ADD_HEADER, EDIT_INSERT_HEADER, EDIT_CHANGE_HEADER };
	struct edits e;

	must(r->name.n > 0 && r->name.n <= MILTER_NAME_MAX);
	for (size_t i = 0; i < r->name.n; i++)
		must(r->name.p[i] > ' ' && r->name.p[i] < 0x7f && r->name.p[i] != ':');
	edits_init(&e, 0);
	for (size_t k = 0; k < 6; k++)
		if (edit_as_said(&e, kinds[k / 2], r->index, r->name, r->value, k % 2 == 0) != 0)
			must(errno == EINVAL || errno == EMSGSIZE);
	for (const struct edit *ed = e.first; ed != NULL; ed = ed->next)
		must(one_field(ed->value));
	edits_fini(&e);
}

/* What goes to the client: lines that all have the code, none too long. */
static void
wire(const struct reply *r)
{
	char out[REPLY_WIRE_MAX], code[4];
	size_t n = reply_format(r, SPAN("id"), out), from = 0, lines = 0;

	must(n <= sizeof(out));
	snprintf(code, sizeof(code), "%u", (unsigned)r->code);
	for (size_t i = 1; i < n; i++) {
		must((out[i] == '\n') == (out[i - 1] == '\r'));
		if (out[i] != '\n')
			continue;
		must(i + 1 - from <= REPLY_LINE_MAX && memcmp(out + from, code, 3) == 0);
		must(out[from + 3] == (i + 1 == n ? ' ' : '-'));
		from = i + 1;
		lines++;
	}
	must(from == n && lines >= 1 && lines <= REPLY_LINES_MAX);
}

static void
reply(struct span value)
{
	struct reply r;
	const char *why = NULL;

	if (milter_code_parse(value, &r, &why) != 0) {
		must(why != NULL);
		return;
	}
	must(r.code >= 400 && r.code <= 599 && ENH_CLASS(r.enh) == r.code / 100u && r.n <= REPLY_TEXT_MAX);
	for (size_t i = 0; i < r.n; i++)
		must((r.text[i] >= 0x20 && r.text[i] <= 0x7e) || (r.text[i] == '\n' && i > 0));
	wire(&r);
}

static void
one(uint8_t cmd, struct span data)
{
	struct milter_options o;
	struct milter_reply r;
	const char *why = NULL;

	if (cmd == MILTER_R_OPTNEG) {
		if (milter_options_parse(data, &o, &why) != 0) {
			must(why != NULL);
			return;
		}
		for (size_t i = 0; i < MILTER_M_N; i++)
			inside(o.symbols[i], data);
		return;
	}
	if (milter_reply_parse(cmd, data, &r, &why) != 0) {
		must(why != NULL);
		return;
	}
	inside(r.name, data);
	inside(r.value, data);
	must(r.index <= MILTER_HEADERS_MAX);
	if (r.what == MILTER_R_ADDHEADER || r.what == MILTER_R_INSHEADER || r.what == MILTER_R_CHGHEADER)
		header(&r);
	if (r.what == MILTER_R_REPLYCODE)
		reply(r.value);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_of(data, size);

	/* As packets, each in memory of its own. */
	while (in.n > 0) {
		struct span body;
		uint8_t cmd = 0, *copy;
		ssize_t n = milter_frame(in, MILTER_CHUNK, &cmd, &body);

		must(n == MILTER_FRAME_BAD || n == MILTER_FRAME_MORE || (n >= MILTER_HEAD && (size_t)n <= in.n));
		if (n < 0)
			break;
		copy = malloc(body.n + 1);
		must(copy != NULL);
		if (body.n > 0)
			memcpy(copy, body.p, body.n);
		one(cmd, span_of(copy, body.n));
		free(copy);
		in = span_skip(in, (size_t)n);
	}
	/* And as one packet's data, so that the fuzzer need not find lengths. */
	if (size > 0)
		one(data[0], span_of(data + 1, size - 1));
	return 0;
}
