/*
 * budget: a set-associative table of counts; keys are hashed with a secret of
 * the process, so that nobody can choose what falls into one place.
 */
#include "auth/budget.h"

#include <bsd/stdlib.h>
#include <stdlib.h>
#include <string.h>

#include "common/siphash.h"

struct row {
	uint64_t key; /* 0: free */
	int64_t began;
	uint32_t count;
};

static struct row *rows;
static uint8_t secret[16];

int
budget_init(void)
{
	rows = calloc(BUDGET_ROWS, sizeof *rows);
	arc4random_buf(secret, sizeof secret);
	return rows != NULL ? 0 : -1;
}

static uint64_t
hash(struct span s)
{
	uint64_t k = siphash(secret, s);

	return k != 0 ? k : 1;
}

uint64_t
budget_address(const uint8_t addr[16])
{
	static const uint8_t none[16], mapped[12] = { [10] = 0xff, [11] = 0xff };
	uint8_t text[17] = { 'a' };

	if (memcmp(addr, none, sizeof none) == 0)
		return 0;
	memcpy(text + 1, addr, memcmp(addr, mapped, sizeof mapped) == 0 ? 16 : 8);
	return hash(span_of(text, sizeof text));
}

uint64_t
budget_name(struct span user)
{
	uint8_t text[300] = { 'u' };
	size_t n = user.n < sizeof text - 1 ? user.n : sizeof text - 1;

	memcpy(text + 1, user.p, n);
	return hash(span_of(text, n + 1));
}

static struct row *
find(uint64_t key)
{
	struct row *set = &rows[key % (BUDGET_ROWS / BUDGET_WAYS) * BUDGET_WAYS];

	for (int i = 0; i < BUDGET_WAYS; i++)
		if (set[i].key == key)
			return &set[i];
	return NULL;
}

static struct row *
place(uint64_t key, int64_t now)
{
	struct row *set = &rows[key % (BUDGET_ROWS / BUDGET_WAYS) * BUDGET_WAYS], *least = set;

	for (int i = 0; i < BUDGET_WAYS; i++) {
		if (set[i].key == 0 || now - set[i].began >= BUDGET_S)
			return &set[i];
		if (set[i].count < least->count)
			least = &set[i];
	}
	return least;
}

bool
budget_take(uint64_t key, uint32_t most, int64_t now)
{
	struct row *r;

	if (key == 0 || most == 0)
		return true;
	r = find(key);
	if (r != NULL && now - r->began >= BUDGET_S)
		r->count = 0, r->began = now;
	if (r == NULL) {
		r = place(key, now);
		*r = (struct row){ .key = key, .began = now };
	}
	if (r->count >= most)
		return false;
	r->count++;
	return true;
}

void
budget_back(uint64_t key)
{
	struct row *r = key != 0 ? find(key) : NULL;

	if (r != NULL && r->count > 0)
		r->count--;
}
