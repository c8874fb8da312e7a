/*
 * setup_fields: what is asked for, its defaults, and when an answer will do.
 * A value is judged by the parser of the config itself wherever that has a
 * word on it, so that what is taken here is taken by -t.
 */
#include <errno.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/entry.h"
#include "common/pem.h"
#include "master/setup.h"

static const struct {
	const char *flag, *system,
	    *under; /* defaults: the system's, below the folder of --under; NULL: see setup_default() */
} fields[SETUP_FIELDS] = {
	[SETUP_CONFIG] = { "config", "/etc/letterplate/letterplate.conf", "letterplate.conf" },
	[SETUP_HOSTNAME] = { "hostname", NULL, NULL },
	[SETUP_DOMAINS] = { "domains", NULL, NULL },
	[SETUP_POSTMASTER] = { "postmaster", NULL, NULL },
	[SETUP_CERTIFICATE] = { "certificate", NULL, NULL },
	[SETUP_KEY] = { "key", NULL, NULL },
	[SETUP_LISTEN] = { "listen", NULL, NULL },
	[SETUP_STORE] = { "store", "/var/mail/letterplate", "mail" },
	[SETUP_DIRECTORY] = { "directory", "/var/lib/letterplate", "directory" },
	[SETUP_STATE_DIR] = { "state-dir", "/run/letterplate", "state" },
	[SETUP_USER] = { "user", NULL, NULL },
};

const char *
setup_flag(enum setup_field f)
{
	return fields[f].flag;
}

const char *
setup_word(const char **rest, size_t *n)
{
	const char *s = *rest + strspn(*rest, " \t,");

	*n = strcspn(s, " \t,");
	*rest = s + *n;
	return *n > 0 ? s : NULL;
}

/* --- defaults --- */

static char *
own_name(void)
{
	char host[256] = "";

	if (gethostname(host, sizeof(host) - 1) != 0 || strchr(host, '.') == NULL ||
	    !addr_domain_ok(span_str(host), false))
		return NULL;
	return strdup(host);
}

static bool
has_ipv6(void)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6 };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok = fd >= 0 && bind(fd, (const struct sockaddr *)&any, sizeof(any)) == 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

char *
setup_default(const struct setup *s, enum setup_field f)
{
	const char *domains = s->value[SETUP_DOMAINS], *first;
	char *text = NULL;
	size_t n = 0;

	switch (f) {
	case SETUP_CONFIG:
	case SETUP_STORE:
	case SETUP_DIRECTORY:
	case SETUP_STATE_DIR:
		if (s->under == NULL)
			return strdup(fields[f].system);
		return asprintf(&text, "%s/%s", s->under, fields[f].under) == -1 ? NULL : text;
	case SETUP_HOSTNAME:
		return own_name();
	case SETUP_DOMAINS:
		return NULL;
	case SETUP_POSTMASTER:
		first = domains != NULL ? setup_word(&domains, &n) : NULL;
		if (first == NULL) /* what is wrong then is told of the domains */
			return domains != NULL ? strdup("") : NULL;
		return asprintf(&text, "postmaster@%.*s", (int)n, first) == -1 ? NULL : text;
	case SETUP_CERTIFICATE:
	case SETUP_KEY:
		return s->no_tls ? strdup("") : NULL;
	case SETUP_LISTEN:
		if (!s->root)
			return strdup("127.0.0.1:2525");
		return strdup(has_ipv6() ? "0.0.0.0:25,[::]:25" : "0.0.0.0:25");
	case SETUP_USER:
		return strdup(s->root ? "letterplate" : "");
	case SETUP_FIELDS:
		break;
	}
	return NULL;
}

/* --- checks --- */

/* The first mistake that the config's parser tells, without the place. */
static void
keep_first(void *arg, const char *line)
{
	char *why = arg;
	const char *text = strstr(line, ": ");

	if (*why == '\0')
		snprintf(why, SETUP_WHY_MAX, "%s", text != NULL ? text + 2 : line);
}

/* Whether a config with this value alone is right. */
static int
parses(const struct setup *s, enum setup_field f, char *why)
{
	struct setup alone = { .root = s->root };
	struct conf *cf = NULL;
	char *text;
	int rc = EX_DATAERR;

	alone.value[f == SETUP_KEY ? SETUP_CERTIFICATE : f] = s->value[f];
	text = setup_text(&alone);
	*why = '\0';
	if (text == NULL)
		snprintf(why, SETUP_WHY_MAX, "%s", strerror(errno));
	else if (conf_parse("setup", text, strlen(text), keep_first, why, &cf) == 0)
		rc = 0;
	conf_free(cf);
	free(text);
	return rc;
}

static bool
full_name(const char *name, size_t n)
{
	const char *dot = memrchr(name, '.', n);

	/* A last label of digits alone is an IPv4 address's. */
	return addr_domain_ok(span_of(name, n), true) && dot != NULL && dot + 1 < name + n &&
	    strspn(dot + 1, "0123456789") != (size_t)(name + n - dot - 1);
}

static int
check_hostname(const struct setup *s, char *why)
{
	const char *v = s->value[SETUP_HOSTNAME];

	if (full_name(v, strlen(v)))
		return parses(s, SETUP_HOSTNAME, why);
	snprintf(
	    why, SETUP_WHY_MAX, "\"%s\" is no full name; write the one that the MX record has, like mx.example.org", v);
	return EX_DATAERR;
}

static int
check_domains(const struct setup *s, char *why)
{
	const char *rest = s->value[SETUP_DOMAINS], *w;
	bool any = false;
	size_t n;

	for (; (w = setup_word(&rest, &n)) != NULL; any = true)
		if (!full_name(w, n)) {
			snprintf(why, SETUP_WHY_MAX,
			    "\"%.*s\" is no domain name; write what stands behind the @ of the addresses", (int)n, w);
			return EX_DATAERR;
		}
	if (any)
		return 0;
	snprintf(why, SETUP_WHY_MAX, "at least one is needed: without a domain no mail is taken");
	return EX_DATAERR;
}

static int
check_postmaster(const struct setup *s, char *why)
{
	const char *v = s->value[SETUP_POSTMASTER], *rest = s->value[SETUP_DOMAINS], *w;
	char key[NORM_KEY_MAX + 1], ours[NORM_KEY_MAX];
	ssize_t len;
	size_t n;

	if (entry_key(span_str(v), key, &n, why, SETUP_WHY_MAX) != 0)
		return EX_DATAERR;
	key[n] = '\0';
	while (*key != '@' && (w = setup_word(&rest, &n)) != NULL) {
		len = norm_domain(span_of(w, n), ours, sizeof(ours));
		if (len > 0 && span_eq(span_of(ours, (size_t)len), span_str(strrchr(key, '@') + 1)))
			return parses(s, SETUP_POSTMASTER, why);
	}
	snprintf(why, SETUP_WHY_MAX, "\"%s\" is no address in the domains (%s); nothing is relayed elsewhere", v,
	    s->value[SETUP_DOMAINS]);
	return EX_DATAERR;
}

static int
check_path(const struct setup *s, enum setup_field f, char *why)
{
	return *s->value[f] == '/'
	    ? parses(s, f, why)
	    : (snprintf(why, SETUP_WHY_MAX, "\"%s\" is no absolute path", s->value[f]), EX_DATAERR);
}

/* A file of PEM; its absolute path takes the value's place nowhere: relative ones are refused by the config. */
static int
check_file(const struct setup *s, enum setup_field f, char **text, size_t *n, char *why)
{
	const char *path = s->value[f];

	if (*path != '/') {
		snprintf(why, SETUP_WHY_MAX, "\"%s\" is no absolute path", path);
		return EX_DATAERR;
	}
	if (conf_read(path, text, n) == 0)
		return parses(s, f, why);
	snprintf(why, SETUP_WHY_MAX, "%s: %s", path, strerror(errno));
	return EX_NOINPUT;
}

static int
check_certificate(const struct setup *s, char *why)
{
	STACK_OF(X509) *chain = NULL;
	const char *bad = NULL;
	char *text = NULL;
	X509 *leaf;
	size_t n;
	int rc;

	if (*s->value[SETUP_CERTIFICATE] == '\0')
		return 0;
	rc = check_file(s, SETUP_CERTIFICATE, &text, &n, why);
	if (rc != 0)
		goto out;
	leaf = pem_certificates(span_of(text, n), &chain, &bad);
	rc = EX_DATAERR;
	if (leaf == NULL)
		snprintf(why, SETUP_WHY_MAX, "%s: %s", s->value[SETUP_CERTIFICATE], bad);
	else if (!pem_is_for(leaf, s->value[SETUP_HOSTNAME]))
		snprintf(why, SETUP_WHY_MAX,
		    "%s is not for %s: have that name put into it (subjectAltName), or take the one that has it",
		    s->value[SETUP_CERTIFICATE], s->value[SETUP_HOSTNAME]);
	else
		rc = 0;
	X509_free(leaf);
	sk_X509_pop_free(chain, X509_free);
out:
	free(text);
	return rc;
}

/* The key, and whether it is the certificate's. */
static int
check_key(const struct setup *s, char *why)
{
	char *certificate = NULL, *key = NULL, says[PEM_WHY_MAX];
	size_t nc, nk;
	int rc;

	if (*s->value[SETUP_CERTIFICATE] == '\0' && *s->value[SETUP_KEY] == '\0')
		return 0;
	if (*s->value[SETUP_CERTIFICATE] == '\0' || *s->value[SETUP_KEY] == '\0') {
		snprintf(why, SETUP_WHY_MAX, "a certificate and its key go together");
		return EX_DATAERR;
	}
	rc = check_file(s, SETUP_KEY, &key, &nk, why);
	if (rc == 0)
		rc = check_file(s, SETUP_CERTIFICATE, &certificate, &nc, why);
	if (rc == 0) {
		rc = pem_check(span_of(certificate, nc), span_of(key, nk), SPAN(""), time(NULL), says, sizeof(says));
		if (rc != 0)
			snprintf(why, SETUP_WHY_MAX, "%s", says);
		rc = rc < 0 ? EX_DATAERR : rc;
	}
	if (key != NULL)
		explicit_bzero(key, nk);
	free(certificate);
	free(key);
	return rc;
}

static int
check_user(const struct setup *s, char *why)
{
	const char *v = s->value[SETUP_USER];
	const struct passwd *pw;

	if (!s->root)
		return 0;
	pw = getpwnam(v);
	if (pw != NULL && pw->pw_uid == 0) {
		snprintf(why, SETUP_WHY_MAX, "\"%s\" is root, which workers must not be", v);
		return EX_DATAERR;
	}
	if (pw != NULL)
		return parses(s, SETUP_USER, why);
	snprintf(why, SETUP_WHY_MAX,
	    "there is no user \"%s\"; make it: useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin %s",
	    v, v);
	return EX_NOUSER;
}

int
setup_check(const struct setup *s, enum setup_field f, char *why)
{
	switch (f) {
	case SETUP_HOSTNAME:
		return check_hostname(s, why);
	case SETUP_DOMAINS:
		return check_domains(s, why);
	case SETUP_POSTMASTER:
		return check_postmaster(s, why);
	case SETUP_CERTIFICATE:
		return check_certificate(s, why);
	case SETUP_KEY:
		return check_key(s, why);
	case SETUP_LISTEN:
		return parses(s, f, why);
	case SETUP_STORE:
	case SETUP_DIRECTORY:
	case SETUP_STATE_DIR:
		return check_path(s, f, why);
	case SETUP_USER:
		return check_user(s, why);
	case SETUP_CONFIG:
	case SETUP_FIELDS:
		break;
	}
	return 0;
}
