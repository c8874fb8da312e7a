/*
 * progress: the bar.  Drawn at most ten times a second, over itself.
 */
#include "tools/mailboxes/progress.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WIDTH = 30, EVERY_MS = 100 };

static uint64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void
progress_begin(struct progress *p, const char *what)
{
	p->on = isatty(STDERR_FILENO) == 1;
	p->what = what;
	p->begun_ms = p->shown_ms = now_ms();
}

void
progress_show(struct progress *p, uint64_t done, uint64_t total, uint64_t items)
{
	char bar[WIDTH + 1];
	uint64_t now, rate;
	size_t full;

	if (!p->on)
		return;
	now = now_ms();
	if (now - p->shown_ms < EVERY_MS)
		return;
	p->shown_ms = now;
	rate = items * 1000 / (now - p->begun_ms);
	if (total == 0) {
		fprintf(stderr, "\r%-8s %llu entries, %llu a second ", p->what, (unsigned long long)items,
		    (unsigned long long)rate);
		return;
	}
	full = done < total ? (size_t)((double)done / (double)total * WIDTH) : WIDTH;
	memset(bar, '.', WIDTH);
	memset(bar, '#', full);
	bar[WIDTH] = '\0';
	fprintf(stderr, "\r%-8s [%s] %3.0f %%  %llu entries, %llu a second ", p->what, bar,
	    (double)(done < total ? done : total) / (double)total * 100, (unsigned long long)items,
	    (unsigned long long)rate);
}

void
progress_end(struct progress *p)
{
	if (p->on)
		fputs("\r\033[K", stderr);
}
