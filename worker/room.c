/*
 * room: see room.h.
 */
#include "worker/room.h"

#include <sys/statvfs.h>

#include <errno.h>
#include <fcntl.h>

static struct {
	struct iojob job;
	struct stats_slot *stats;
	struct statvfs found;
	int fd, err;
	uint64_t next_ms; /* when the next question is due */
	bool asked;
} room = { .fd = -1 };

int
room_open(const char *path)
{
	room.fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	room.next_ms = 0;
	return room.fd >= 0 ? 0 : -1;
}

static void
room_ask(struct iojob *j)
{
	(void)j;
	room.err = fstatvfs(room.fd, &room.found) == 0 ? 0 : errno;
}

/* What is left to others than root, who alone has the rest. */
static void
room_found(struct iojob *j)
{
	const struct statvfs *v = &room.found;

	(void)j;
	room.asked = false;
	if (room.err != 0)
		return;
	stats_gauge(room.stats, STATS_STORE_FREE, (uint64_t)v->f_bavail * v->f_frsize);
	stats_gauge(room.stats, STATS_STORE_SIZE, (uint64_t)v->f_blocks * v->f_frsize);
	stats_gauge(room.stats, STATS_STORE_FILES_FREE, v->f_favail);
}

void
room_tick(struct iopool *pool, struct stats_slot *s, uint64_t now_ms)
{
	if (room.fd < 0 || room.asked || now_ms < room.next_ms)
		return;
	room.next_ms = now_ms + ROOM_EVERY_MS;
	room.stats = s;
	room.job = (struct iojob){ .run = room_ask, .done = room_found };
	room.asked = iopool_submit(pool, &room.job) == 0;
}
