/*
 * journal_record: a message as octets of the journal, and back.
 * Checks what it reads: a tail that was torn, or one of an earlier use, is no
 * record.
 */
#include "worker/store/journal.h"

#include <errno.h>
#include <stdlib.h>

#include "common/crc32c.h"

enum { NAME_ROOM = 72 }; /* octets of a name in new/ beside the host, at the most */

_Static_assert(
    sizeof(struct journal_record) == 48 && sizeof(struct journal_target) == 16, "no padding in what is written");

static struct journal_target *
first_target(struct store_msg *m)
{
	return (struct journal_target *)(void *)(m->record + sizeof(struct journal_record));
}

/* Targets follow each other at multiples of eight. */
static size_t
target_size(const struct journal_target *t)
{
	return (sizeof(*t) + t->ndir + t->nfolder + t->name_room + t->nprefix + 7) & ~(size_t)7;
}

int
journal_record_begin(struct store_msg *m)
{
	size_t room = NAME_ROOM + strlen(m->md->unique.host), cap = sizeof(struct journal_record);
	bool delivered_to = m->md->env->conf->delivered_to;
	uint8_t *p;

	for (uint32_t i = 0; i < m->nspot; i++)
		cap += sizeof(struct journal_target) + m->spot[i].target->dir.n + m->spot[i].folder.n + room +
		    TRACE_TARGET_MAX + 8;
	if ((m->record = malloc(cap)) == NULL)
		return -1;
	p = m->record + sizeof(struct journal_record);
	for (uint32_t i = 0; i < m->nspot; i++) {
		struct journal_target *t = (struct journal_target *)(void *)p;
		struct spot *s = &m->spot[i];
		uint8_t *q = p + sizeof(*t);
		ssize_t n;

		*t = (struct journal_target){ .ndir = (uint16_t)s->target->dir.n,
			.nfolder = (uint16_t)s->folder.n,
			.name_room = (uint16_t)room,
			.make = s->target->folder_make };
		memcpy(q, s->target->dir.p, s->target->dir.n);
		q += s->target->dir.n;
		if (s->folder.n > 0)
			memcpy(q, s->folder.p, s->folder.n);
		q += s->folder.n;
		memset(q, '\0', room);
		q += room;
		n = trace_target(m->txn, s->target, delivered_to, m->received, (char *)q, TRACE_TARGET_MAX);
		if (n <= 0) {
			errno = EMSGSIZE;
			return -1;
		}
		t->nprefix = (uint32_t)n;
		s->prefix = span_of(q, (size_t)n);
		memset(q + n, '\0', 8); /* what fills up */
		p += target_size(t);
	}
	m->nrecord = (size_t)(p - m->record);
	return 0;
}

void
journal_record_complete(struct store_msg *m)
{
	struct journal_record *r = (struct journal_record *)(void *)m->record;
	struct journal_target *t = first_target(m);
	size_t n = m->nrecord - sizeof(*r);
	char name[UNIQUE_MAX];

	for (uint32_t i = 0; i < m->nspot; i++) {
		const struct spot *s = &m->spot[i];
		uint8_t *q = (uint8_t *)(t + 1) + t->ndir + t->nfolder;

		t->skip = s->err != 0;
		if (!t->skip) {
			unique_new(&m->md->unique, &s->tmp_name, s->size, name);
			t->nname = (uint16_t)strlen(name);
			if (t->nname > t->name_room) /* NAME_ROOM is wrong: a broken build */
				abort();
			memcpy(q, name, t->nname);
			/* The sub-folder was not there: it stands in the mailbox itself. */
			if (s->folder.n == 0 && t->nfolder > 0)
				memset((uint8_t *)(t + 1) + t->ndir, '\0', t->nfolder);
		}
		t = (struct journal_target *)(void *)((uint8_t *)t + target_size(t));
	}
	*r = (struct journal_record){ .magic = JOURNAL_MAGIC,
		.kind = JOURNAL_MESSAGE,
		.ntargets = (uint16_t)m->nspot,
		.ncontent = (uint32_t)m->nfill,
		.len = (uint32_t)(m->nrecord + m->nfill) };
	r->body_crc = crc32c(crc32c(0, m->record + sizeof(*r), n), m->fill, m->nfill);
}

static uint32_t
record_crc(const struct journal_record *r)
{
	const size_t at = offsetof(struct journal_record, use);

	return crc32c(0, (const uint8_t *)r + at, sizeof(*r) - at);
}

void
journal_record_seal(struct journal_record *r, uint64_t use, uint64_t pos, bool last)
{
	r->use = use;
	r->pos = pos;
	r->last = last;
	r->crc = record_crc(r);
}

/* Whether the targets of a record whose checksum is right lie within it: a bug must not become a wild pointer. */
static bool
targets_fit(const struct journal_record *r)
{
	const uint8_t *p = (const uint8_t *)(r + 1), *end = (const uint8_t *)r + r->len - r->ncontent;

	for (unsigned i = 0; i < r->ntargets; i++) {
		const struct journal_target *t = (const struct journal_target *)(const void *)p;

		if ((size_t)(end - p) < sizeof(*t) || (size_t)(end - p) < target_size(t) || t->nname > t->name_room)
			return false;
		p += target_size(t);
	}
	return p == end;
}

const struct journal_record *
journal_record_at(const uint8_t *seg, const struct journal_head *h, uint64_t pos)
{
	const struct journal_record *r = (const struct journal_record *)(const void *)(seg + pos);

	if (pos > h->size || h->size - pos < sizeof(*r) || r->magic != JOURNAL_MAGIC || r->use != h->use ||
	    r->pos != pos || r->crc != record_crc(r) || r->len > h->size - pos || r->len < sizeof(*r) ||
	    r->ncontent > r->len - sizeof(*r) || r->body_crc != crc32c(0, r + 1, r->len - sizeof(*r)))
		return NULL;
	switch (r->kind) {
	case JOURNAL_MESSAGE:
		return targets_fit(r) ? r : NULL;
	case JOURNAL_VOID:
		return r->len == sizeof(*r) + sizeof(struct journal_void) ? r : NULL;
	default:
		return NULL;
	}
}

uint64_t
journal_record_next(const struct journal_record *r)
{
	uint64_t unit = r->last ? JOURNAL_BLOCK : 8;

	return (r->pos + r->len + unit - 1) & ~(unit - 1);
}
