/*
 * packet: the milter protocol's packets, written and read.
 * Four octets of length, one of command, data (Sendmail's libmilter, version
 * 6; there is no standard).  What a milter says is hostile: lengths are
 * bounded before they are believed, strings end inside their packet, and no
 * line break gets into a header, an address or a reply.  PURE.
 */
#ifndef WORKER_MILTER_PACKET_H_
#define WORKER_MILTER_PACKET_H_

#include "common/buf.h"
#include "common/reply.h"

enum {
	MILTER_VERSION     = 6,
	MILTER_VERSION_MIN = 2,
	MILTER_HEAD        = 5,               /* octets before the data: length and command */
	MILTER_CHUNK       = (64 << 10) - 1,  /* octets of data in a packet, both ways, unless more was agreed on */
	MILTER_CHUNK_256K  = (256 << 10) - 1, /* ... by MILTER_P_MDS_256K */
	MILTER_CHUNK_1M    = (1 << 20) - 1,   /* ... by MILTER_P_MDS_1M */
	MILTER_HEADERS_MAX = 1 << 20,         /* the highest header index that is believed */
	MILTER_NAME_MAX    = 256,             /* octets of a header's name in an edit */
	MILTER_SYMBOLS_MAX = 1024             /* octets of one list of macros that a milter asks for */
};

/* What we say. */
enum milter_command {
	MILTER_C_ABORT   = 'A',
	MILTER_C_BODY    = 'B',
	MILTER_C_CONNECT = 'C',
	MILTER_C_MACRO   = 'D',
	MILTER_C_EOM     = 'E',
	MILTER_C_HELO    = 'H',
	MILTER_C_QUIT_NC = 'K', /* the session is over, the connection is not */
	MILTER_C_HEADER  = 'L',
	MILTER_C_MAIL    = 'M',
	MILTER_C_EOH     = 'N',
	MILTER_C_OPTNEG  = 'O',
	MILTER_C_QUIT    = 'Q',
	MILTER_C_RCPT    = 'R',
	MILTER_C_DATA    = 'T',
	MILTER_C_UNKNOWN = 'U'
};

/* What a milter says. */
enum milter_answer {
	MILTER_R_ADDRCPT     = '+',
	MILTER_R_DELRCPT     = '-',
	MILTER_R_ADDRCPT_PAR = '2', /* with ESMTP parameters */
	MILTER_R_SHUTDOWN    = '4', /* 421 */
	MILTER_R_OPTNEG      = 'O',
	MILTER_R_ACCEPT      = 'a',
	MILTER_R_REPLBODY    = 'b',
	MILTER_R_CONTINUE    = 'c',
	MILTER_R_DISCARD     = 'd',
	MILTER_R_CHGFROM     = 'e',
	MILTER_R_CONN_FAIL   = 'f',
	MILTER_R_ADDHEADER   = 'h',
	MILTER_R_INSHEADER   = 'i',
	MILTER_R_CHGHEADER   = 'm',
	MILTER_R_PROGRESS    = 'p',
	MILTER_R_QUARANTINE  = 'q',
	MILTER_R_REJECT      = 'r',
	MILTER_R_SKIP        = 's',
	MILTER_R_TEMPFAIL    = 't',
	MILTER_R_REPLYCODE   = 'y'
};

/* Edits that a milter may ask for (SMFIF_*). */
enum {
	MILTER_F_ADDHDRS     = 1 << 0,
	MILTER_F_CHGBODY     = 1 << 1,
	MILTER_F_ADDRCPT     = 1 << 2,
	MILTER_F_DELRCPT     = 1 << 3,
	MILTER_F_CHGHDRS     = 1 << 4,
	MILTER_F_QUARANTINE  = 1 << 5,
	MILTER_F_CHGFROM     = 1 << 6,
	MILTER_F_ADDRCPT_PAR = 1 << 7,
	MILTER_F_SETSYMLIST  = 1 << 8,
	MILTER_F_ALL         = (1 << 9) - 1
};

/* Steps it does not want (NO), does not answer (NR), and manners (SMFIP_*). */
enum {
	MILTER_P_NOCONNECT   = 1 << 0,
	MILTER_P_NOHELO      = 1 << 1,
	MILTER_P_NOMAIL      = 1 << 2,
	MILTER_P_NORCPT      = 1 << 3,
	MILTER_P_NOBODY      = 1 << 4,
	MILTER_P_NOHDRS      = 1 << 5,
	MILTER_P_NOEOH       = 1 << 6,
	MILTER_P_NR_HDR      = 1 << 7,
	MILTER_P_NOUNKNOWN   = 1 << 8,
	MILTER_P_NODATA      = 1 << 9,
	MILTER_P_SKIP        = 1 << 10, /* MILTER_R_SKIP may be said */
	MILTER_P_RCPT_REJ    = 1 << 11, /* recipients that we refused are shown too */
	MILTER_P_NR_CONN     = 1 << 12,
	MILTER_P_NR_HELO     = 1 << 13,
	MILTER_P_NR_MAIL     = 1 << 14,
	MILTER_P_NR_RCPT     = 1 << 15,
	MILTER_P_NR_DATA     = 1 << 16,
	MILTER_P_NR_UNKN     = 1 << 17,
	MILTER_P_NR_EOH      = 1 << 18,
	MILTER_P_NR_BODY     = 1 << 19,
	MILTER_P_HDR_LEADSPC = 1 << 20, /* the space behind a header's colon is part of its value, both ways */
	MILTER_P_MDS_256K    = 1 << 28, /* packets of up to 256 KiB */
	MILTER_P_MDS_1M      = 1 << 29, /* ... of up to 1 MiB */
	MILTER_P_ALL         = ((1 << 21) - 1) | MILTER_P_MDS_256K | MILTER_P_MDS_1M /* all there are */
};

/* Stages for which a milter may name the macros it wants (SMFIM_*). */
enum milter_stage {
	MILTER_M_CONNECT,
	MILTER_M_HELO,
	MILTER_M_MAIL,
	MILTER_M_RCPT,
	MILTER_M_DATA,
	MILTER_M_EOM,
	MILTER_M_EOH,
	MILTER_M_N
};

/* What a milter agrees to. */
struct milter_options {
	uint32_t    version, actions, steps;
	struct span symbols[MILTER_M_N]; /* names with spaces or commas between them; p NULL: not asked */
};

/* One answer.  Spans point into the packet. */
struct milter_reply {
	enum milter_answer what;
	uint32_t           index; /* of a header; 0 at INSHEADER is the place above all */
	struct span        name;  /* a header's name; an address as the milter wrote it */
	struct span value; /* a header's value, whose line ends may be anything; ESMTP parameters; body; reason */
};

enum milter_frame {
	MILTER_FRAME_BAD  = -1, /* nothing behind it can be believed */
	MILTER_FRAME_MORE = -2  /* the packet is not all here */
};

/**
 * milter_frame(in, max, cmd, data):
 * The packet at the start of ${in}: its octets with *cmd and *data (into
 * ${in}), or enum milter_frame.  A length of 0, or of more than ${max} octets
 * of data, is bad; that is known after four octets.
 */
ssize_t milter_frame(struct span in, size_t max, uint8_t *cmd, struct span *data);

/**
 * milter_options_parse(data, o, why):
 * Read the data of MILTER_R_OPTNEG.  0, or -1 with *why a static word: it asks
 * for what we did not offer, or is malformed.
 */
int milter_options_parse(struct span data, struct milter_options *o, const char **why);

/**
 * milter_reply_parse(cmd, data, r, why):
 * Read any other packet.  0, or -1 with *why a static word.  Whether it may
 * come now is not asked here.
 */
int milter_reply_parse(uint8_t cmd, struct span data, struct milter_reply *r, const char **why);

/**
 * milter_code_parse(value, r, why):
 * Read the text of MILTER_R_REPLYCODE, "550 5.7.1 text", several lines with
 * CRLF or LF between them as in SMTP, into *r with reason "milter".  All lines
 * must have the same code of 400..599; empty ones are dropped, and the text is
 * cut at REPLY_TEXT_MAX.  Sendmail takes it for a format: "%%" is "%", and a lone one
 * is dropped; a tab is a blank.  421 and 521 close.  0, or -1 with *why.
 */
int milter_code_parse(struct span value, struct reply *r, const char **why);

/* --- writing: 0, or -1 with errno (ENOBUFS, ENOMEM) and ${out} as it was --- */

int milter_put_optneg(struct buf *out, uint32_t actions, uint32_t steps);

/* ${cmd} with ${n} strings; an octet 0 in one is written as '?'. */
int milter_put(struct buf *out, enum milter_command cmd, const struct span *arg, size_t n);

/* Macros for the next ${cmd}: ${n} spans, name and value in turn. */
int milter_put_macros(struct buf *out, enum milter_command cmd, const struct span *arg, size_t n);

/* ${family} is '4', '6', 'L' or 'U'; of the last the address is not said. */
int milter_put_connect(struct buf *out, struct span name, char family, uint16_t port, struct span addr);

/* A header field: ${value} with its continuation lines, whose CRLF is written as LF, without the last CRLF. */
int milter_put_header(struct buf *out, struct span name, struct span value);

/* At most MILTER_CHUNK octets of content. */
int milter_put_body(struct buf *out, struct span chunk);

#endif
