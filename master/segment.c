/*
 * segment: see segment.h.  The order at a change: the new file under another
 * name, all that was counted carried there, the name; what was counted until
 * the name was given, carried; settled.  So whoever opens the new file waits
 * for as much as he can have seen in the old one.
 */
#include "master/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/version.h"
#include "master/state.h"

/* Take slots of ${fd} for ourselves.  0, or -1 with errno. */
static int
use(struct master *m, int fd)
{
	struct stats_slot *own = stats_slot_map(fd, 0, 0), *carried = stats_slot_map(fd, STATS_SLOT_CARRIED, 0);

	if (own == NULL || carried == NULL) {
		stats_slot_unmap(own);
		stats_slot_unmap(carried);
		return -1;
	}
	/* It is no process. */
	stats_slot_release(carried);
	stats_slot_unmap(m->stats);
	stats_slot_unmap(m->carried);
	m->stats = own;
	m->carried = carried;
	m->stats_fd = fd;
	return 0;
}

int
segment_create(struct master *m)
{
	int fd = stats_create_next(m->state_fd, LETTERPLATE_VERSION, (uint64_t)time(NULL));

	m->segment_settled = fd >= 0 && stats_settle(fd) == 0;
	return m->segment_settled && stats_publish(m->state_fd) == 0 ? use(m, fd) : -1;
}

static unsigned
count(const struct master *m)
{
	const struct segment *s;
	unsigned n = 0;

	LIST_FOREACH(s, &m->segments, entry)
		n++;
	return n;
}

static int
look(struct master *m)
{
	struct segment *s;

	LIST_FOREACH(s, &m->segments, entry)
		if (stats_carry_look(&s->carry, m->carried) != 0)
			return -1;
	return 0;
}

/* Make a new one for what ${s} leads on from, and count in it.  0, or -1 with errno. */
static int
renew(struct master *m, const struct segment *s)
{
	int old = m->stats_fd, fd = stats_create_next(m->state_fd, LETTERPLATE_VERSION, s->carry.form.started), err;

	if (fd >= 0 && use(m, fd) == 0) {
		close(old);
		return 0;
	}
	err = errno;
	if (fd >= 0)
		close(fd);
	errno = err;
	return -1;
}

/* From a segment on to a new one, which has no name yet.  0, or -1 with errno: all stays as it was. */
static int
move_on(struct master *m)
{
	struct segment *s = count(m) < SEGMENTS_MAX ? calloc(1, sizeof *s) : (errno = EBUSY, NULL);
	int err;

	if (s == NULL)
		return -1;
	if (stats_carry_open(&s->carry, fcntl(m->stats_fd, F_DUPFD_CLOEXEC, 3), -1) != 0 || renew(m, s) != 0) {
		err = errno;
		stats_carry_close(&s->carry);
		free(s);
		errno = err;
		return -1;
	}
	s->number = m->segment++;
	LIST_INSERT_HEAD(&m->segments, s, entry);
	m->segment_settled = false;
	/* Should that fail, it is done again before anybody is shown it. */
	(void)look(m);
	return 0;
}

/* --- over an upgrade --- */

int
segment_fits(const struct master *m, char *why, size_t cap)
{
	struct stats_form form;
	int fd = -1;

	if (stats_layout_check(m->stats_fd) == 0)
		return 0;
	if (errno != EPROTONOSUPPORT)
		snprintf(why, cap, "the counters cannot be read: %s", strerror(errno));
	else if (stats_form_read(m->stats_fd, &form) != 0)
		snprintf(why, cap,
		    "its counters are laid out differently, and the old ones do not say how; it needs a restart");
	else if (count(m) >= SEGMENTS_MAX)
		snprintf(why, cap, "workers of %u builds still finish their sessions; try again later", count(m) + 1);
	else if ((fd = stats_create_next(m->state_fd, LETTERPLATE_VERSION, form.started)) < 0)
		snprintf(why, cap,
		    "its counters are laid out differently, and a new file for them cannot be made in state_dir: %s",
		    strerror(errno));
	if (fd < 0)
		return -1;
	(void)unlinkat(m->state_fd, STATS_NEXT, 0);
	close(fd);
	return 0;
}

int
segment_resume(struct master *m)
{
	m->segment_settled = true;
	return stats_layout_check(m->stats_fd) == 0 ? use(m, m->stats_fd) : move_on(m);
}

void
segment_put(const struct master *m, struct facts *f)
{
	const struct segment *s;

	LIST_FOREACH(s, &m->segments, entry) {
		facts_begin(f, "segment");
		facts_u64(f, "number", s->number);
		state_put_fd(f, "fd", s->carry.fd);
		state_put_fd(f, "seen", s->carry.seen);
		facts_end(f);
	}
}

int
segment_get(struct master *m, const struct fact *f, char *why, size_t cap)
{
	struct segment *s = calloc(1, sizeof *s);
	int fd = state_get_fd(f, "fd"), seen = state_get_fd(f, "seen");

	if (s == NULL || fd < 0 || seen < 0 || count(m) >= SEGMENTS_MAX || stats_carry_open(&s->carry, fd, seen) != 0) {
		snprintf(why, cap, "an earlier segment of counters cannot be taken over");
		free(s);
		return -1;
	}
	s->number = (uint64_t)facts_num(f, "number", 0, INT64_MAX, 0);
	LIST_INSERT_HEAD(&m->segments, s, entry);
	return 0;
}

/* --- who counts where --- */

static struct segment *
find(const struct master *m, const struct generation *gen)
{
	struct segment *s;

	LIST_FOREACH(s, &m->segments, entry)
		if (s->number == gen->segment)
			return s;
	return NULL;
}

int
segment_of(const struct master *m, const struct generation *gen)
{
	const struct segment *s = find(m, gen);

	return s != NULL ? s->carry.fd : m->stats_fd;
}

int
segment_beat(const struct master *m, unsigned i, uint64_t *beat)
{
	const struct segment *s = find(m, m->slot[i].gen);

	return s != NULL ? stats_carry_beat(&s->carry, i, beat) : stats_beat_of(m->stats_fd, i, beat);
}

static void
show_owner(const struct master *m, const struct segment *s, unsigned i)
{
	struct stats_slot *here = s != NULL ? stats_slot_borrow(m->stats_fd, i) : NULL;

	if (here != NULL)
		(void)stats_carry_owner(&s->carry, i, here);
	stats_slot_unmap(here);
}

/* Who counts elsewhere is shown here: nobody else writes those slots. */
static void
show_owners(const struct master *m)
{
	for (unsigned i = 1; i < MASTER_SLOTS; i++)
		if (m->slot[i].state != WORKER_FREE && m->slot[i].pid > 0)
			show_owner(m, find(m, m->slot[i].gen), i);
	if (m->serving != NULL && m->starting == NULL)
		show_owner(m, find(m, m->serving), STATS_SLOT_REPORTS);
}

static void
let_go(struct master *m)
{
	struct segment *s, *next;
	const struct generation *gen;

	LIST_FOREACH_SAFE(s, &m->segments, entry, next)
	{
		bool used = false;

		LIST_FOREACH(gen, &m->generation, entry)
			used = used || gen->segment == s->number;
		if (used)
			continue;
		LIST_REMOVE(s, entry);
		stats_carry_close(&s->carry);
		free(s);
	}
}

/* --- the file --- */

/* Whether ${name} in state_dir is the segment that we count in. */
static bool
is_ours(const struct master *m, const char *name)
{
	struct stat ours, there;

	return fstat(m->stats_fd, &ours) == 0 && fstatat(m->state_fd, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	    ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

/* The segment's name leads to it.  0, or -1 with errno. */
static int
publish(struct master *m)
{
	if (is_ours(m, STATS_FILE))
		return 0;
	if (!is_ours(m, STATS_NEXT)) {
		if (move_on(m) != 0)
			return -1;
		log_msg(LOG_L_WARN, "stats", "the file of the counters was gone; it is made anew, nothing is lost");
	}
	return stats_publish(m->state_fd);
}

static void
failed(struct master *m, const char *what)
{
	int64_t now = master_now_ms();

	if (m->segment_said_ms != 0 && now - m->segment_said_ms < SEGMENT_SAY_MS)
		return;
	log_msg(LOG_L_ERROR, "stats", "%s: %s; who reads them sees old ones or none", what, strerror(errno));
	m->segment_said_ms = now;
}

void
segment_due(struct master *m, bool now)
{
	if (!now && master_now_ms() - m->segment_ms < SEGMENT_LOOK_MS)
		return;
	m->segment_ms = master_now_ms();
	/* While an upgrade may still go back, the old file is the one that tells. */
	if (!m->upgrade.running && publish(m) != 0) {
		failed(m, "the counters cannot be published in state_dir");
	} else if (look(m) != 0) {
		failed(m, "the counters of earlier workers cannot be read");
	} else {
		if (!m->upgrade.running && !m->segment_settled)
			m->segment_settled = stats_settle(m->stats_fd) == 0;
		let_go(m);
	}
	show_owners(m);
}
