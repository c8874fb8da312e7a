/*
 * mdbfile: the form of a snapshot's file.
 * An LMDB file (its pages from 0 on), behind them a CRC-32C of every page, and
 * a tail that says how many there are.  LMDB keeps no checksums and takes what
 * it reads for true; with these, damage is found before it is believed.
 * Shared by mdb.c, which reads, and tools/mailboxes, which writes.
 */
#ifndef COMMON_MDBFILE_H_
#define COMMON_MDBFILE_H_

#include <stdint.h>

#include "common/mdb.h"

enum {
	MDBFILE_VERSION   = 1,     /* raised when records, keys or the tail change */
	MDBFILE_PSIZE_MIN = 4096,  /* octets of a page: LMDB takes the machine's page size... */
	MDBFILE_PSIZE_MAX = 32768, /* ...but no more than this */
	MDBFILE_TAIL      = 40,    /* octets of the tail */
	MDBFILE_META      = 28,    /* octets of the record under MDBFILE_META_KEY */
	MDBFILE_SUM       = 4      /* octets of one page's checksum */
};

/* Sorts before every address. */
#define MDBFILE_META_KEY SPAN("\0meta")

struct mdbfile_tail {
	uint32_t psize;     /* octets of a page */
	uint32_t table_crc; /* of all checksums */
	uint64_t npages;
};

void mdbfile_tail_write(const struct mdbfile_tail *t, uint8_t out[MDBFILE_TAIL]);

/* 0, or -1 when it is not the tail of a snapshot of this version that is ${size} octets long. */
int mdbfile_tail_read(const uint8_t in[MDBFILE_TAIL], uint64_t size, struct mdbfile_tail *t);

/* The record of mdb_info; octets is not part of it. */
void mdbfile_meta_write(const struct mdb_info *i, uint8_t out[MDBFILE_META]);
int  mdbfile_meta_read(struct span rec, struct mdb_info *i);

/* --- the guard --- */

/* Compares pages with their checksums, each once. */
struct mdbfile_guard {
	const uint8_t *map; /* the whole file, read-only */
	size_t         len;
	size_t         npages, psize;
	const uint8_t *table; /* the checksums */
	uint64_t       root;  /* page of the tree's root */
	uint8_t       *seen;  /* a bit a page: was compared */
};

/* Map the file and compare its tail, table and meta pages.  0, or -1 with errno (EBADMSG: not a whole snapshot). */
int  mdbfile_guard_init(struct mdbfile_guard *g, int fd, uint64_t size);
void mdbfile_guard_fini(struct mdbfile_guard *g);

/*
 * Whether ${path} is a snapshot that a worker would take up: 0, or -1 with errno (EBADMSG: damaged).  Its length, the
 * pages on the way to what it says of itself, and their checksums; the pages of addresses are compared when they are read.
 */
int mdbfile_look(const char *path);

/* Whether page ${pgno} is as it was written. */
bool mdbfile_guard_page(struct mdbfile_guard *g, uint64_t pgno);

/* Compare the pages that LMDB reads to look ${key} up.  0 with *leaf, or -1 with errno EBADMSG. */
int mdbfile_guard_path(struct mdbfile_guard *g, struct span key, uint64_t *leaf);
#endif
