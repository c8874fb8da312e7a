/*
 * conf_value: the notations of the config file: numbers, sizes, durations,
 * networks, addresses, paths.  Nothing is fixed up and nothing is looked up;
 * a value is written as documented or it is refused.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include <bsd/string.h>

#include "common/conf_priv.h"
#include "common/ip.h"
#include "common/span.h"

/* Digits at the start of ${s}; how many there were, 0 also for a number that is too large. */
static size_t
digits(const char *s, uint64_t *out)
{
	size_t n = 0;

	*out = 0;
	for (; s[n] >= '0' && s[n] <= '9'; n++)
		if (__builtin_mul_overflow(*out, 10, out) || __builtin_add_overflow(*out, (uint64_t)(s[n] - '0'), out))
			return 0;
	return n;
}

int
conf_value_u64(const char *s, uint64_t *out)
{
	size_t n = digits(s, out);

	return n > 0 && s[n] == '\0' ? 0 : -1;
}

struct unit {
	const char *name;
	uint64_t factor;
};

static int
with_unit(const char *s, const struct unit *unit, size_t nunit, uint64_t *out)
{
	uint64_t v;
	size_t n = digits(s, &v);

	if (n == 0)
		return -1;
	for (size_t i = 0; i < nunit; i++)
		if (strcmp(s + n, unit[i].name) == 0)
			return __builtin_mul_overflow(v, unit[i].factor, out) ? -1 : 0;
	return -1;
}

int
conf_value_size(const char *s, uint64_t *octets)
{
	static const struct unit unit[] = { { "B", 1 }, { "KiB", 1 << 10 }, { "MiB", 1 << 20 }, { "GiB", 1 << 30 } };

	return with_unit(s, unit, sizeof unit / sizeof *unit, octets);
}

int
conf_value_duration(const char *s, uint64_t *ms)
{
	static const struct unit unit[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60 * 1000 }, { "h", 60 * 60 * 1000 } };

	return with_unit(s, unit, sizeof unit / sizeof *unit, ms);
}

int
conf_value_bool(const char *s, bool *out)
{
	static const char *const words[] = { "no", "yes", "off", "on", "false", "true" };

	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		if (strcmp(s, words[i]) == 0) {
			*out = i % 2 == 1;
			return 0;
		}
	}
	return -1;
}

int
conf_value_word(const char *s, const char *words, unsigned *out)
{
	size_t n = strlen(s);

	for (unsigned i = 0; n > 0 && *words != '\0'; i++) {
		size_t w = strcspn(words, " ");

		if (w == n && memcmp(s, words, n) == 0) {
			*out = i;
			return 0;
		}
		words += w + strspn(words + w, " ");
	}
	return -1;
}

/* An IP address of 16 octets, IPv4 mapped.  How many leading bits are the mapping's (0 or 96), -1 if it is none. */
static int
ip(const char *s, uint8_t addr[16])
{
	if (ip_parse(AF_INET, span_str(s), addr))
		return 8 * IP_MAPPED;
	return ip_parse(AF_INET6, span_str(s), addr) ? 0 : -1;
}

static bool
host_bits(const struct conf_net *net)
{
	for (size_t bit = net->bits; bit < 128; bit++)
		if ((net->addr[bit / 8] & (0x80 >> bit % 8)) != 0)
			return true;
	return false;
}

const char *
conf_value_net(const char *s, struct conf_net *out)
{
	char host[INET6_ADDRSTRLEN];
	const char *slash = strchr(s, '/');
	size_t n = slash != NULL ? (size_t)(slash - s) : strlen(s);
	uint64_t bits = 0;
	int base;

	if (n >= sizeof host)
		return "no network; write it like 10.0.0.0/8 or 2001:db8::/32";
	memcpy(host, s, n);
	host[n] = '\0';
	base = ip(host, out->addr);
	if (base < 0)
		return "no network; write it like 10.0.0.0/8 or 2001:db8::/32";
	if (slash == NULL)
		bits = 128 - (unsigned)base;
	else if (conf_value_u64(slash + 1, &bits) != 0 || bits > 128 - (unsigned)base)
		return base == 96 ? "the prefix length must be 0 to 32" : "the prefix length must be 0 to 128";
	out->bits = (uint8_t)(bits + (unsigned)base);
	return host_bits(out) ? "an octet behind the prefix is not 0; a network has no host part" : NULL;
}

bool
conf_nets_have(const struct conf_nets *nets, const uint8_t addr[16])
{
	for (size_t i = 0; i < nets->n; i++) {
		const struct conf_net *net = &nets->net[i];
		size_t whole = net->bits / 8, rest = net->bits % 8;

		if (memcmp(net->addr, addr, whole) == 0 &&
		    (rest == 0 || ((net->addr[whole] ^ addr[whole]) >> (8 - rest)) == 0))
			return true;
	}
	return false;
}

const char *
conf_value_path(const char *s)
{
	if (s[0] != '/')
		return "not an absolute path; it must begin with a slash";
	if (strlen(s) > CONF_PATH_MAX)
		return "a path of more than 1024 octets";
	return NULL;
}

static const char *
unix_address(const char *path, struct conf_address *out)
{
	struct sockaddr_un *sun = (struct sockaddr_un *)&out->ss;
	size_t n = strlen(path);

	if (path[0] != '/' || path[n - 1] == '/')
		return "the path of a unix socket must be absolute and name a file";
	sun->sun_family = AF_UNIX;
	if (strlcpy(sun->sun_path, path, sizeof sun->sun_path) >= sizeof sun->sun_path)
		return "the path of a unix socket may have 107 octets at most";
	out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
	return NULL;
}

static const char *
port_of(const char *s, in_port_t *out)
{
	uint64_t port;

	if (conf_value_u64(s, &port) != 0 || port > 65535)
		return "the port must be a number, 1 to 65535";
	if (port == 0)
		return "port 0 is refused: nobody would know where to connect; the port must be 1 to 65535";
	*out = htons((in_port_t)port);
	return NULL;
}

#define ADDRESS_FORM "no address; write it like 192.0.2.1:25, [2001:db8::1]:25, 0.0.0.0:25, [::]:25 or unix:/path"

static const char *
inet6_address(const char *s, struct conf_address *out)
{
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)&out->ss;
	char host[INET6_ADDRSTRLEN];
	size_t n = strcspn(s + 1, "]");

	if (s[1 + n] != ']' || s[2 + n] != ':' || n >= sizeof host)
		return ADDRESS_FORM;
	memcpy(host, s + 1, n);
	host[n] = '\0';
	if (inet_pton(AF_INET6, host, &sin6->sin6_addr) != 1)
		return ADDRESS_FORM;
	if (IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr))
		return "an IPv4 address in IPv6 clothes; write it like 192.0.2.1:25";
	sin6->sin6_family = AF_INET6;
	out->len = sizeof *sin6;
	return port_of(s + n + 3, &sin6->sin6_port);
}

const char *
conf_value_address(const char *s, struct conf_address *out)
{
	struct sockaddr_in *sin = (struct sockaddr_in *)&out->ss;
	char host[INET_ADDRSTRLEN];
	const char *colon = strrchr(s, ':');

	memset(&out->ss, 0, sizeof out->ss);
	if (strncmp(s, "unix:", 5) == 0)
		return s[5] == '\0' ? ADDRESS_FORM : unix_address(s + 5, out);
	if (s[0] == '[')
		return inet6_address(s, out);
	if (colon == NULL || (size_t)(colon - s) >= sizeof host)
		return ADDRESS_FORM;
	memcpy(host, s, (size_t)(colon - s));
	host[colon - s] = '\0';
	if (inet_pton(AF_INET, host, &sin->sin_addr) != 1)
		return ADDRESS_FORM;
	sin->sin_family = AF_INET;
	out->len = sizeof *sin;
	return port_of(colon + 1, &sin->sin_port);
}

static bool
is_any(const struct conf_address *a)
{
	const struct sockaddr_in *sin = (const struct sockaddr_in *)&a->ss;
	const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)&a->ss;

	return a->ss.ss_family == AF_INET ? sin->sin_addr.s_addr == htonl(INADDR_ANY)
					  : a->ss.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&sin6->sin6_addr);
}

const char *
conf_value_clash(const struct conf_address *a, const struct conf_address *b)
{
	/* The port lies at the same place in both families. */
	const struct sockaddr_in *pa = (const struct sockaddr_in *)&a->ss, *pb = (const struct sockaddr_in *)&b->ss;

	if (a->ss.ss_family != b->ss.ss_family)
		return NULL;
	if (a->len == b->len && memcmp(&a->ss, &b->ss, a->len) == 0)
		return "is the same address as";
	if (a->ss.ss_family == AF_UNIX || pa->sin_port != pb->sin_port)
		return NULL;
	if (is_any(a))
		return "covers";
	return is_any(b) ? "is covered by" : NULL;
}
