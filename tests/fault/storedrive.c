/*
 * storedrive: the real Maildir store without a server round it.
 * Puts messages through its table of functions, several at a time, and keeps
 * a ledger of what was acknowledged on another file system, a line a change:
 *	ID OCTETS sent BOX,BOX...	before the store hears of it
 *	ID acked			done(err 0)
 *	ID refused ERRNO BOX:ERRNO,...	done() with an error, and each target's
 * Can cut the power of the store's file system right after the n-th
 * acknowledgement.  What stands in a message follows from its id, so that
 * tests/lib/store.py can compare octet by octet.  See usage().
 */
#include <sys/ioctl.h>

#include <bsd/stdlib.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "worker/store/journal.h"

#define CUT_IOCTL _IOR('X', 125, uint32_t) /* EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN */

enum {
	PIECE = 8192, /* octets a write() gets, as from a socket */
	LINE = 76,
	CUT_NOLOGFLUSH = 2
};

/* The Received field: constant, so that the end of what stands before the content can be told. */
static const char received[] = "Received: from drive by store; Tue, 24 Nov 2026 12:00:00 +0000\n";

struct slot { /* a message at a time */
	struct arena arena;
	struct txn *txn;
	struct store_msg *msg;
	struct span left;
	char *text;
	char id[32];
};

static struct {
	const char *store, *ledger, *prefix;
	unsigned messages, at_once, boxes, rcpts, folders, threads, cut_after, cut_us, linger_ms;
	size_t octets, octets_max;
	bool lmtp, delivered_to, pause, new_boxes;
} opt = { .prefix = "m",
	.messages = 100,
	.at_once = 16,
	.boxes = 4,
	.rcpts = 1,
	.threads = IOPOOL_THREADS,
	.octets = 10240,
	.octets_max = 10240,
	.delivered_to = true };

static const struct store_ops *const ops = &store_journal; /* the Maildir store itself without -j */
static struct conf_store conf = { .kind = "maildir" };
static struct store_env env = { .conf = &conf, .hostname = "drive.example", .size_max = 1 << 30 };
static void *ctx;
static int ledger, cut_fd;
static unsigned begun, ended, acked, refused;
static bool go_on;

static void
cut(void)
{
	uint32_t how = CUT_NOLOGFLUSH;

	if (ioctl(cut_fd, CUT_IOCTL, &how) == -1)
		err(EX_OSERR, "cut");
	_exit(0);
}

static void *
cut_later(void *arg)
{
	(void)arg;
	usleep(opt.cut_us);
	cut();
	return NULL;
}

static void
note(const char *line, int n)
{
	if (n < 0 || write(ledger, line, (size_t)n) != n)
		err(EX_IOERR, "%s", opt.ledger);
}

/* Sizes go evenly from the smallest to the largest, by the message's number. */
static size_t
octets_of(unsigned number)
{
	return opt.octets + (opt.octets_max - opt.octets) * (number % 7) / 6;
}

static void
make_text(struct slot *s, size_t octets)
{
	size_t n, cap = octets + 2 * LINE + 64;

	if ((s->text = malloc(cap)) == NULL)
		err(EX_OSERR, NULL);
	n = (size_t)snprintf(s->text, cap, "X-Ledger: %s %zu\r\n\r\n", s->id, octets);
	for (unsigned i = 0; n < octets; i++) {
		size_t w = (size_t)snprintf(s->text + n, cap - n, "%s %08u ", s->id, i);

		memset(s->text + n + w, 'a' + (int)(i % 26), LINE - w);
		memcpy(s->text + n + LINE, "\r\n", 2);
		n += LINE + 2;
	}
	n += (size_t)snprintf(s->text + n, cap - n, "end\r\n");
	s->left = span_of(s->text, n);
}

/* As a handler would: the folder is made where it is missing. */
static void
choose_folder(struct slot *s, unsigned number)
{
	char name[32];

	if (opt.folders == 0)
		return;
	snprintf(name, sizeof(name), "Chosen%u", number % opt.folders);
	for (struct target *tg = s->txn->targets; tg != NULL; tg = tg->next) {
		if (arena_dup(&s->arena, span_str(name), &tg->folder) == -1)
			err(EX_OSERR, NULL);
		tg->folder_make = true;
	}
}

static void
make_txn(struct slot *s, unsigned number, size_t octets)
{
	char key[64], dir[64], line[4096];
	int n;

	arena_init(&s->arena, TXN_ARENA_FIRST, TXN_ARENA_MAX);
	if ((s->txn = txn_new(&s->arena)) == NULL)
		err(EX_OSERR, NULL);
	s->txn->from.is_null = true;
	n = snprintf(line, sizeof(line), "%s %zu sent ", s->id, octets);
	for (unsigned i = 0; i < opt.rcpts; i++) {
		unsigned box = opt.new_boxes ? number * opt.rcpts + i : (number + i) % opt.boxes;
		struct rcpt *r = txn_rcpt_new(s->txn);

		snprintf(key, sizeof(key), "box%u@example.org", box);
		snprintf(dir, sizeof(dir), "example.org/%sbox%u", opt.new_boxes ? opt.prefix : "", box);
		if (r == NULL ||
		    arena_dup(&s->arena, span_head(span_str(key), strlen(key) - 12), &r->addr.local) == -1 ||
		    txn_deliver(s->txn, r, span_str(key), span_str(dir), span_str(""), NULL) == -1)
			err(EX_OSERR, NULL);
		choose_folder(s, number);
		r->addr.domain = SPAN("example.org");
		txn_rcpt_accept(s->txn, r);
		n += snprintf(line + n, sizeof(line) - (size_t)n, "%s%s", i > 0 ? "," : "", strchr(dir, '/') + 1);
	}
	n += snprintf(line + n, sizeof(line) - (size_t)n, "\n");
	note(line, n);
}

static void slot_go_on(void *arg);
static void slot_next(struct slot *s);

static void
slot_done(void *arg, const struct store_done *d)
{
	struct slot *s = arg;
	char line[8192];
	int n;

	if (d->err == 0) {
		n = snprintf(line, sizeof(line), "%s acked\n", s->id);
		acked++;
	} else {
		n = snprintf(line, sizeof(line), "%s refused %d ", s->id, d->err);
		for (struct target *tg = s->txn->targets; tg != NULL; tg = tg->next)
			n += snprintf(line + n, sizeof(line) - (size_t)n, "%s%.*s:%d", tg == s->txn->targets ? "" : ",",
			    (int)(tg->dir.n - sizeof("example.org/") + 1),
			    (const char *)tg->dir.p + sizeof("example.org/") - 1, tg->err);
		n += snprintf(line + n, sizeof(line) - (size_t)n, "\n");
		refused++;
	}
	note(line, n);
	if (d->err == 0 && acked == opt.cut_after)
		cut();
	ended++;
	free(s->text);
	arena_reset(&s->arena);
	if (d->err != 0 && opt.pause && !go_on) {
		char c;

		printf("refused %d\n", d->err);
		fflush(stdout);
		if (read(STDIN_FILENO, &c, 1) != 1)
			errx(EX_IOERR, "nobody says go on");
		go_on = true;
	}
	slot_next(s);
}

static void
slot_go_on(void *arg)
{
	struct slot *s = arg;

	while (s->left.n > 0) {
		size_t taken, n = s->left.n < PIECE ? s->left.n : PIECE;

		if (ops->write(s->msg, span_head(s->left, n), &taken) == -1) {
			s->left = span_skip(s->left, taken);
			if (errno == EAGAIN)
				return;
			break; /* lost: commit says so too */
		}
		s->left = span_skip(s->left, taken);
	}
	ops->commit(s->msg, !opt.lmtp, slot_done, s);
}

static void
slot_next(struct slot *s)
{
	unsigned number = begun;
	size_t octets = octets_of(number);

	if (begun >= opt.messages)
		return;
	begun++;
	snprintf(s->id, sizeof(s->id), "%s-%u", opt.prefix, number);
	make_txn(s, number, octets);
	make_text(s, octets);
	if (ops->begin(ctx, s->txn, span_str(received), slot_go_on, s, &s->msg) == -1)
		err(EX_OSERR, "begin");
	slot_go_on(s);
}

static unsigned
number(const char *text, long long most)
{
	const char *why;
	long long n = strtonum(text, 0, most, &why);

	if (why != NULL)
		errx(EX_USAGE, "%s: %s", text, why);
	return (unsigned)n;
}

static void
usage(void)
{
	fprintf(stderr,
	    "usage: storedrive -d STORE -l LEDGER [options]\n"
	    "\t-i PREFIX   of ids (m)\n\t-n N        messages (100)\n\t-c N        at a time (16)\n\t-t N        "
	    "threads of the pool\n"
	    "\t-s N -S N   octets from, to (10240)\n\t-b N        mailboxes (4)\n\t-B          new mailboxes for each "
	    "message\n"
	    "\t-f N        folders that a handler chose, of each mailbox (0: the inbox)\n"
	    "\t-r N        recipients a message (1)\n\t-L          each target stands for itself, as in LMTP\n"
	    "\t-1          one file, hard-linked (delivered_to = no)\n\t-p          at the first refusal say so and "
	    "wait for an octet\n"
	    "\t-k N        cut the power after the N-th acknowledgement\n\t-K US       cut it after so many "
	    "microseconds\n"
	    "\t-j MIB      with a journal of that size (0: none)\n\t-w MS       live on for so long at the end\n");
	exit(EX_USAGE);
}

static void
options(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "d:l:i:n:c:t:s:S:b:Bf:r:L1pk:K:j:w:")) != -1)
		switch (c) {
		case 'd':
			opt.store = optarg;
			break;
		case 'l':
			opt.ledger = optarg;
			break;
		case 'i':
			opt.prefix = optarg;
			break;
		case 'n':
			opt.messages = number(optarg, 10000000);
			break;
		case 'c':
			opt.at_once = number(optarg, 4096);
			break;
		case 't':
			opt.threads = number(optarg, 256);
			break;
		case 's':
			opt.octets = opt.octets_max = number(optarg, 1 << 30);
			break;
		case 'S':
			opt.octets_max = number(optarg, 1 << 30);
			break;
		case 'b':
			opt.boxes = number(optarg, 100000);
			break;
		case 'B':
			opt.new_boxes = true;
			break;
		case 'f':
			opt.folders = number(optarg, 1000);
			break;
		case 'r':
			opt.rcpts = number(optarg, 200);
			break;
		case 'L':
			opt.lmtp = true;
			break;
		case '1':
			opt.delivered_to = false;
			break;
		case 'p':
			opt.pause = true;
			break;
		case 'j':
			conf.journal = (uint64_t)number(optarg, 1024) << 20;
			break;
		case 'w':
			opt.linger_ms = number(optarg, 100000);
			break;
		case 'k':
			opt.cut_after = number(optarg, 10000000);
			break;
		case 'K':
			opt.cut_us = number(optarg, 100000000);
			break;
		default:
			usage();
		}
	if (opt.store == NULL || opt.ledger == NULL || optind != argc || opt.octets > opt.octets_max)
		usage();
}

/* As worker/main.c asks for it. */
static const char *
boot_id(void)
{
	static char id[40];
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd != -1 ? read(fd, id, sizeof(id) - 1) : 0;

	if (fd != -1)
		close(fd);
	return n > 0 ? id : NULL;
}

static bool
journal_comes(struct journal *j)
{
	bool comes;

	pthread_mutex_lock(&j->mutex);
	comes = !j->ready && !j->broken && !j->no_room;
	pthread_mutex_unlock(&j->mutex);
	return comes;
}

/* Until its first segment is there, mail would go the direct way. */
static void
journal_wait(void)
{
	struct journal *j = ((struct maildir *)ctx)->journal;

	while (j != NULL && journal_comes(j))
		usleep(1000);
}

int
main(int argc, char **argv)
{
	struct timespec t0, t1;
	struct slot *slot;
	pthread_t timer;
	double seconds;

	options(argc, argv);
	signal(SIGXFSZ, SIG_IGN);
	umask(077);
	conf.path = opt.store;
	conf.delivered_to = opt.delivered_to;
	if ((ledger = open(opt.ledger, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) == -1)
		err(EX_CANTCREAT, "%s", opt.ledger);
	if ((cut_fd = open(opt.store, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		err(EX_NOINPUT, "%s", opt.store);
	env.boot = boot_id();
	if ((env.pool = iopool_start(opt.threads, opt.at_once)) == NULL || ops->open(&env, &ctx) == -1)
		err(EX_OSERR, "start");
	journal_wait();
	if ((slot = calloc(opt.at_once, sizeof(*slot))) == NULL)
		err(EX_OSERR, NULL);
	if (opt.cut_us > 0 && pthread_create(&timer, NULL, cut_later, NULL) != 0)
		err(EX_OSERR, "timer");

	clock_gettime(CLOCK_MONOTONIC, &t0);
	for (unsigned i = 0; i < opt.at_once; i++)
		slot_next(&slot[i]);
	while (ended < begun) {
		struct pollfd p = { .fd = iopool_fd(env.pool), .events = POLLIN };

		if (poll(&p, 1, -1) == -1 && errno != EINTR)
			err(EX_OSERR, "poll");
		iopool_reap(env.pool);
	}
	clock_gettime(CLOCK_MONOTONIC, &t1);
	seconds = (double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) / 1e9;
	usleep(opt.linger_ms * 1000);
	iopool_stop(env.pool);
	ops->close(ctx);
	free(slot);
	printf("%u acked, %u refused, %.3f s, %.0f/s\n", acked, refused, seconds, (acked + refused) / seconds);
	return EX_OK;
}
