/*
 * show: see show.h.  A worker escapes what it sends; nothing it says is printed
 * without a look for octets that may not stand on a terminal all the same.
 */
#include "tools/trace/show.h"

#include <err.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "common/log.h"

static void
put_on(FILE *to, const char *text)
{
	struct span s = span_str(text);

	while (s.n > 0) {
		size_t n = log_plain(s);

		/* The backslashes are the worker's escapes: they stay as they are. */
		if (n == 0 && s.p[0] != '\\' && s.p[0] != '"') {
			fprintf(to, "\\x%02x", s.p[0]);
			n = 1;
		} else {
			n = n > 0 ? n : 1;
			fwrite(s.p, 1, n, to);
		}
		s = span_skip(s, n);
	}
}

static void
put_plain(const char *text)
{
	put_on(stdout, text);
}

static const char *
get(const json_t *o, const char *key)
{
	const char *v = json_string_value(json_object_get(o, key));

	return v != NULL ? v : "";
}

static bool
has(const json_t *o, const char *key)
{
	return json_object_get(o, key) != NULL;
}

/* ${label} and the value of ${key}, if it is there. */
static void
put_field(const json_t *o, const char *label, const char *key)
{
	const json_t *v = json_object_get(o, key);

	if (v == NULL)
		return;
	fputs(label, stdout);
	if (json_is_integer(v))
		printf("%lld", (long long)json_integer_value(v));
	else if (json_is_real(v))
		printf("%.3f", json_real_value(v));
	else
		put_plain(json_is_string(v) ? json_string_value(v) : "");
}

/* When, which session, who. */
static void
put_head(const struct show *how, const json_t *o)
{
	const char *time = get(o, "time"), *t = strchr(time, 'T');

	if (how->colour)
		fputs("\033[2m", stdout);
	if (t != NULL && strlen(t) > 13)
		printf("%.12s ", t + 1);
	put_plain(get(o, "session"));
	putchar(' ');
	put_plain(has(o, "remote") ? get(o, "remote") : "-");
	if (how->colour)
		fputs("\033[0m", stdout);
	putchar(' ');
}

static void
begin_colour(const struct show *how, const char *code)
{
	if (how->colour)
		printf("\033[%sm", code);
}

static void
end_line(const struct show *how, const json_t *o)
{
	if (json_is_true(json_object_get(o, "cut")))
		fputs(" [cut]", stdout);
	if (how->colour)
		fputs("\033[0m", stdout);
	putchar('\n');
}

static void
show_reply(const struct show *how, const json_t *o)
{
	const json_t *lines = json_object_get(o, "text");
	long long code = (long long)json_integer_value(json_object_get(o, "code"));

	if (json_array_size(lines) == 0) {
		put_head(how, o);
		printf("S: %lld [hidden]", code);
		end_line(how, o);
	}
	for (size_t i = 0; i < json_array_size(lines); i++) {
		const char *line = json_string_value(json_array_get(lines, i));

		put_head(how, o);
		begin_colour(how, code >= 500 ? "31" : code >= 400 ? "33" : "32");
		fputs("S: ", stdout);
		put_plain(line != NULL ? line : "");
		end_line(how, o);
	}
}

static void
show_command(const json_t *o)
{
	const char *text = get(o, "text");

	fputs("C: ", stdout);
	put_plain(text);
	if (has(o, "hidden"))
		fputs(text[0] != '\0' && text[strlen(text) - 1] != ' ' ? " [hidden]" : "[hidden]", stdout);
}

static void
show_other(const json_t *o, const char *event)
{
	if (strcmp(event, "answer") == 0) {
		put_field(o, "H: ", "handler");
		put_field(o, " at ", "stage");
		put_field(o, ": ", "verdict");
		put_field(o, " ", "code");
		put_field(o, " ", "text");
		put_field(o, ", ms ", "ms");
	} else if (strcmp(event, "recipient") == 0) {
		put_field(o, "-- recipient ", "to");
		put_field(o, ", from ", "from");
		put_field(o, ", helo ", "helo");
		put_field(o, ", message ", "id");
		put_field(o, ", listener ", "listener");
	} else if (strcmp(event, "tls") == 0) {
		fputs("-- TLS", stdout);
		put_field(o, " failed: ", "failed");
		put_field(o, " ", "version");
		put_field(o, " ", "cipher");
		put_field(o, ", server name ", "sni");
	} else if (strcmp(event, "transaction") == 0) {
		put_field(o, "-- message ", "id");
		put_field(o, " ", "result");
		put_field(o, ", octets ", "size");
		put_field(o, ", stored in ms ", "commit_ms");
	} else {
		printf("-- ");
		put_plain(event);
		put_field(o, ": ", "reason");
		put_field(o, ", ms ", "ms");
	}
}

static void
show_line(const struct show *how, const json_t *o, const char *event)
{
	if (strcmp(event, "reply") == 0) {
		show_reply(how, o);
		return;
	}
	put_head(how, o);
	if (strcmp(event, "command") == 0) {
		show_command(o);
	} else {
		begin_colour(how, "36");
		show_other(o, event);
	}
	end_line(how, o);
}

enum show_was
show_record(const struct show *how, const char *text, size_t n)
{
	json_error_t e;
	json_t *o = json_loadb(text, n, 0, &e);
	const char *event = get(o, "event");
	enum show_was was = SHOW_RECORD;

	if (!json_is_object(o)) {
		warnx("the server sent what is no record");
	} else if (strcmp(event, "refused") == 0) {
		was = SHOW_REFUSED;
		fputs("letterplate-trace: refused: ", stderr);
		put_on(stderr, get(o, "reason"));
		fputc('\n', stderr);
	} else {
		if (strcmp(event, "lost") == 0)
			was = SHOW_LOST;
		if (how->json) {
			json_dumpf(o, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(12));
			putchar('\n');
		} else if (was == SHOW_LOST) {
			put_field(o, "-- records lost because this was not read fast enough: ", "records");
			putchar('\n');
		} else {
			show_line(how, o, event);
		}
	}
	json_decref(o);
	return was;
}
