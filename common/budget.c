/*
 * budget: a set-associative table of counts; keys are hashed with a secret of
 * the table, so that nobody can choose what falls into one place.  The lock is
 * in the memfd too, and robust: a process that dies with it leaves a row at
 * most one guess off.
 */
#include "common/budget.h"

#include <bsd/stdlib.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/ip.h"
#include "common/siphash.h"

enum { MAGIC = 0x4c504248 }; /* "LPBH"; another one when anything below changes */

struct row {
	uint64_t key; /* 0: free */
	int64_t began;
	uint32_t count;
};

enum { NAME_MAX_ = 299 }; /* octets of a name that count */

/* Apart from the rows: guesses, which cost nothing, wash none of it out. */
struct known {
	uint64_t pair; /* 0: free */
	int64_t last;
};

struct budget {
	uint32_t magic, size;
	uint8_t secret[16];
	pthread_mutex_t lock;
	struct row row[BUDGET_ROWS];
	struct known known[BUDGET_KNOWN];
};

static int
fill(struct budget *b)
{
	pthread_mutexattr_t attr;

	b->size = sizeof *b;
	arc4random_buf(b->secret, sizeof b->secret);
	errno = pthread_mutexattr_init(&attr);
	if (errno == 0)
		errno = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	if (errno == 0)
		errno = pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	if (errno == 0)
		errno = pthread_mutex_init(&b->lock, &attr);
	b->magic = MAGIC;
	return errno == 0 ? 0 : -1;
}

int
budget_create(void)
{
	int fd = memfd_create("letterplate.budgets", MFD_CLOEXEC | MFD_ALLOW_SEALING), err;
	struct budget *b = MAP_FAILED;

	if (fd < 0)
		return -1;
	if (ftruncate(fd, sizeof *b) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW) == 0)
		b = mmap(NULL, sizeof *b, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (b != MAP_FAILED && fill(b) == 0) {
		munmap(b, sizeof *b);
		return fd;
	}
	err = errno;
	if (b != MAP_FAILED)
		munmap(b, sizeof *b);
	close(fd);
	errno = err;
	return -1;
}

struct budget *
budget_map(int fd)
{
	struct budget *b;
	struct stat st;

	if (fstat(fd, &st) != 0)
		return NULL;
	if (st.st_size != sizeof *b) {
		errno = EPROTONOSUPPORT;
		return NULL;
	}
	b = mmap(NULL, sizeof *b, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (b == MAP_FAILED)
		return NULL;
	if (b->magic == MAGIC && b->size == sizeof *b)
		return b;
	munmap(b, sizeof *b);
	errno = EPROTONOSUPPORT;
	return NULL;
}

bool
budget_ours(int fd)
{
	struct budget *b = budget_map(fd);

	return b != NULL && munmap(b, sizeof *b) == 0;
}

static void
lock(struct budget *b)
{
	if (pthread_mutex_lock(&b->lock) == EOWNERDEAD)
		(void)pthread_mutex_consistent(&b->lock);
}

static uint64_t
hash(const struct budget *b, struct span s)
{
	uint64_t k = siphash(b->secret, s);

	return k != 0 ? k : 1;
}

/* What of an address counts; the rest is zero.  False: there is none. */
static bool
counted(const uint8_t addr[16], uint8_t out[16])
{
	static const uint8_t none[16];

	memset(out, 0, 16);
	memcpy(out, addr, ip_is4(addr) ? 16 : 8);
	return memcmp(addr, none, sizeof none) != 0;
}

uint64_t
budget_address(const struct budget *b, const uint8_t addr[16])
{
	uint8_t text[17] = { 'a' };

	return counted(addr, text + 1) ? hash(b, span_of(text, sizeof text)) : 0;
}

static uint64_t
hash_name(const struct budget *b, uint8_t *text, size_t head, struct span user)
{
	size_t n = user.n < NAME_MAX_ ? user.n : NAME_MAX_;

	if (n > 0)
		memcpy(text + head, user.p, n);
	return hash(b, span_of(text, head + n));
}

uint64_t
budget_name(const struct budget *b, struct span user)
{
	uint8_t text[1 + NAME_MAX_] = { 'u' };

	return hash_name(b, text, 1, user);
}

uint64_t
budget_pair(const struct budget *b, struct span user, const uint8_t addr[16])
{
	uint8_t text[17 + NAME_MAX_] = { 'p' };

	return counted(addr, text + 1) ? hash_name(b, text, 17, user) : 0;
}

static struct row *
find(struct budget *b, uint64_t key)
{
	struct row *set = &b->row[key % (BUDGET_ROWS / BUDGET_WAYS) * BUDGET_WAYS];

	for (int i = 0; i < BUDGET_WAYS; i++)
		if (set[i].key == key)
			return &set[i];
	return NULL;
}

static struct row *
place(struct budget *b, uint64_t key, int64_t now)
{
	struct row *set = &b->row[key % (BUDGET_ROWS / BUDGET_WAYS) * BUDGET_WAYS], *least = set;

	for (int i = 0; i < BUDGET_WAYS; i++) {
		if (set[i].key == 0 || now - set[i].began >= BUDGET_S)
			return &set[i];
		if (set[i].count < least->count)
			least = &set[i];
	}
	return least;
}

static bool
count(struct budget *b, uint64_t key, uint32_t most, int64_t now)
{
	struct row *r = find(b, key);

	if (r != NULL && now - r->began >= BUDGET_S)
		r->count = 0, r->began = now;
	if (r == NULL) {
		r = place(b, key, now);
		*r = (struct row){ .key = key, .began = now };
	}
	if (r->count >= most)
		return false;
	r->count++;
	return true;
}

bool
budget_take(struct budget *b, uint64_t key, uint32_t most, int64_t now)
{
	bool ok;

	if (key == 0 || most == 0)
		return true;
	lock(b);
	ok = count(b, key, most, now);
	pthread_mutex_unlock(&b->lock);
	return ok;
}

void
budget_back(struct budget *b, uint64_t key)
{
	struct row *r;

	if (key == 0)
		return;
	lock(b);
	r = find(b, key);
	if (r != NULL && r->count > 0)
		r->count--;
	pthread_mutex_unlock(&b->lock);
}

/* Its own place, else a free one, else the one that was let in longest ago. */
static struct known *
known_place(struct budget *b, uint64_t pair)
{
	struct known *set = &b->known[pair % (BUDGET_KNOWN / BUDGET_WAYS) * BUDGET_WAYS], *oldest = set;

	for (int i = 0; i < BUDGET_WAYS; i++)
		if (set[i].pair == pair)
			return &set[i];
	for (int i = 1; i < BUDGET_WAYS; i++)
		if (oldest->pair != 0 && (set[i].pair == 0 || set[i].last < oldest->last))
			oldest = &set[i];
	return oldest;
}

void
budget_know(struct budget *b, uint64_t pair, int64_t now)
{
	if (pair == 0)
		return;
	lock(b);
	*known_place(b, pair) = (struct known){ .pair = pair, .last = now };
	pthread_mutex_unlock(&b->lock);
}

bool
budget_known(struct budget *b, uint64_t pair, int64_t now)
{
	const struct known *k;
	bool yes;

	if (pair == 0)
		return false;
	lock(b);
	k = known_place(b, pair);
	yes = k->pair == pair && now - k->last < BUDGET_KNOWN_S;
	pthread_mutex_unlock(&b->lock);
	return yes;
}
