/*
 * unique: a clock, a process and a count, written as Maildir readers expect.
 */
#include "worker/store/unique.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/decimal.h"

/* A comma would look like the start of the size, a colon like Maildir's flags. */
static bool
plain(char c)
{
	return c > ' ' && c < 0x7f && c != '/' && c != ':' && c != ',' && c != '\\';
}

void
unique_init(struct unique *u, const char *host, unsigned slot)
{
	size_t n = 0;

	for (const char *p = host; *p != '\0' && n + 5 <= sizeof(u->host); p++) {
		if (plain(*p))
			u->host[n++] = *p;
		else
			n += (size_t)snprintf(u->host + n, 5, "\\%03o", (unsigned)(unsigned char)*p);
	}
	u->host[n] = '\0';
	u->pid = (unsigned)getpid();
	u->slot = slot;
	atomic_init(&u->count, 0);
}

void
unique_next(struct unique *u, struct unique_name *n)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	n->sec = ts.tv_sec;
	n->usec = (uint32_t)(ts.tv_nsec / 1000);
	n->n = atomic_fetch_add_explicit(&u->count, 1, memory_order_relaxed) + 1;
}

/* Digits of three numbers of 64 bits and three of 32, the marks ".M" "P" "Q" "_" "." ",S=", the host with its NUL. */
_Static_assert(3 * DECIMAL_MAX + 3 * 10 + 9 + UNIQUE_HOST_MAX <= UNIQUE_MAX, "a name has room");

/* ${text} with its NUL at ${p}.  At that NUL. */
static char *
put_text(char *p, const char *text)
{
	size_t n = strlen(text);

	memcpy(p, text, n + 1);
	return p + n;
}

/* ${mark} and a number at ${p}.  Behind it. */
static char *
put_number(char *p, const char *mark, uint64_t v, size_t width)
{
	p = put_text(p, mark);
	return p + decimal(p, v, width);
}

/* The name in tmp/, all but its NUL.  Behind it. */
static char *
put_name(const struct unique *u, const struct unique_name *n, char *p)
{
	p = put_number(p, "", n->sec < 0 ? 0 : (uint64_t)n->sec, 1);
	p = put_number(p, ".M", n->usec, 6);
	p = put_number(p, "P", u->pid, 1);
	p = put_number(p, "Q", n->n, 1);
	p = put_number(p, "_", u->slot, 1);
	p = put_text(p, ".");
	return put_text(p, u->host);
}

void
unique_tmp(const struct unique *u, const struct unique_name *n, char out[static UNIQUE_MAX])
{
	*put_name(u, n, out) = '\0';
}

void
unique_new(const struct unique *u, const struct unique_name *n, uint64_t size, char out[static UNIQUE_MAX])
{
	*put_number(put_name(u, n, out), ",S=", size, 1) = '\0';
}

/* Skip ${mark} and at least one digit; NULL when it does not stand there. */
static const char *
skip_number(const char *p, const char *mark)
{
	size_t n = strlen(mark), digits;

	if (p == NULL || strncmp(p, mark, n) != 0)
		return NULL;
	digits = strspn(p + n, "0123456789");
	return digits > 0 ? p + n + digits : NULL;
}

bool
unique_ours(const struct unique *u, const char *name)
{
	static const char *const mark[] = { "", ".M", "P", "Q", "_" };
	const char *p = name;

	for (size_t i = 0; i < sizeof(mark) / sizeof(mark[0]); i++)
		p = skip_number(p, mark[i]);
	return p != NULL && *p == '.' && strcmp(p + 1, u->host) == 0;
}
