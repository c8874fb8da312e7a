/*
 * setup_ask: the dialogue.  A question for each field that no flag has said,
 * with what an empty line stands for in brackets; a wrong answer is told why
 * and asked for again.  Nothing is written before the last yes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "master/setup.h"

static const char *const question[SETUP_FIELDS] = {
	[SETUP_HOSTNAME] = "How do others know this machine (the name in its MX record)?",
	[SETUP_DOMAINS] = "Whose mail comes here (domains, with commas between)?",
	[SETUP_POSTMASTER] = "Who gets mail for postmaster?",
	[SETUP_CERTIFICATE] = "File with the certificate and its chain (PEM; \"none\": no TLS)?",
	[SETUP_KEY] = "File with its private key?",
	[SETUP_LISTEN] = "On which addresses to listen?",
	[SETUP_STORE] = "Where to store mail?",
};

/* An answer, malloc()ed and without blanks around it; NULL at the end of input. */
static char *
answer(void)
{
	char line[SETUP_VALUE_MAX], *s = line;
	size_t n;

	fflush(stdout);
	if (fgets(line, sizeof(line), stdin) == NULL)
		return NULL;
	s += strspn(s, " \t");
	n = strlen(s);
	while (n > 0 && strchr(" \t\r\n", s[n - 1]) != NULL)
		n--;
	s[n] = '\0';
	return strdup(s);
}

static int
cancelled(void)
{
	fputs("\nletterplate setup: no answer; nothing was written\n", stderr);
	return EX_NOINPUT;
}

/* What an empty line stands for.  The folders of certbot have the name that was just said. */
static char *
suggestion(const struct setup *s, enum setup_field f)
{
	static const char *const file[] = { "fullchain.pem", "privkey.pem" };
	char *path = NULL;
	const char *dot;

	if (f == SETUP_DOMAINS) {
		dot = strchr(s->value[SETUP_HOSTNAME], '.');
		return strdup(dot != NULL && strchr(dot + 1, '.') != NULL ? dot + 1 : "");
	}
	if (f != SETUP_CERTIFICATE && f != SETUP_KEY)
		return setup_default(s, f);
	if (asprintf(&path, "/etc/letsencrypt/live/%s/%s", s->value[SETUP_HOSTNAME], file[f - SETUP_CERTIFICATE]) == -1)
		return NULL;
	if (access(path, R_OK) == 0)
		return path;
	free(path);
	return strdup(f == SETUP_CERTIFICATE ? "none" : "");
}

/* 0 or an exit code. */
static int
ask(struct setup *s, enum setup_field f)
{
	char why[SETUP_WHY_MAX], *other = suggestion(s, f), *said;
	int rc = EX_DATAERR;

	for (int i = 0; i < SETUP_TRIES_MAX && rc > 1; i++) {
		printf("%s", question[f]);
		if (other != NULL && *other != '\0')
			printf(" [%s]", other);
		fputs(" ", stdout);
		said = answer();
		if (said == NULL) {
			free(other);
			return cancelled();
		}
		if (*said == '\0' && other != NULL) {
			free(said);
			said = strdup(other);
		}
		if (f == SETUP_CERTIFICATE && said != NULL && strcmp(said, "none") == 0)
			*said = '\0';
		free(s->value[f]);
		s->value[f] = said;
		rc = said != NULL ? setup_check(s, f, why) : EX_OSERR;
		if (rc != 0 && said != NULL)
			printf("  %s%s\n", rc == 1 ? "warning: " : "", why);
	}
	free(other);
	if (rc > 1)
		fputs("letterplate setup: too many wrong answers; nothing was written\n", stderr);
	return rc > 1 ? rc : 0;
}

static int
confirm(const struct setup *s)
{
	char *said;
	bool yes;

	printf("\nThis will be %s:\n\n", s->value[SETUP_CONFIG]);
	said = setup_text(s);
	if (said == NULL)
		return EX_OSERR;
	fputs(said, stdout);
	free(said);
	printf("\nWrite it, and make the folders that are missing? [yes] ");
	said = answer();
	if (said == NULL)
		return cancelled();
	yes = *said == '\0' || strcmp(said, "yes") == 0 || strcmp(said, "y") == 0;
	free(said);
	if (!yes)
		fputs("letterplate setup: nothing was written\n", stderr);
	return yes ? 0 : EX_NOINPUT;
}

int
setup_ask(struct setup *s)
{
	int rc = 0;

	puts("An empty line takes what stands in brackets; ^C ends it, and nothing is written.\n");
	for (int f = 0; f < SETUP_FIELDS && rc == 0; f++) {
		bool no_key = f == SETUP_KEY && s->value[SETUP_CERTIFICATE][0] == '\0';

		if (s->value[f] != NULL)
			continue;
		if (question[f] == NULL || no_key || (f == SETUP_CERTIFICATE && s->no_tls))
			s->value[f] =
			    no_key || f == SETUP_CERTIFICATE ? strdup("") : setup_default(s, (enum setup_field)f);
		else
			rc = ask(s, (enum setup_field)f);
		if (s->value[f] == NULL)
			rc = rc != 0 ? rc : EX_OSERR;
	}
	return rc == 0 ? confirm(s) : rc;
}
