/*
 * proxy: both versions of the PROXY header, octet for octet.
 * A header that is not exactly of the form is refused: an address is claimed
 * here, and what one reader forgives, the next reads as something else.  PURE.
 */
#include "worker/smtp/proxy.h"

#include "common/crc32c.h"
#include "common/ip.h"

enum {
	V2_HEAD = 16, /* signature, version and command, family, length */
	V2_INET = 12, /* octets of two IPv4 addresses and two ports */
	V2_INET6 = 36,
	V2_UNIX = 216,
	TLV_HEAD = 3, /* type and length */
	TLV_CRC32C = 0x03
};

static const uint8_t v1_start[] = { 'P', 'R', 'O', 'X', 'Y', ' ' };
static const uint8_t v2_signature[] = { '\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q', 'U', 'I', 'T', '\n' };

static ssize_t
bad(const char **why, const char *word)
{
	*why = word;
	return PROXY_BAD;
}

static uint16_t
be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* The octets before the next space, or all; they and the space are taken from *s. */
static struct span
word(struct span *s)
{
	const uint8_t *space = s->n > 0 ? memchr(s->p, ' ', s->n) : NULL;
	struct span w = space != NULL ? span_head(*s, (size_t)(space - s->p)) : *s;

	*s = span_skip(*s, space != NULL ? w.n + 1 : w.n);
	return w;
}

static bool
v1_port(struct span w, uint16_t *out)
{
	unsigned n = 0;

	if (w.n == 0 || w.n > 5 || (w.n > 1 && w.p[0] == '0'))
		return false;
	for (size_t i = 0; i < w.n; i++) {
		if (w.p[i] < '0' || w.p[i] > '9')
			return false;
		n = n * 10 + (w.p[i] - (unsigned)'0');
	}
	*out = (uint16_t)n;
	return n <= UINT16_MAX;
}

/* The words of a line, without its CRLF and without "PROXY ". */
static bool
v1_words(struct span line, struct proxy *out)
{
	struct span w = word(&line);
	int family;

	if (span_eq(w, SPAN("UNKNOWN"))) { /* what follows it is to be ignored */
		out->real = true;
		return true;
	}
	if (span_eq(w, SPAN("TCP4")))
		family = AF_INET;
	else if (span_eq(w, SPAN("TCP6")))
		family = AF_INET6;
	else
		return false;
	if (!ip_parse(family, word(&line), out->src) || !ip_parse(family, word(&line), out->dst) ||
	    !v1_port(word(&line), &out->src_port))
		return false;
	return v1_port(line, &out->dst_port); /* all that is left: no space may follow it */
}

static ssize_t
v1_parse(struct span in, struct proxy *out, const char **why)
{
	struct span look = span_head(in, in.n < PROXY_V1_MAX ? in.n : PROXY_V1_MAX);
	const uint8_t *lf = memchr(look.p, '\n', look.n);
	struct span line;

	if (lf == NULL)
		return look.n < PROXY_V1_MAX ? PROXY_MORE : bad(why, "proxy-too-long");
	line = span_head(look, (size_t)(lf - look.p));
	if (line.p[line.n - 1] != '\r')
		return bad(why, "proxy-syntax");
	line.n--;
	if (line.n < sizeof(v1_start) || !v1_words(span_skip(line, sizeof(v1_start)), out))
		return bad(why, "proxy-syntax");
	return (ssize_t)(line.n + 2);
}

/* Whether the checksum at ${at} is that of the header, itself taken as zeros (section 2.2.3). */
static bool
v2_checksum(struct span header, size_t at)
{
	static const uint8_t zero[4];
	const uint8_t *p = header.p + at;
	uint32_t crc = crc32c(0, header.p, at);

	crc = crc32c(crc, zero, sizeof(zero));
	crc = crc32c(crc, p + sizeof(zero), header.n - at - sizeof(zero));
	return crc == ((uint32_t)be16(p) << 16 | be16(p + 2));
}

/* The TLVs from ${at} to the end of the header; NULL, or what is wrong. */
static const char *
v2_tlvs(struct span header, size_t at)
{
	while (at < header.n) {
		size_t n;

		if (header.n - at < TLV_HEAD)
			return "proxy-syntax";
		n = be16(header.p + at + 1);
		if (n > header.n - at - TLV_HEAD)
			return "proxy-syntax";
		if (header.p[at] == TLV_CRC32C && n != 4)
			return "proxy-syntax";
		if (header.p[at] == TLV_CRC32C && !v2_checksum(header, at + TLV_HEAD))
			return "proxy-checksum";
		at += TLV_HEAD + n;
	}
	return NULL;
}

static void
v2_inet(const uint8_t *p, struct proxy *out)
{
	ip_of4(p, out->src);
	ip_of4(p + 4, out->dst);
	out->src_port = be16(p + 8);
	out->dst_port = be16(p + 10);
}

static void
v2_inet6(const uint8_t *p, struct proxy *out)
{
	memcpy(out->src, p, 16);
	memcpy(out->dst, p + 16, 16);
	out->src_port = be16(p + 32);
	out->dst_port = be16(p + 34);
}

/* Octets of addresses that a family has, or -1 for one that no stream can have. */
static ssize_t
v2_family(uint8_t family)
{
	switch (family) {
	case 0x00: /* unspecified */
		return 0;
	case 0x11: /* TCP over IPv4 */
		return V2_INET;
	case 0x21: /* TCP over IPv6 */
		return V2_INET6;
	case 0x31: /* a unix stream */
		return V2_UNIX;
	default:
		return -1;
	}
}

/* What stands behind the length of a whole header; NULL, or what is wrong. */
static const char *
v2_block(struct span header, struct proxy *out)
{
	const uint8_t *p = header.p + V2_HEAD;
	ssize_t n;

	out->real = true;
	if (header.p[12] == 0x20) /* LOCAL: the proxy speaks for itself, all else is to be discarded */
		return NULL;
	n = v2_family(header.p[13]);
	if (n < 0 || (size_t)n > header.n - V2_HEAD)
		return "proxy-syntax";
	out->real = n != V2_INET && n != V2_INET6;
	if (n == V2_INET)
		v2_inet(p, out);
	if (n == V2_INET6)
		v2_inet6(p, out);
	/* Without a family nobody can tell where addresses end. */
	return n > 0 ? v2_tlvs(header, V2_HEAD + (size_t)n) : NULL;
}

static ssize_t
v2_parse(struct span in, struct proxy *out, const char **why)
{
	const char *wrong;
	size_t n;

	/* Version 2 is the only one (the high four bits); commands are LOCAL and PROXY. */
	if (in.n > 12 && in.p[12] != 0x20 && in.p[12] != 0x21)
		return bad(why, "proxy-syntax");
	if (in.n < V2_HEAD)
		return PROXY_MORE;
	n = (size_t)V2_HEAD + be16(in.p + 14);
	if (n > PROXY_MAX)
		return bad(why, "proxy-too-long");
	if (in.n < n)
		return PROXY_MORE;
	wrong = v2_block(span_head(in, n), out);
	return wrong != NULL ? bad(why, wrong) : (ssize_t)n;
}

static bool
begins(struct span in, const uint8_t *start, size_t n)
{
	return memcmp(in.p, start, in.n < n ? in.n : n) == 0;
}

ssize_t
proxy_parse(struct span in, struct proxy *out, const char **why)
{
	struct proxy p = { .real = false };
	ssize_t n;

	if (in.n == 0)
		return PROXY_MORE;
	if (begins(in, v1_start, sizeof(v1_start)))
		n = in.n >= sizeof(v1_start) ? v1_parse(in, &p, why) : PROXY_MORE;
	else if (begins(in, v2_signature, sizeof(v2_signature)))
		n = v2_parse(in, &p, why);
	else
		return bad(why, "proxy-missing");
	if (n > 0)
		*out = p;
	return n;
}
