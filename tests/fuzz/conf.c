/*
 * fuzz conf: no octets crash the parser or leak from it; a mistake is told in
 * one line with a line number of the file; what is taken keeps its ranges; and
 * whatever came before, a right config is taken afterwards.
 */
#include "common/conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool ok)
{
	if (!ok)
		abort();
}

struct told {
	size_t n;
	unsigned long lines; /* of the text */
};

static void
report(void *arg, const char *line)
{
	struct told *t = arg;
	unsigned long at;
	char *end;

	t->n++;
	must(strncmp(line, "f:", 2) == 0);
	at = strtoul(line + 2, &end, 10);
	must(at >= 1 && at <= t->lines && strncmp(end, ": ", 2) == 0 && end[2] != '\0');
	must(strchr(line, '\n') == NULL);
}

static void
check(const struct conf *cf)
{
	size_t n = 0;

	must(cf->nlistener >= 1 && cf->nlistener <= CONF_LISTENERS_MAX);
	for (size_t i = 0; i < cf->nlistener; i++) {
		must(cf->listener[i].naddress >= 1);
		must(cf->listener[i].name[0] != '\0' && cf->listener[i].tls == CONF_TLS_NONE);
		n += cf->listener[i].naddress;
		for (size_t k = 0; k < cf->listener[i].naddress; k++)
			must(cf->listener[i].address[k].len > 0 && cf->listener[i].address[k].text[0] != '\0');
	}
	must(n <= CONF_ADDRESSES_MAX);
	must(cf->workers >= 1 && cf->workers <= CONF_WORKERS_MAX);
	must(cf->hostname[0] != '\0' && strlen(cf->hostname) <= 255);
	must(cf->state_dir[0] == '/' && cf->directory[0] == '/' && cf->store.path[0] == '/');
	must(cf->message_size_limit >= 1 && cf->recipient_limit >= 1);
	must(cf->timeouts.command_ms >= 10 && cf->timeouts.data_ms >= 10);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char good[] = "hostname = \"a.example\" listener \"l\" { address = \"[::]:25\" }";
	struct told t = { 0, 1 };
	struct conf *cf = NULL;
	int rc;

	for (size_t i = 0; i < size; i++)
		t.lines += data[i] == '\n';
	rc = conf_parse("f", (const char *)data, size, report, &t, &cf);
	must(rc == (cf != NULL ? 0 : -1) && (t.n == 0) == (rc == 0));
	if (cf != NULL)
		check(cf);
	conf_free(cf);
	cf = NULL;
	t = (struct told){ 0, 1 };
	must(conf_parse("f", good, sizeof good - 1, report, &t, &cf) == 0);
	conf_free(cf);
	return 0;
}
