/*
 * fuzz milterfields: what comes out, put together again, is what went in, for
 * two splits alike; a name is one; nothing behind the header is a field.
 */
#include "worker/milter/fields.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t
mix(uint64_t h, const void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ ((const uint8_t *)p)[i]) * 0x100000001b3u;
	return h;
}

struct seen {
	uint64_t hash;
	size_t fields, ends, body;
};

static void
note(struct seen *s, enum fields_event ev, struct span name, struct span value)
{
	if (ev == FIELDS_FIELD) {
		if (name.n == 0 || s->ends > 0)
			abort();
		for (size_t i = 0; i < name.n; i++)
			if (name.p[i] <= ' ' || name.p[i] >= 0x7f || name.p[i] == ':')
				abort();
		s->fields++;
		s->hash = mix(mix(mix(mix(s->hash, name.p, name.n), "=", 1), value.p, value.n), "|", 1);
	} else if (ev == FIELDS_END) {
		if (s->ends++ > 0)
			abort();
		s->hash = mix(s->hash, "!", 1);
	} else if (ev == FIELDS_BODY) {
		if (s->ends != 1)
			abort();
		s->body += value.n;
		s->hash = mix(s->hash, value.p, value.n);
	}
}

static struct seen
run(const uint8_t *data, size_t size, size_t step)
{
	struct seen s = { .hash = 14695981039346656037u };
	struct span name, value;
	struct fields f;
	enum fields_event ev = FIELDS_MORE;

	fields_init(&f);
	for (size_t at = 0; at < size && ev != FIELDS_LOST; at += step) {
		size_t n = size - at < step ? size - at : step;
		uint8_t *copy = malloc(n);
		struct span in;

		if (copy == NULL)
			abort();
		memcpy(copy, data + at, n);
		in = span_of(copy, n);
		while ((ev = fields_next(&f, &in, &name, &value)) != FIELDS_MORE && ev != FIELDS_LOST)
			note(&s, ev, name, value);
		free(copy);
	}
	while ((ev = fields_last(&f, &name, &value)) != FIELDS_MORE && ev != FIELDS_LOST)
		note(&s, ev, name, value);
	fields_fini(&f);
	return s;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen a, b;

	if (size < 1 || size > 4096)
		return 0;
	a = run(data + 1, size - 1, size);
	b = run(data + 1, size - 1, (size_t)data[0] % 61 + 1);
	if (a.hash != b.hash || a.ends != 1 || b.ends != 1)
		abort();
	return 0;
}
