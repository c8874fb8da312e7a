/*
 * facts: lines of named values, for what master, its clients and its successor
 * tell each other.  A line is a kind and fields behind tabs: "key=text" or
 * "key:=number", also true and false.  Fields are found by name, so that either
 * side may know more of them than the other.
 */
#ifndef COMMON_FACTS_H_
#define COMMON_FACTS_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	FACTS_MAX    = 1 << 20, /* octets of a text; what is longer fails */
	FACTS_FIELDS = 96       /* of a line; a line with more is malformed */
};

/* A text being put together; zeroed at first. */
struct facts {
	char  *text;
	size_t n, cap;
	bool   failed; /* something did not fit, or there was no memory: the text is not to be used */
};

void facts_begin(struct facts *f, const char *kind);
void facts_str(struct facts *f, const char *key, const char *value); /* NULL: left out */
void facts_u64(struct facts *f, const char *key, uint64_t v);
void facts_i64(struct facts *f, const char *key, int64_t v);
void facts_bool(struct facts *f, const char *key, bool v);
void facts_end(struct facts *f);
void facts_free(struct facts *f);

/* A line taken apart; it points into the text. */
struct fact {
	const char *kind;
	size_t      n;
	struct {
		const char *key, *value;
		bool        raw; /* behind ":=" */
	} field[FACTS_FIELDS];
};

/**
 * facts_next(at, out):
 * Take the next line of *at, a NUL-terminated text, apart in place, and move
 * *at behind it.  1, 0 at the end, -1 for a line that is none of ours.
 */
int facts_next(char **at, struct fact *out);

/* The value of ${key}, or NULL. */
const char *facts_get(const struct fact *f, const char *key);

/* The same as a number from ${min} to ${max}, or ${or_else} when there is none such. */
int64_t facts_num(const struct fact *f, const char *key, int64_t min, int64_t max, int64_t or_else);
#endif
