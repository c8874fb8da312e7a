/*
 * credential: reading and writing the file; hashes are credential_hash.c's.
 *	letterplate-credentials 1 SECRET
 *	NAME scrypt LOGN R P SALT HASH [scram-sha-256 ITERATIONS SALT STOREDKEY SERVERKEY]
 *	end N
 * Octets are in hex.  The last line tells that nothing is missing.
 */
#include "common/credential.h"

#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/saslprep.h"

enum { WORDS_MAX = 12 };

bool
credential_user_ok(struct span u)
{
	if (u.n == 0 || u.n > CREDENTIAL_USER_MAX)
		return false;
	for (size_t i = 0; i < u.n; i++)
		if (u.p[i] <= ' ' || u.p[i] == 0x7f || ascii_lower(u.p[i]) != u.p[i])
			return false;
	return true;
}

size_t
credential_name(struct span in, bool stored, char out[CREDENTIAL_USER_MAX + 1])
{
	ssize_t n = saslprep(in, out, CREDENTIAL_USER_MAX, stored);

	for (ssize_t i = 0; i < n; i++)
		out[i] = (char)ascii_lower((uint8_t)out[i]);
	if (n <= 0 || !credential_user_ok(span_of(out, (size_t)n)))
		return 0;
	out[n] = '\0';
	return (size_t)n;
}

void
credential_list_init(struct credentials *l)
{
	*l = (struct credentials){ .n = 0 };
	arc4random_buf(l->secret, sizeof l->secret);
}

static int
order(struct span user, const char *other)
{
	size_t n = strlen(other), both = user.n < n ? user.n : n;
	int d = memcmp(user.p, other, both);

	return d != 0 ? d : user.n < n ? -1 : user.n > n;
}

/* Where ${user} stands or belongs. */
static size_t
place(const struct credentials *l, struct span user, bool *there)
{
	size_t low = 0, high = l->n;

	*there = false;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int d = order(user, l->c[mid].user);

		if (d == 0) {
			*there = true;
			return mid;
		}
		if (d < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

struct credential *
credential_list_find(const struct credentials *l, struct span user)
{
	bool there;
	size_t i = place(l, user, &there);

	return there ? &l->c[i] : NULL;
}

/* Room for twice as many.  realloc() would leave hashes behind where they were. */
static bool
grow(struct credentials *l)
{
	struct credential *c = reallocarray(NULL, l->n > 0 ? 2 * l->n : 1, sizeof *c);

	if (c == NULL)
		return false;
	if (l->n > 0) {
		memcpy(c, l->c, l->n * sizeof *c);
		explicit_bzero(l->c, l->n * sizeof *c);
	}
	free(l->c);
	l->c = c;
	return true;
}

struct credential *
credential_list_add(struct credentials *l, struct span user)
{
	bool there;
	size_t i = place(l, user, &there);
	struct credential *c;
	char *name;

	if (there)
		return &l->c[i];
	name = strndup((const char *)user.p, user.n);
	if (name == NULL || ((l->n & (l->n - 1)) == 0 && !grow(l))) {
		free(name);
		return NULL;
	}
	c = l->c;
	memmove(&c[i + 1], &c[i], (l->n - i) * sizeof *c);
	c[i] = (struct credential){ .user = name };
	l->n++;
	return &c[i];
}

void
credential_list_remove(struct credentials *l, struct credential *c)
{
	size_t i = (size_t)(c - l->c);

	free(c->user);
	memmove(c, c + 1, (l->n - i - 1) * sizeof *c);
	l->n--;
	explicit_bzero(&l->c[l->n], sizeof *c);
}

void
credential_list_free(struct credentials *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->c[i].user);
	if (l->c != NULL)
		explicit_bzero(l->c, l->n * sizeof *l->c);
	free(l->c);
	explicit_bzero(l, sizeof *l);
}

/* --- reading --- */

static bool
unhex(const char *s, uint8_t *out, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	if (strlen(s) != 2 * n)
		return false;
	for (size_t i = 0; i < 2 * n; i++) {
		const char *d = strchr(digits, s[i]);

		if (d == NULL)
			return false;
		out[i / 2] = (uint8_t)(i % 2 == 0 ? (d - digits) << 4 : out[i / 2] | (d - digits));
	}
	return true;
}

static bool
number(const char *s, long long min, long long max, unsigned *out)
{
	const char *bad;

	*out = (unsigned)strtonum(s, min, max, &bad);
	return bad == NULL;
}

/* The words of a row, without the name.  What was read stays in *c also when it is none. */
static bool
read_hashes(char **word, unsigned n, struct credential *c)
{
	if ((n != 7 && n != 12) || strcmp(word[1], "scrypt") != 0 ||
	    !number(word[2], 10, CREDENTIAL_LOG_N_MAX, &c->log_n) || !number(word[3], 1, CREDENTIAL_R, &c->r) ||
	    !number(word[4], 1, 4, &c->p) || !unhex(word[5], c->salt, sizeof c->salt) ||
	    !unhex(word[6], c->hash, sizeof c->hash))
		return false;
	return n == 7 ||
	    (strcmp(word[7], "scram-sha-256") == 0 && number(word[8], 4096, 10000000, &c->iterations) &&
		unhex(word[9], c->scram_salt, sizeof c->scram_salt) && unhex(word[10], c->stored, sizeof c->stored) &&
		unhex(word[11], c->server, sizeof c->server));
}

static bool
read_row(struct credentials *l, char **word, unsigned n)
{
	struct span user = span_str(word[0]);
	struct credential c = { .user = NULL }, *row = NULL;

	/* Sorted, and none twice. */
	if (read_hashes(word, n, &c) && credential_user_ok(user) && (l->n == 0 || order(user, l->c[l->n - 1].user) > 0))
		row = credential_list_add(l, user);
	if (row != NULL) {
		c.user = row->user;
		*row = c;
	}
	explicit_bzero(&c, sizeof c);
	return row != NULL;
}

/* One line.  True; *end: it was the last. */
static bool
read_line(struct credentials *l, char *line, unsigned nth, bool *end)
{
	char *word[WORDS_MAX + 1] = { NULL }, *p = line, *w;
	unsigned n = 0, count;

	while (n <= WORDS_MAX && (w = strsep(&p, " ")) != NULL)
		word[n++] = w;
	if (nth == 1)
		return n == 3 && strcmp(word[0], "letterplate-credentials") == 0 && strcmp(word[1], "1") == 0 &&
		    unhex(word[2], l->secret, sizeof l->secret);
	*end = n == 2 && strcmp(word[0], "end") == 0;
	if (*end)
		return number(word[1], 0, CREDENTIAL_FILE_MAX, &count) && count == l->n;
	return read_row(l, word, n);
}

static int
read_text(struct credentials *l, char *text, char *why, size_t cap)
{
	bool end = false;
	unsigned nth = 0;
	char *line;

	while (!end && (line = strsep(&text, "\n")) != NULL) {
		nth++;
		if (!read_line(l, line, nth, &end)) {
			snprintf(why, cap, "line %u is none that letterplate-credentials writes", nth);
			return -1;
		}
	}
	if (end && text != NULL && *text == '\0')
		return 0;
	snprintf(why, cap, "its end is missing");
	return -1;
}

int
credential_list_read(int fd, struct credentials *l, char *why, size_t cap)
{
	struct stat st;
	char *text;
	ssize_t n;
	int rc;

	*l = (struct credentials){ .n = 0 };
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > CREDENTIAL_FILE_MAX) {
		snprintf(why, cap, "it is no file of at most %d MiB", CREDENTIAL_FILE_MAX >> 20);
		return -1;
	}
	text = malloc((size_t)st.st_size + 1);
	n = text != NULL ? pread(fd, text, (size_t)st.st_size, 0) : -1;
	if (text == NULL || n != st.st_size) {
		snprintf(why, cap, "%s", n < 0 ? strerror(errno) : "it was cut short");
		free(text);
		return -1;
	}
	text[n] = '\0';
	snprintf(why, cap, "there is a NUL in it");
	rc = strlen(text) == (size_t)n ? read_text(l, text, why, cap) : -1;
	explicit_bzero(text, (size_t)n);
	free(text);
	if (rc != 0)
		credential_list_free(l);
	return rc;
}

/* --- writing --- */

static void
hex(FILE *to, const uint8_t *p, size_t n)
{
	fputc(' ', to);
	for (size_t i = 0; i < n; i++)
		fprintf(to, "%02x", p[i]);
}

int
credential_list_write(const struct credentials *l, FILE *to)
{
	fputs("letterplate-credentials 1", to);
	hex(to, l->secret, sizeof l->secret);
	for (size_t i = 0; i < l->n; i++) {
		const struct credential *c = &l->c[i];

		fprintf(to, "\n%s scrypt %u %u %u", c->user, c->log_n, c->r, c->p);
		hex(to, c->salt, sizeof c->salt);
		hex(to, c->hash, sizeof c->hash);
		if (c->iterations == 0)
			continue;
		fprintf(to, " scram-sha-256 %u", c->iterations);
		hex(to, c->scram_salt, sizeof c->scram_salt);
		hex(to, c->stored, sizeof c->stored);
		hex(to, c->server, sizeof c->server);
	}
	fprintf(to, "\nend %zu\n", l->n);
	return fflush(to) == 0 && !ferror(to) ? 0 : -1;
}
