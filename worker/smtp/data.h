/*
 * data: the decoder of message content, DATA (RFC 5321 4.1.1.4, 4.5.2) and
 * BDAT (RFC 3030) in one struct with a mode: no function is ever swapped for
 * another (CVE-2017-16943).  It finds where content ends and takes stuffed
 * dots out; it knows no transaction, no limit and no reply.  Private to the
 * engine.  PURE.
 */
#ifndef WORKER_SMTP_DATA_H_
#define WORKER_SMTP_DATA_H_

#include "common/span.h"

enum data_mode { DATA_MODE_NONE, DATA_MODE_TEXT, DATA_MODE_CHUNK };

/* Where in a line the next octet of DATA stands. */
enum data_at {
	DATA_AT_START, /* behind CRLF, or at the very start */
	DATA_AT_DOT,   /* behind a dot at the start of a line, which is never content */
	DATA_AT_CR,    /* behind a CR */
	DATA_AT_MIDDLE
};

struct data {
	enum data_mode mode;
	enum data_at   at;        /* TEXT */
	bool           last;      /* CHUNK: "LAST" stood behind the count */
	bool           bare;      /* TEXT: a CR or LF that stands alone was seen */
	bool           nul;       /* a NUL was seen */
	bool           line_long; /* TEXT: a line over SMTP_TEXT_LINE_MAX was seen */
	size_t         line;      /* TEXT: content octets of the current line, saturating */
	uint64_t       left;      /* CHUNK: octets still to come */
};

enum data_got {
	DATA_GOT_MORE, /* feed more; at most one octet (a CR behind a dot) is left */
	DATA_GOT_SPAN, /* *out is content */
	DATA_GOT_END   /* the content, or the chunk, is complete */
};

/* Content in dot-stuffed lines begins here. */
void data_text(struct data *d);

/* A chunk of ${n} octets begins here; what was noticed in earlier chunks stays noted. */
void data_chunk(struct data *d, uint64_t n, bool last);

/* Nothing is expected, nothing is noted. */
void data_none(struct data *d);

/* Consume from the front of *in until there is something to say. */
enum data_got data_next(struct data *d, struct span *in, struct span *out);
#endif
