/*
 * peer: addresses of both ends, in the forms that are kept: octets, port, text.
 */
#include "worker/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "common/ip.h"
#include "worker/smtp/proxy.h"

/* What XCLIENT claims, in memory that the next one uses again: a client that repeats it fills no arena. */
struct peer_claims {
	char remote[INET6_ADDRSTRLEN + 8], local[INET6_ADDRSTRLEN + 8];
	char name[XCLIENT_TEXT_MAX + 1], user[XCLIENT_TEXT_MAX + 1];
};

enum { PEER_TEXT_MAX = INET6_ADDRSTRLEN + 8 }; /* octets of "IPv6:" and an address, with a NUL */

/* ${addr} as it stands in Received and in the log. */
static void
peer_text(const uint8_t addr[16], char text[PEER_TEXT_MAX])
{
	static const char tag[] = "IPv6:";

	if (ip_is4(addr)) {
		inet_ntop(AF_INET, addr + 12, text, PEER_TEXT_MAX);
		return;
	}
	memcpy(text, tag, sizeof(tag));
	inet_ntop(AF_INET6, addr, text + sizeof(tag) - 1, INET6_ADDRSTRLEN);
}

/* A copy in the session's arena, or NULL. */
static const char *
peer_keep(struct session *s, const char *text)
{
	struct span out;

	return arena_dup(&s->arena, span_of(text, strlen(text) + 1), &out) == 0 ? (const char *)out.p : NULL;
}

/* One end by the kernel's word. */
static const char *
peer_of_socket(struct session *s, const struct sockaddr_storage *ss, uint8_t addr[16], uint16_t *port)
{
	char text[PEER_TEXT_MAX] = "unix";

	memset(addr, 0, 16);
	*port = 0;
	if (ss->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)ss;

		ip_of4(&in->sin_addr, addr);
		*port = ntohs(in->sin_port);
		peer_text(addr, text);
	} else if (ss->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;

		memcpy(addr, &in6->sin6_addr, 16);
		*port = ntohs(in6->sin6_port);
		peer_text(addr, text);
	}
	return peer_keep(s, text);
}

int
peer_real(struct session *s, const struct sockaddr_storage *peer, const struct sockaddr_storage *local)
{
	uint8_t ignored[16];

	s->remote = peer_of_socket(s, peer, s->addr, &s->remote_port);
	s->local = peer_of_socket(s, local, ignored, &s->local_port);
	return s->remote != NULL && s->local != NULL ? 0 : -1;
}

bool
peer_owes_header(const struct session *s)
{
	return conf_nets_have(&s->listener->conf->proxy_from, s->addr);
}

/* From now on the session is between the ends that ${p} claims. */
static int
peer_claimed(struct session *s, const struct proxy *p)
{
	char src[PEER_TEXT_MAX], dst[PEER_TEXT_MAX];
	const char *remote, *local;

	if (p->real)
		return 0;
	peer_text(p->src, src);
	peer_text(p->dst, dst);
	remote = peer_keep(s, src);
	local = peer_keep(s, dst);
	if (remote == NULL || local == NULL)
		return -1;
	s->proxy = s->remote;
	s->remote = remote;
	s->local = local;
	s->remote_port = p->src_port;
	s->local_port = p->dst_port;
	memcpy(s->addr, p->src, sizeof(s->addr));
	return 0;
}

enum conn_say
peer_header(struct session *s, struct span *in)
{
	const char *why = "no-memory";
	struct proxy p;
	ssize_t n = proxy_parse(*in, &p, &why);

	if (n == PROXY_MORE)
		return CONN_MORE;
	if (n == PROXY_BAD || peer_claimed(s, &p) != 0) {
		peer_no_header(s, why);
		return CONN_CLOSE;
	}
	*in = span_skip(*in, (size_t)n);
	s->proxy_due = false;
	stats_add(s->w->stats, STATS_PROXY_HEADERS, 1);
	return CONN_MORE;
}

void
peer_no_header(struct session *s, const char *why)
{
	s->end = why;
	stats_add(s->w->stats, STATS_PROXY_FAILED, 1);
}

/* A name that was given: a text, or NULL if it is unavailable. */
static const char *
peer_name(char *room, struct span name, bool known)
{
	if (name.n > 0)
		memcpy(room, name.p, name.n);
	room[name.n] = '\0';
	return known ? room : NULL;
}

/* An address that was given; "unknown" has the octets of none, so nobody counts it. */
static const char *
peer_claimed_text(char *room, const uint8_t addr[16], bool known)
{
	if (known)
		peer_text(addr, room);
	else
		memcpy(room, "unknown", sizeof("unknown"));
	return room;
}

int
peer_xclient(struct session *s, const struct xclient *x)
{
	struct peer_claims *c = s->claims != NULL ? s->claims : arena_alloc(&s->arena, sizeof(*c));

	if (c == NULL)
		return -1;
	s->claims = c;
	if (x->given & XCLIENT_ADDR) {
		if (s->proxy == NULL)
			s->proxy = s->remote;
		s->remote = peer_claimed_text(c->remote, x->addr, x->known & XCLIENT_ADDR);
		memcpy(s->addr, x->addr, sizeof(s->addr));
		/* The name and the port of another address are not this one's. */
		s->name = NULL;
		s->remote_port = 0;
	}
	if (x->given & XCLIENT_PORT)
		s->remote_port = x->port;
	if (x->given & XCLIENT_NAME)
		s->name = peer_name(c->name, x->name, x->known & XCLIENT_NAME);
	if (x->given & XCLIENT_LOGIN)
		s->user = peer_name(c->user, x->login, x->known & XCLIENT_LOGIN);
	if (x->given & XCLIENT_DESTADDR)
		s->local = peer_claimed_text(c->local, x->destaddr, x->known & XCLIENT_DESTADDR);
	if (x->given & XCLIENT_DESTPORT)
		s->local_port = x->destport;
	return 0;
}
