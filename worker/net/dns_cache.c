/*
 * dns_cache: a table of buckets and a list by last use; the oldest one goes
 * when there are too many.  A secret key keeps strangers, whose addresses and
 * names are what is asked for, from filling one bucket.
 */
#include <bsd/stdlib.h>
#include <bsd/sys/queue.h>
#include <stdlib.h>

#include "common/siphash.h"
#include "worker/net/dns_priv.h"

struct cached {
	LIST_ENTRY(cached) bucket;
	TAILQ_ENTRY(cached) order;
	uint64_t until_ms;
	enum dns_type type;
	struct dns_answer answer;
	char name[]; /* with its NUL */
};

struct dns_cache {
	unsigned n;
	uint8_t key[16];
	TAILQ_HEAD(cached_order, cached) order; /* the one used last comes first */
	LIST_HEAD(, cached) bucket[DNS_CACHE_MAX];
};

struct dns_cache *
dns_cache_new(void)
{
	struct dns_cache *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	TAILQ_INIT(&c->order);
	arc4random_buf(c->key, sizeof(c->key));
	return c;
}

static void
cache_drop(struct dns_cache *c, struct cached *e)
{
	LIST_REMOVE(e, bucket);
	TAILQ_REMOVE(&c->order, e, order);
	c->n--;
	free(e);
}

void
dns_cache_free(struct dns_cache *c)
{
	if (c == NULL)
		return;
	while (!TAILQ_EMPTY(&c->order))
		cache_drop(c, TAILQ_FIRST(&c->order));
	free(c);
}

static size_t
cache_bucket(const struct dns_cache *c, const char *name)
{
	return siphash(c->key, span_str(name)) % DNS_CACHE_MAX;
}

static struct cached *
cache_find(struct dns_cache *c, enum dns_type type, const char *name)
{
	struct cached *e;

	LIST_FOREACH(e, &c->bucket[cache_bucket(c, name)], bucket)
		if (e->type == type && strcmp(e->name, name) == 0)
			return e;
	return NULL;
}

const struct dns_answer *
dns_cache_find(struct dns_cache *c, enum dns_type type, const char *name, uint64_t now_ms)
{
	struct cached *e = cache_find(c, type, name);

	if (e == NULL)
		return NULL;
	if (e->until_ms <= now_ms) {
		cache_drop(c, e);
		return NULL;
	}
	TAILQ_REMOVE(&c->order, e, order);
	TAILQ_INSERT_HEAD(&c->order, e, order);
	return &e->answer;
}

void
dns_cache_put(struct dns_cache *c, enum dns_type type, const char *name, const struct dns_answer *a, uint64_t now_ms)
{
	struct cached *e = cache_find(c, type, name);
	size_t len = strlen(name) + 1;

	if (a->status == DNS_FAILED || a->ttl_s == 0)
		return;
	if (e != NULL)
		cache_drop(c, e);
	if (c->n == DNS_CACHE_MAX)
		cache_drop(c, TAILQ_LAST(&c->order, cached_order));
	e = malloc(sizeof(*e) + len);
	if (e == NULL)
		return;
	e->type = type;
	e->until_ms = now_ms + (uint64_t)a->ttl_s * 1000;
	e->answer = *a;
	memcpy(e->name, name, len);
	LIST_INSERT_HEAD(&c->bucket[cache_bucket(c, name)], e, bucket);
	TAILQ_INSERT_HEAD(&c->order, e, order);
	c->n++;
}
