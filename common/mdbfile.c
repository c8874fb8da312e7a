/*
 * mdbfile: tail and self-description of a snapshot, as octets.
 * Numbers are little endian.  Opens nothing; see mdbguard.c for what compares
 * pages and mdb.c for what reads entries.
 */
#include "common/mdbfile.h"

#include <endian.h>

#include "common/crc32c.h"

static const uint8_t tail_magic[8] = { 'L', 'P', 'M', 'B', '\r', '\n', 0x1a, 0xff };

/* --- numbers --- */

static void
put32(uint8_t *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

static void
put64(uint8_t *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof(v));
}

static uint32_t
get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static uint64_t
get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

/* --- the tail: magic 8, version 4, psize 4, npages 8, table_crc 4, reserved 8, own crc 4 --- */

void
mdbfile_tail_write(const struct mdbfile_tail *t, uint8_t out[MDBFILE_TAIL])
{
	memset(out, 0, MDBFILE_TAIL);
	memcpy(out, tail_magic, sizeof(tail_magic));
	put32(out + 8, MDBFILE_VERSION);
	put32(out + 12, t->psize);
	put64(out + 16, t->npages);
	put32(out + 24, t->table_crc);
	put32(out + 36, crc32c(0, out, 36));
}

int
mdbfile_tail_read(const uint8_t in[MDBFILE_TAIL], uint64_t size, struct mdbfile_tail *t)
{
	uint64_t want;

	if (memcmp(in, tail_magic, sizeof(tail_magic)) != 0 || get32(in + 36) != crc32c(0, in, 36) ||
	    get32(in + 8) != MDBFILE_VERSION)
		return -1;
	*t = (struct mdbfile_tail){ get32(in + 12), get32(in + 24), get64(in + 16) };
	if (t->psize < MDBFILE_PSIZE_MIN || t->psize > MDBFILE_PSIZE_MAX || (t->psize & (t->psize - 1)) != 0)
		return -1;
	if (t->npages < 2 || __builtin_mul_overflow(t->npages, (uint64_t)t->psize + MDBFILE_SUM, &want) ||
	    __builtin_add_overflow(want, (uint64_t)MDBFILE_TAIL, &want) || want != size)
		return -1;
	return 0;
}

/* --- what it says of itself: version 4, entries 8, domains 8, made 8 --- */

void
mdbfile_meta_write(const struct mdb_info *i, uint8_t out[MDBFILE_META])
{
	put32(out, MDBFILE_VERSION);
	put64(out + 4, i->entries);
	put64(out + 12, i->domains);
	put64(out + 20, (uint64_t)i->made);
}

int
mdbfile_meta_read(struct span rec, struct mdb_info *i)
{
	if (rec.n != MDBFILE_META || get32(rec.p) != MDBFILE_VERSION)
		return -1;
	i->entries = get64(rec.p + 4);
	i->domains = get64(rec.p + 12);
	i->made = (int64_t)get64(rec.p + 20);
	return 0;
}
