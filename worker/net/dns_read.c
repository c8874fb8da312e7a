/*
 * dns_read: records by c-ares's own parsers; what they do not say, the time to
 * live, is read here.  Whatever a server says, nothing is read past its end.
 */
#include <ares.h>
#include <arpa/inet.h>
#include <bsd/string.h>
#include <netdb.h>

#include "common/addr.h"
#include "common/ip.h"
#include "worker/net/dns_priv.h"

enum {
	READ_HEADER = 12,  /* octets (RFC 1035 4.1.1) */
	READ_QUESTION = 4, /* octets behind a question's name */
	READ_RECORD = 10   /* octets behind a record's name, before its data */
};

/* The octet behind the name at ${i}; 0 when there is none. */
static size_t
read_name(struct span m, size_t i)
{
	while (i < m.n) {
		uint8_t c = m.p[i];

		if (c == 0)
			return i + 1;
		if (c >= 0xc0)
			return i + 2 <= m.n ? i + 2 : 0;
		i += 1 + (size_t)c;
	}
	return 0;
}

static unsigned
read_16(struct span m, size_t i)
{
	return (unsigned)m.p[i] << 8 | m.p[i + 1];
}

/* The smallest time to live of the answer's records, in seconds; 0 when they can't be read. */
static uint32_t
read_ttl(struct span m)
{
	size_t i = READ_HEADER;
	uint32_t least = DNS_TTL_MAX_S;

	if (m.n < READ_HEADER)
		return 0;
	for (unsigned k = read_16(m, 4); k > 0; k--) {
		i = read_name(m, i);
		if (i == 0 || m.n - i < READ_QUESTION)
			return 0;
		i += READ_QUESTION;
	}
	for (unsigned k = read_16(m, 6); k > 0; k--) {
		uint32_t ttl;

		i = read_name(m, i);
		if (i == 0 || m.n - i < READ_RECORD)
			return 0;
		ttl = (uint32_t)read_16(m, i + 4) << 16 | read_16(m, i + 6);
		/* A value with its highest bit set is none (RFC 2181 8). */
		if (ttl < least || ttl > INT32_MAX)
			least = ttl > INT32_MAX ? 0 : ttl;
		if (m.n - i - READ_RECORD < read_16(m, i + 8))
			return 0;
		i += READ_RECORD + read_16(m, i + 8);
	}
	return least;
}

static int
read_a(const unsigned char *p, int n, struct dns_answer *out)
{
	struct ares_addrttl a[DNS_ADDRS_MAX];
	int k = DNS_ADDRS_MAX, rc = ares_parse_a_reply(p, n, NULL, a, &k);

	for (int i = 0; rc == ARES_SUCCESS && i < k; i++)
		ip_of4(&a[i].ipaddr, out->addr[i]);
	out->n = rc == ARES_SUCCESS ? (unsigned)k : 0;
	return rc == ARES_SUCCESS && k == 0 ? ARES_ENODATA : rc;
}

static int
read_aaaa(const unsigned char *p, int n, struct dns_answer *out)
{
	struct ares_addr6ttl a[DNS_ADDRS_MAX];
	int k = DNS_ADDRS_MAX, rc = ares_parse_aaaa_reply(p, n, NULL, a, &k);

	for (int i = 0; rc == ARES_SUCCESS && i < k; i++)
		memcpy(out->addr[i], &a[i].ip6addr, 16);
	out->n = rc == ARES_SUCCESS ? (unsigned)k : 0;
	return rc == ARES_SUCCESS && k == 0 ? ARES_ENODATA : rc;
}

/* Only what may be a host's name is one: it goes into headers, logs and questions. */
static int
read_ptr(const unsigned char *p, int n, struct dns_answer *out)
{
	static const uint8_t any[4];
	struct hostent *h = NULL;
	int rc = ares_parse_ptr_reply(p, n, any, sizeof(any), AF_INET, &h);
	size_t len;

	if (rc != ARES_SUCCESS)
		return rc;
	len = strlcpy(out->name, h->h_name != NULL ? h->h_name : "", sizeof(out->name));
	ares_free_hostent(h);
	if (len > 0 && len < sizeof(out->name) && out->name[len - 1] == '.')
		out->name[--len] = '\0';
	if (len >= sizeof(out->name) || !addr_domain_ok(span_of(out->name, len), false))
		return ARES_ENODATA;
	out->n = 1;
	return ARES_SUCCESS;
}

static int
read_txt(const unsigned char *p, int n, struct dns_answer *out)
{
	struct ares_txt_ext *all = NULL;
	size_t used = 0;
	int rc = ares_parse_txt_reply_ext(p, n, &all);

	/* A record may come in pieces (RFC 1035 3.3.14). */
	for (struct ares_txt_ext *t = all; rc == ARES_SUCCESS && t != NULL && (t == all || !t->record_start);
	     t = t->next) {
		size_t k = t->length < sizeof(out->text) - 1 - used ? t->length : sizeof(out->text) - 1 - used;

		memcpy(out->text + used, t->txt, k);
		used += k;
	}
	out->text[used] = '\0';
	out->n = 1;
	ares_free_data(all);
	return rc;
}

static int
read_mx(const unsigned char *p, int n, struct dns_answer *out)
{
	struct ares_mx_reply *all = NULL;
	int rc = ares_parse_mx_reply(p, n, &all);

	for (struct ares_mx_reply *m = all; rc == ARES_SUCCESS && m != NULL; m = m->next)
		out->n++;
	out->null_mx = out->n == 1 && all != NULL && (all->host[0] == '\0' || strcmp(all->host, ".") == 0);
	ares_free_data(all);
	return rc == ARES_SUCCESS && out->n == 0 ? ARES_ENODATA : rc;
}

void
dns_read(enum dns_type type, struct span msg, struct dns_answer *out)
{
	int rc = ARES_EBADRESP, n = (int)msg.n;

	*out = (struct dns_answer){ .status = DNS_FOUND, .ttl_s = read_ttl(msg) };
	switch (type) {
	case DNS_A:
		rc = read_a(msg.p, n, out);
		break;
	case DNS_AAAA:
		rc = read_aaaa(msg.p, n, out);
		break;
	case DNS_PTR:
		rc = read_ptr(msg.p, n, out);
		break;
	case DNS_TXT:
		rc = read_txt(msg.p, n, out);
		break;
	case DNS_MX:
		rc = read_mx(msg.p, n, out);
		break;
	}
	if (rc == ARES_ENODATA || rc == ARES_ENOTFOUND)
		*out = (struct dns_answer){ .status = DNS_NOTHING, .ttl_s = DNS_TTL_NONE_S };
	else if (rc != ARES_SUCCESS)
		*out = (struct dns_answer){ .status = DNS_FAILED, .why = ares_strerror(rc) };
}
