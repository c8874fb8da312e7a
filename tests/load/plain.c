/*
 * plain: the least that a durable Maildir delivery can be, to measure the
 * store against: create in tmp/, write, fsync, close, rename into new/, fsync
 * new/, in a loop in each of N threads.  No pool, no names, no folders made.
 */
#include <sys/stat.h>

#include <bsd/stdlib.h>
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BOXES = 64, OCTETS_MAX = 1 << 20 };

static struct {
	int tmp, new;
} box[BOXES];
static char text[OCTETS_MAX];
static unsigned messages, nthreads, nboxes, octets;

static void *
deliver(void *arg)
{
	unsigned self = *(unsigned *)arg;
	char name[64];

	for (unsigned i = self; i < messages; i += nthreads) {
		unsigned b = i % nboxes;
		int fd;

		snprintf(name, sizeof(name), "%u.%u", self, i);
		if ((fd = openat(box[b].tmp, name, O_WRONLY | O_CREAT | O_EXCL, 0600)) == -1 ||
		    write(fd, text, octets) != (ssize_t)octets || fsync(fd) == -1 || close(fd) == -1 ||
		    renameat(box[b].tmp, name, box[b].new, name) == -1 || fsync(box[b].new) == -1)
			err(1, "%s", name);
	}
	return NULL;
}

static unsigned
number(const char *s, long long most)
{
	const char *why;
	long long n = strtonum(s, 1, most, &why);

	if (why != NULL)
		errx(64, "%s: %s", s, why);
	return (unsigned)n;
}

int
main(int argc, char **argv)
{
	struct timespec t0, t1;
	pthread_t thread[256];
	unsigned id[256];
	char path[512];
	double s;

	if (argc != 6)
		errx(64, "usage: plain FOLDER MESSAGES THREADS OCTETS MAILBOXES");
	messages = number(argv[2], 10000000);
	nthreads = number(argv[3], 256);
	octets = number(argv[4], OCTETS_MAX);
	nboxes = number(argv[5], BOXES);
	memset(text, 'x', sizeof(text));
	for (unsigned b = 0; b < nboxes; b++)
		for (int i = 0; i < 3; i++) {
			snprintf(path, sizeof(path), "%s/box%u%s", argv[1], b, i == 0 ? "" : i == 1 ? "/tmp" : "/new");
			if (mkdir(path, 0700) == -1)
				err(1, "%s", path);
			if (i > 0 && (*(i == 1 ? &box[b].tmp : &box[b].new) = open(path, O_RDONLY | O_DIRECTORY)) == -1)
				err(1, "%s", path);
		}
	sync();
	clock_gettime(CLOCK_MONOTONIC, &t0);
	for (unsigned i = 0; i < nthreads; i++) {
		id[i] = i;
		if (pthread_create(&thread[i], NULL, deliver, &id[i]) != 0)
			errx(1, "pthread_create");
	}
	for (unsigned i = 0; i < nthreads; i++)
		pthread_join(thread[i], NULL);
	clock_gettime(CLOCK_MONOTONIC, &t1);
	s = (double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) / 1e9;
	printf("%u stored, %.3f s, %.0f/s\n", messages, s, messages / s);
	return 0;
}
