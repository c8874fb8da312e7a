/*
 * story: a sentence or three an event.
 * What it does not know (a line of a later version) it shows as it stands.
 */
#include "tools/log/story.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/log/say.h"
#include "tools/log/words.h"

uint64_t
story_time(const struct line *l)
{
	const char *text = line_get(l, "time"), *rest;
	struct tm tm = { 0 };
	char *end;
	long us = 0;
	time_t t;

	if (text == NULL || (rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm)) == NULL || (t = timegm(&tm)) < 0)
		return 0;
	if (*rest == '.')
		us = strtol(rest + 1, &end, 10);
	return (uint64_t)t * 1000000 + (us > 0 && us < 1000000 ? (uint64_t)us : 0);
}

void
story_time_text(uint64_t us, char out[STORY_TIME_MAX])
{
	time_t t = (time_t)(us / 1000000);
	struct tm tm;
	char second[STORY_TIME_MAX - 8] = "";

	if (gmtime_r(&t, &tm) != NULL)
		strftime(second, sizeof(second), "%Y-%m-%d %H:%M:%S", &tm);
	snprintf(out, STORY_TIME_MAX, "%s.%03u", second, (unsigned)(us / 1000 % 1000));
}

/* The value, or what stands for none. */
static const char *
get(const struct line *l, const char *key, const char *none)
{
	const char *v = line_get(l, key);

	return v != NULL && *v != '\0' ? v : none;
}

static uint64_t
number(const struct line *l, const char *key)
{
	const char *v = line_get(l, key);

	return v != NULL ? strtoull(v, NULL, 10) : 0;
}

static const char *
plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

/* The column in front: the time of the day. */
static const char *
stamp(const struct line *l, char out[STORY_TIME_MAX])
{
	char whole[STORY_TIME_MAX];

	story_time_text(story_time(l), whole);
	snprintf(out, STORY_TIME_MAX, "%s", strlen(whole) > 11 ? whole + 11 : "");
	return out;
}

/* The reply's codes: "550 5.1.1". */
static void
codes(const struct line *l, char *out, size_t cap)
{
	snprintf(out, cap, "%s%s%s", get(l, "code", "no code"), line_get(l, "enhanced") != NULL ? " " : "",
	    get(l, "enhanced", ""));
}

static void
tell_reason(FILE *f, const struct line *l)
{
	const char *reason = line_get(l, "reason"), *by = line_get(l, "by");
	const char *text = reason != NULL ? words_reason(reason) : NULL;

	if (by != NULL)
		say(f, "", "It was the handler \"%s\" that said so.", by);
	if (text != NULL)
		say(f, "", "Reason %s: %s.", reason, text);
	else if (reason != NULL)
		say(f, "", "Reason: %s.", reason);
}

static void
tell_refusal(FILE *f, const struct line *l)
{
	const char *to = line_get(l, "to"), *from = line_get(l, "from");
	char at[STORY_TIME_MAX], c[64];

	codes(l, c, sizeof(c));
	if (to != NULL)
		say(f, stamp(l, at), "Recipient <%s> was %s: %s \"%s\".", to, c[0] == '4' ? "put off" : "refused", c,
		    get(l, "text", ""));
	else if (from != NULL)
		say(f, stamp(l, at), "The mail from <%s> was %s: %s \"%s\".", from, c[0] == '4' ? "put off" : "refused",
		    c, get(l, "text", ""));
	else
		say(f, stamp(l, at), "The client was %s: %s \"%s\".", c[0] == '4' ? "put off" : "refused", c,
		    get(l, "text", ""));
	if (to != NULL && from != NULL)
		say(f, "", "It was a recipient of message %s from <%s>.", get(l, "id", "?"), from);
	tell_reason(f, l);
}

/* "a, b and 3 more". */
static void
tell_recipients(FILE *f, const struct line *l)
{
	const char *to = line_get(l, "to");
	uint64_t n = number(l, "nrcpt"), refused = number(l, "refused");

	if (to != NULL && n <= 1)
		say(f, "", "Its recipient: %s.", to);
	else if (to != NULL)
		say(f, "", "Its %" PRIu64 " recipients: %s.", n, to);
	else if (n == 0)
		say(f, "", "It had no accepted recipient.");
	if (refused > 0)
		say(f, "", "%" PRIu64 " recipient%s had been refused.", refused, plural(refused));
}

/* A quarantine, a policy server's HOLD, a module's choice. */
static void
tell_folder(FILE *f, const struct line *l)
{
	const char *folder = line_get(l, "folder"), *why = get(l, "folder_reason", NULL);

	if (folder != NULL)
		say(f, "", "It was put into the folder \"%s\", as the handler \"%s\" wanted%s%s.", folder,
		    get(l, "folder_by", "?"), why != NULL ? ": " : "", why != NULL ? why : "");
}

/* What handlers wanted changed, and could not have. */
static void
tell_not_edited(FILE *f, const struct line *l)
{
	const char *to = line_get(l, "to"), *reason = get(l, "reason", "?");
	char at[STORY_TIME_MAX];

	if (to != NULL && strcmp(reason, "added-recipient-unknown") == 0)
		say(f, stamp(l, at),
		    "What the handler \"%s\" wanted changed in message %s could not be carried out: "
		    "the recipient <%s> it added is none of ours.",
		    get(l, "by", "?"), get(l, "id", "?"), to);
	else
		say(f, stamp(l, at),
		    "What the handler \"%s\" wanted changed in message %s could not be carried out: %s.",
		    get(l, "by", "?"), get(l, "id", "?"), reason);
}

static void
tell_transaction(FILE *f, const struct line *l)
{
	const char *id = get(l, "id", "?"), *from = get(l, "from", "");
	uint64_t boxes = number(l, "mailboxes"), size = number(l, "size");
	char at[STORY_TIME_MAX], c[64];

	codes(l, c, sizeof(c));
	stamp(l, at);
	if (line_is(l, "result", "accepted")) {
		say(f, at, "Message %s from <%s> was accepted: %s.", id, from, c);
		say(f, "", "It has %" PRIu64 " octet%s and was stored in %" PRIu64 " mailbox%s, durable after %s ms.",
		    size, plural(size), boxes, boxes == 1 ? "" : "es", get(l, "commit_ms", "?"));
		tell_folder(f, l);
	} else if (line_is(l, "result", "discarded")) {
		say(f, at, "Message %s from <%s> was taken, %s, and thrown away, as the handler \"%s\" wanted.  %s", id,
		    from, c, get(l, "by", "?"), "Nothing was stored, and the sender does not know.");
	} else if (line_is(l, "result", "refused")) {
		say(f, at, "Message %s from <%s> was %s: %s.  Nothing was stored.", id, from,
		    c[0] == '4' ? "put off" : "refused", c);
		tell_reason(f, l);
	} else {
		say(f, at, "The transaction %s from <%s> ended without a message.", id, from);
	}
	tell_recipients(f, l);
}

static void
tell_store_error(FILE *f, const struct line *l)
{
	char at[STORY_TIME_MAX];

	say(f, stamp(l, at), "The mail store failed at \"%s\" of message %s: %s.  It is %s.", get(l, "step", "?"),
	    get(l, "id", "?"), get(l, "error", "?"), get(l, "store", "?"));
}

static void
tell_tls(FILE *f, const struct line *l)
{
	char at[STORY_TIME_MAX];

	if (line_is(l, "event", "tls-failed"))
		say(f, stamp(l, at), "The TLS handshake failed: %s.", get(l, "reason", "it is not said why"));
	else
		say(f, stamp(l, at), "TLS began: %s with %s%s%s.", get(l, "tls", "?"), get(l, "cipher", "?"),
		    line_get(l, "sni") != NULL ? ", for the name " : "", get(l, "sni", ""));
}

static void
tell_end(FILE *f, const struct line *l)
{
	uint64_t replies = number(l, "replies"), refusals = number(l, "refusals"), messages = number(l, "messages");
	const char *end = get(l, "end", "?"), *words = words_end(end);
	char at[STORY_TIME_MAX];

	if (line_get(l, "tls") != NULL)
		say(f, "", "It was encrypted by %s with %s%s%s.", line_get(l, "tls"), get(l, "cipher", "?"),
		    line_get(l, "sni") != NULL ? ", for the name " : "", get(l, "sni", ""));
	if (words != NULL)
		say(f, stamp(l, at), "%s, after %s ms.", words, get(l, "ms", "?"));
	else
		say(f, stamp(l, at), "It ended (%s) after %s ms.", end, get(l, "ms", "?"));
	say(f, "",
	    "In all: %" PRIu64 " repl%s, %" PRIu64 " of them refusal%s; %" PRIu64 " message%s taken, %" PRIu64
	    " octets.",
	    replies, replies == 1 ? "y" : "ies", refusals, plural(refusals), messages, plural(messages),
	    number(l, "octets"));
}

/* A line that is not known here: all of its own keys. */
static void
tell_other(FILE *f, const struct line *l)
{
	static const char *const known[] = { "time", "level", "who", "slot", "event", "session", "remote", "port",
		"listener", "helo", "proxy", "user", "cut" };
	char *text = NULL, at[STORY_TIME_MAX];
	size_t n = 0;
	FILE *m = open_memstream(&text, &n);

	if (m == NULL)
		return;
	for (size_t i = 0; i < l->n; i++) {
		bool own = true;

		for (size_t k = 0; k < sizeof(known) / sizeof(*known); k++)
			own = own && strcmp(known[k], l->field[i].key) != 0;
		if (own)
			fprintf(m, " %s=\"%s\"", l->field[i].key, l->field[i].value);
	}
	if (fclose(m) == 0)
		say(f, stamp(l, at), "%s:%s", get(l, "event", "?"), text);
	free(text);
}

static void
tell_line(FILE *f, const struct line *l)
{
	static const struct {
		const char *event;
		void (*tell)(FILE *f, const struct line *l);
	} teller[] = {
		{ "refusal", tell_refusal },
		{ "transaction", tell_transaction },
		{ "store-error", tell_store_error },
		{ "edits-failed", tell_not_edited },
		{ "tls-failed", tell_tls },
		{ "tls", tell_tls },
		{ "session", tell_end },
	};
	size_t i = 0, n = sizeof(teller) / sizeof(*teller);

	while (i < n && !line_is(l, "event", teller[i].event))
		i++;
	if (i < n)
		teller[i].tell(f, l);
	else
		tell_other(f, l);
	if (line_is(l, "cut", "yes"))
		say(f, "", "(This line is cut in the log: it had more to say.)");
}

static const struct line *
end_line(const struct story *s)
{
	for (size_t i = 0; i < s->nline; i++)
		if (line_is(&s->line[i], "event", "session"))
			return &s->line[i];
	return NULL;
}

/* Whether the master said it, in place of its workers: there was no session. */
static bool
of_master(const struct story *s)
{
	return line_is(&s->line[0], "who", "master");
}

/* Who it was, and when it began: that is known from its end. */
static void
tell_begin(FILE *f, const struct story *s)
{
	const struct line *end = end_line(s), *l = end != NULL ? end : &s->line[0];
	const char *remote = line_get(l, "remote"), *port = line_get(l, "port");
	char at[STORY_TIME_MAX] = "";

	if (of_master(s)) {
		say(f, "",
		    "A client came to the listener \"%s\" while no worker served; all that the master answered in that "
		    "second were told this id.",
		    get(l, "listener", "?"));
		return;
	}
	if (end != NULL) {
		double ms = strtod(get(end, "ms", "0"), NULL);
		uint64_t us = story_time(end), long_us = ms > 0 && ms < 1e12 ? (uint64_t)(ms * 1000) : 0;

		story_time_text(us > long_us ? us - long_us : 0, at);
	}
	say(f, at[0] != '\0' ? at + 11 : "", "%s%s%s came to the listener \"%s\" of worker %s.",
	    remote != NULL ? remote : "A client", port != NULL ? " port " : "", port != NULL ? port : "",
	    get(l, "listener", "?"), get(l, "slot", "?"));
	if (line_get(l, "proxy") != NULL)
		say(f, "", "That address is what %s claims, who is trusted to say it.", line_get(l, "proxy"));
	if (line_get(l, "helo") != NULL)
		say(f, "", "It called itself %s.", line_get(l, "helo"));
	if (line_get(l, "user") != NULL)
		say(f, "", "It was logged in as %s, as XCLIENT claims.", line_get(l, "user"));
	if (end != NULL && line_get(end, "tls") == NULL)
		say(f, "", "It was not encrypted.");
}

/* What happened to the log, or to the worker, while the session lasted. */
static void
tell_around(FILE *f, const struct story *s)
{
	char at[STORY_TIME_MAX];

	for (size_t i = 0; i < s->naround; i++) {
		const struct line *l = &s->around[i];

		if (line_is(l, "event", "log-dropped"))
			say(f, stamp(l, at),
			    "The log lost %s line%s of this worker here: some of this session's may be among them.",
			    get(l, "n", "?"), line_is(l, "n", "1") ? "" : "s");
		else
			say(f, stamp(l, at), "Its worker died (%s)%s%s: the session ended with it.",
			    get(l, "how", "unasked"), line_get(l, "in") != NULL ? " in the code of " : "",
			    get(l, "in", ""));
	}
}

/* What should be there and is not. */
static void
tell_missing(FILE *f, const struct story *s)
{
	const struct line *end = end_line(s);
	uint64_t accepted = 0, said = end != NULL ? number(end, "messages") : 0;

	for (size_t i = 0; i < s->nline; i++)
		accepted += line_is(&s->line[i], "result", "accepted");
	if (end == NULL && of_master(s))
		return;
	if (end == NULL)
		say(f, "",
		    "How it ended does not stand in this log: it goes on, or its end was cut away, dropped, or stands "
		    "in "
		    "another file.");
	else if (said > accepted)
		say(f, "",
		    "Its end speaks of %" PRIu64 " message%s; lines of only %" PRIu64
		    " are here: earlier ones were cut away, "
		    "dropped, or stand in another file.",
		    said, plural(said), accepted);
}

void
story_tell(FILE *f, const struct story *s)
{
	char day[STORY_TIME_MAX];

	story_time_text(story_time(&s->line[0]), day);
	day[day[0] != '.' ? 10 : 0] = '\0';
	if (s->message != NULL)
		fprintf(f, "Message %s, in session %s, %s (UTC)\n\n", s->message, s->session, day);
	else
		fprintf(f, "Session %s, %s (UTC)\n\n", s->session, day);
	tell_begin(f, s);
	for (size_t i = 0; i < s->nline; i++)
		tell_line(f, &s->line[i]);
	tell_around(f, s);
	tell_missing(f, s);
}
