/*
 * dns: c-ares driven by our loop.  Its sockets are made here, non-blocking from
 * the beginning, so that a worker's sandbox needs no more calls for them.
 */
#include <ares.h>
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <bsd/string.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/ip.h"
#include "worker/net/dns_priv.h"

enum {
	DNS_TRIES = 2,     /* of each server; the second waits twice as long */
	DNS_EDNS = 1232,   /* octets of a datagram that no path breaks up (DNS flag day 2020) */
	DNS_READS = 64,    /* reads of one socket a turn before others have theirs */
	DNS_LEAST_MS = 100 /* of a first try: the grain of the loop's timers */
};

struct dns_socket {
	struct loop_src src; /* first; fd -1: free */
	struct dns *dns;
	bool writing; /* c-ares has something to send there */
};

struct dns {
	struct loop *loop;
	ares_channel channel;
	struct dns_cache *cache;
	struct loop_timer timer;
	struct loop_task task; /* something is to be sent, or more to be read */
	unsigned npending;
	bool closing;
	struct dns_answer now; /* what dns_ask() returns */
	struct dns_socket socket[DNS_SOCKETS_MAX];
};

/* What c-ares holds for a question; it outlives an asker that went. */
struct dns_pending {
	struct dns *dns;
	struct dns_query *query; /* NULL: cancelled */
	enum dns_type type;
	bool asking; /* within dns_ask() */
	bool over;   /* ... and it is already answered */
	char name[DNS_NAME_MAX];
};

static const int dns_types[] = {
	[DNS_A] = ns_t_a,
	[DNS_AAAA] = ns_t_aaaa,
	[DNS_PTR] = ns_t_ptr,
	[DNS_TXT] = ns_t_txt,
	[DNS_MX] = ns_t_mx,
};

/* --- c-ares's sockets --- */

static ares_socket_t
dns_open_socket(int family, int type, int protocol, void *arg)
{
	(void)arg;
	return socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
}

static int
dns_close_socket(ares_socket_t fd, void *arg)
{
	(void)arg;
	return close(fd);
}

static int
dns_connect(ares_socket_t fd, const struct sockaddr *ss, ares_socklen_t len, void *arg)
{
	(void)arg;
	return connect(fd, ss, len);
}

static ares_ssize_t
dns_receive(ares_socket_t fd, void *buf, size_t n, int flags, struct sockaddr *from, ares_socklen_t *len, void *arg)
{
	(void)arg;
	return recvfrom(fd, buf, n, flags, from, len);
}

/* One call a piece would be one segment a piece: a question fits one buffer. */
static ares_ssize_t
dns_send(ares_socket_t fd, const struct iovec *v, int n, void *arg)
{
	uint8_t all[2048];
	size_t used = 0;

	(void)arg;
	for (int i = 0; i < n; i++) {
		size_t k = v[i].iov_len < sizeof(all) - used ? v[i].iov_len : sizeof(all) - used;

		memcpy(all + used, v[i].iov_base, k);
		used += k;
		if (k < v[i].iov_len)
			break;
	}
	return send(fd, all, used, MSG_NOSIGNAL);
}

static const struct ares_socket_functions dns_functions = { dns_open_socket, dns_close_socket, dns_connect, dns_receive,
	dns_send };

/* c-ares tells which sockets it watches for what; both no: it closes it. */
static void
dns_socket_state(void *arg, ares_socket_t fd, int reading, int writing)
{
	struct dns *d = arg;
	struct dns_socket *s = NULL, *unused = NULL;

	for (struct dns_socket *k = d->socket; k < d->socket + DNS_SOCKETS_MAX; k++) {
		if (k->src.fd == fd)
			s = k;
		else if (k->src.fd == -1 && unused == NULL)
			unused = k;
	}
	if (s == NULL && (reading || writing)) {
		if (unused == NULL)
			return; /* its questions run into their deadline */
		s = unused;
		s->src.fd = fd;
		if (loop_watch(d->loop, &s->src) != 0)
			s->src.fd = -1;
	}
	if (s == NULL || s->src.fd == -1)
		return;
	s->writing = writing != 0;
	if (!reading && !writing) {
		loop_unwatch(d->loop, &s->src);
		s->src.fd = -1;
	} else if (writing) {
		/* A change is reported once: that it has been writable for long is not. */
		loop_later(d->loop, &d->task);
	}
}

/* --- the loop --- */

static void
dns_rearm(struct dns *d)
{
	struct timeval tv, *next = ares_timeout(d->channel, NULL, &tv);

	if (next == NULL)
		loop_timer_clear(&d->timer);
	else
		loop_timer_set(d->loop, &d->timer, (uint64_t)next->tv_sec * 1000 + (uint64_t)next->tv_usec / 1000);
}

/* Read what is there: a change is reported once, and c-ares does not always read to the end. */
static void
dns_drain(struct dns *d, struct dns_socket *s)
{
	int fd = s->src.fd;
	char c;

	for (int i = 0; i < DNS_READS && s->src.fd == fd; i++) {
		if (recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == ENOTCONN))
			return;
		ares_process_fd(d->channel, fd, ARES_SOCKET_BAD);
	}
	if (s->src.fd == fd)
		loop_later(d->loop, &d->task);
}

static void
dns_ready(struct loop_src *src, unsigned what)
{
	struct dns_socket *s = (struct dns_socket *)src;
	struct dns *d = s->dns;
	int fd = src->fd;

	if ((what & LOOP_OUT) != 0 && s->writing)
		ares_process_fd(d->channel, ARES_SOCKET_BAD, fd);
	if ((what & (LOOP_IN | LOOP_HUP)) != 0 && src->fd == fd)
		dns_drain(d, s);
	dns_rearm(d);
}

static void
dns_task(struct loop_task *t)
{
	struct dns *d = (struct dns *)((char *)t - offsetof(struct dns, task));

	for (struct dns_socket *s = d->socket; s < d->socket + DNS_SOCKETS_MAX; s++) {
		if (s->src.fd != -1 && s->writing)
			ares_process_fd(d->channel, ARES_SOCKET_BAD, s->src.fd);
		if (s->src.fd != -1)
			dns_drain(d, s);
	}
	dns_rearm(d);
}

static void
dns_late(struct loop_timer *t)
{
	struct dns *d = (struct dns *)((char *)t - offsetof(struct dns, timer));

	ares_process_fd(d->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	dns_rearm(d);
}

/* --- open and close --- */

/* All servers and tries together take no longer than the config says: t for each, then 2t for each. */
static int
dns_init(struct dns *d, unsigned nservers, uint32_t timeout_ms)
{
	char lookups[] = "b";
	uint32_t first_ms = timeout_ms / (((1u << DNS_TRIES) - 1) * nservers);
	struct ares_options o = {
		.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS,
		.timeout = first_ms < DNS_LEAST_MS ? DNS_LEAST_MS : (int)first_ms,
		.tries = DNS_TRIES,
		.lookups = lookups,
		.sock_state_cb = dns_socket_state,
		.sock_state_cb_data = d,
		.ednspsz = DNS_EDNS,
	};
	int rc = ares_init_options(&d->channel, &o,
	    ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB |
		ARES_OPT_EDNSPSZ | ARES_OPT_NOROTATE);

	if (rc != ARES_SUCCESS) {
		errno = rc == ARES_ENOMEM ? ENOMEM : EINVAL;
		return -1;
	}
	ares_set_socket_functions(d->channel, &dns_functions, NULL);
	return 0;
}

static unsigned
dns_count(ares_channel channel)
{
	struct ares_addr_port_node *all = NULL;
	unsigned n = 0;

	if (ares_get_servers_ports(channel, &all) == ARES_SUCCESS)
		for (struct ares_addr_port_node *k = all; k != NULL; k = k->next)
			n++;
	ares_free_data(all);
	return n > 0 ? n : 1;
}

struct dns *
dns_open(struct loop *l, const char *servers, uint32_t timeout_ms)
{
	struct dns *d = calloc(1, sizeof(*d));
	unsigned n = 1;
	int err;

	if (d == NULL)
		return NULL;
	d->loop = l;
	d->timer.fire = dns_late;
	d->task.run = dns_task;
	for (size_t i = 0; i < DNS_SOCKETS_MAX; i++)
		d->socket[i] = (struct dns_socket){ .src = { -1, dns_ready }, .dns = d };
	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) {
		errno = ENOMEM;
		goto err0;
	}
	if (servers != NULL) {
		for (const char *p = servers; *p != '\0'; p++)
			n += *p == ',';
	} else if (dns_init(d, 1, timeout_ms) == 0) {
		/* How many the system has is known once it was asked. */
		n = dns_count(d->channel);
		ares_destroy(d->channel);
	}
	if (dns_init(d, n, timeout_ms) != 0)
		goto err1;
	if (servers != NULL && ares_set_servers_ports_csv(d->channel, servers) != ARES_SUCCESS) {
		errno = EINVAL;
		goto err2;
	}
	d->cache = dns_cache_new();
	if (d->cache != NULL)
		return d;

err2:
	err = errno;
	ares_destroy(d->channel);
	errno = err;
err1:
	ares_library_cleanup();
err0:
	free(d);
	return NULL;
}

void
dns_close(struct dns *d)
{
	if (d == NULL)
		return;
	d->closing = true;
	ares_destroy(d->channel);
	ares_library_cleanup();
	loop_timer_clear(&d->timer);
	loop_task_clear(d->loop, &d->task);
	dns_cache_free(d->cache);
	free(d);
}

void
dns_servers(const struct dns *d, void (*server)(void *arg, const struct sockaddr *ss), void *arg)
{
	struct ares_addr_port_node *all = NULL;

	if (ares_get_servers_ports(d->channel, &all) != ARES_SUCCESS)
		return;
	for (struct ares_addr_port_node *k = all; k != NULL; k = k->next) {
		uint16_t port = htons(k->udp_port != 0 ? (uint16_t)k->udp_port : NS_DEFAULTPORT);
		struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = port, .sin_addr = k->addr.addr4 };
		struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = port };

		memcpy(&in6.sin6_addr, &k->addr.addr6, sizeof(in6.sin6_addr));
		if (k->family == AF_INET)
			server(arg, (const struct sockaddr *)&in);
		else
			server(arg, (const struct sockaddr *)&in6);
	}
	ares_free_data(all);
}

/* --- questions --- */

/* Every question ends here, once: answered, given up, or with the channel. */
static void
dns_answered(void *arg, int status, int timeouts, unsigned char *abuf, int alen)
{
	struct dns_pending *p = arg;
	struct dns *d = p->dns;
	struct dns_query *q = p->query;
	struct dns_answer a;

	(void)timeouts;
	d->npending--;
	if (status == ARES_SUCCESS)
		dns_read(p->type, span_of(abuf, (size_t)alen), &a);
	else if (status == ARES_ENOTFOUND || status == ARES_ENODATA)
		a = (struct dns_answer){ .status = DNS_NOTHING, .ttl_s = DNS_TTL_NONE_S };
	else
		a = (struct dns_answer){ .status = DNS_FAILED, .why = ares_strerror(status) };
	if (!d->closing)
		dns_cache_put(d->cache, p->type, p->name, &a, loop_now_ms(d->loop));
	if (p->asking) {
		d->now = a;
		p->over = true;
		return;
	}
	free(p);
	if (q != NULL) {
		q->pending = NULL;
		q->done(q, &a);
	}
}

static const struct dns_answer *
dns_fail(struct dns *d, const char *why)
{
	d->now = (struct dns_answer){ .status = DNS_FAILED, .why = why };
	return &d->now;
}

const struct dns_answer *
dns_ask(struct dns *d, struct dns_query *q, enum dns_type type, const char *name)
{
	const struct dns_answer *known;
	struct dns_pending *p;
	char lower[DNS_NAME_MAX];
	size_t n = strlcpy(lower, name, sizeof(lower));

	q->pending = NULL;
	if (n >= sizeof(lower))
		return dns_fail(d, "the name is too long");
	for (size_t i = 0; i < n; i++)
		lower[i] = (char)ascii_lower((uint8_t)lower[i]);
	known = dns_cache_find(d->cache, type, lower, loop_now_ms(d->loop));
	if (known != NULL)
		return known;
	if (d->npending >= DNS_PENDING_MAX)
		return dns_fail(d, "too many questions are under way");
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return dns_fail(d, "out of memory");
	p->dns = d;
	p->query = q;
	p->type = type;
	p->asking = true;
	memcpy(p->name, lower, n + 1);
	d->npending++;
	ares_query(d->channel, p->name, ns_c_in, dns_types[type], dns_answered, p);
	p->asking = false;
	if (p->over) {
		free(p);
		return &d->now;
	}
	q->pending = p;
	dns_rearm(d);
	return NULL;
}

void
dns_cancel(struct dns_query *q)
{
	if (q->pending != NULL)
		q->pending->query = NULL;
	q->pending = NULL;
}

int
dns_reverse(const uint8_t addr[16], const char *suffix, char *out)
{
	bool v4 = ip_is4(addr);
	size_t n = 0, len;

	if (suffix == NULL)
		suffix = v4 ? "in-addr.arpa" : "ip6.arpa";
	for (int i = 15; i >= (v4 ? 12 : 0); i--)
		n += (size_t)snprintf(out + n, DNS_NAME_MAX - n, v4 ? "%u." : "%x.%x.",
		    v4 ? (unsigned)addr[i] : addr[i] & 15u, addr[i] >> 4u);
	len = strlcpy(out + n, suffix, DNS_NAME_MAX - n);
	return len < DNS_NAME_MAX - n ? 0 : -1;
}
