/*
 * place: see place.h.
 */
#include "worker/store/place.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/log.h"

static struct {
	struct iojob job;
	const char *path;
	int root;
	int found; /* the pool's answer */
	int lost;  /* the loop's */
	bool asked;
} place = { .root = -1 };

/* Both are asked at that moment: a number remembered from the start may have changed (overlayfs). */
static void
place_ask(struct iojob *j)
{
	struct stat open, there;

	(void)j;
	if (fstat(place.root, &open) != 0)
		return;
	if (stat(place.path, &there) == 0)
		place.found = open.st_dev == there.st_dev && open.st_ino == there.st_ino ? 0 : ESTALE;
	else if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)
		place.found = errno;
	/* Else it cannot be followed (EACCES, EIO), which does not say where it leads. */
}

static void
place_found(struct iojob *j)
{
	struct log_line l;
	char why[256];

	(void)j;
	place.asked = false;
	if (place.found == place.lost)
		return;
	place.lost = place.found;
	if (place.lost == 0) {
		log_begin(&l, LOG_L_INFO, "store-back");
	} else {
		log_begin(&l, LOG_L_ERROR, "store-moved");
		snprintf(why, sizeof why,
		    "%s: mail is answered 451 until the folder of the start is back, or a reload or restart takes the "
		    "one that is there",
		    place.lost == ESTALE ? "another folder is there" : strerror(place.lost));
		log_str(&l, "why", why);
	}
	log_str(&l, "store", place.path);
	log_end(&l);
}

void
place_of(const char *path, int root)
{
	place.path = path;
	place.root = root;
	place.found = place.lost = 0;
}

void
place_tick(struct iopool *pool)
{
	if (place.root == -1 || place.asked)
		return;
	place.job = (struct iojob){ .run = place_ask, .done = place_found };
	place.asked = iopool_submit(pool, &place.job) == 0;
}

int
place_lost(void)
{
	return place.lost;
}
