/*
 * watch: the table again and again, with rates.
 * The segment is opened anew each time, so a server that was started again, or
 * stopped, is seen as such.  On a terminal it takes the second screen and puts
 * everything back at its end, whatever ends it.
 */
#include <sys/ioctl.h>
#include <sys/signalfd.h>

#include <err.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "tools/stats/format.h"
#include "tools/stats/history.h"
#include "tools/stats/show.h"

struct watch {
	const char *path;
	unsigned interval_ms;
	bool json, screen, keys, colour, utf8;
	bool resized; /* draw again at once */
	int signals;  /* signalfd: INT, TERM, HUP, WINCH */
	struct termios was;
	struct sample last;
	bool have_last;
	struct history history;
};

/* Whether the terminal shows UTF-8, by the words that a locale is chosen by. */
static bool
is_utf8(void)
{
	static const char *const name[] = { "LC_ALL", "LC_CTYPE", "LANG" };

	for (size_t i = 0; i < sizeof(name) / sizeof(*name); i++) {
		const char *v = getenv(name[i]);

		if (v != NULL && *v != '\0')
			return strcasestr(v, "utf-8") != NULL || strcasestr(v, "utf8") != NULL;
	}
	return false;
}

/* The second screen, no cursor, no line wrapped. */
static const char screen_on[] = "\033[?1049h\033[?25l\033[?7l", screen_off[] = "\033[?7h\033[?25h\033[?1049l";

static int
begin(struct watch *w)
{
	struct termios raw;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGWINCH);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0 || (w->signals = signalfd(-1, &set, SFD_CLOEXEC)) == -1)
		return -1;
	w->screen = !w->json && isatty(STDOUT_FILENO) == 1;
	w->utf8 = is_utf8();
	w->colour = w->screen && getenv("NO_COLOR") == NULL;
	/* A process in the background must not touch the terminal's settings: SIGTTOU would stop it. */
	w->keys = w->screen && isatty(STDIN_FILENO) == 1 && tcgetpgrp(STDIN_FILENO) == getpgrp() &&
	    tcgetattr(STDIN_FILENO, &w->was) == 0;
	if (w->keys) {
		raw = w->was;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		raw.c_cc[VMIN] = 1;
		raw.c_cc[VTIME] = 0;
		raw.c_cc[VSUSP] = _POSIX_VDISABLE;
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	if (w->screen)
		fputs(screen_on, stdout);
	return 0;
}

static void
end(struct watch *w)
{
	if (w->screen)
		fputs(screen_off, stdout);
	fflush(stdout);
	if (w->keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &w->was);
	close(w->signals);
	if (w->have_last)
		sample_free(&w->last);
}

/* What fits the screen, each line to its end and no line more; the rest of the screen is cleared. */
static void
put_screen(const char *text)
{
	struct winsize ws = { 0 };
	unsigned rows = ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_row > 1 ? ws.ws_row : 24;

	fputs("\033[H", stdout);
	for (unsigned i = 1; i < rows && *text != '\0'; i++) {
		size_t n = strcspn(text, "\n");

		fwrite(text, 1, n, stdout);
		fputs("\033[K\n", stdout);
		text += n + (text[n] == '\n');
	}
	fputs("\033[J", stdout);
}

static void
render(struct watch *w, FILE *f, const struct sample *now, const char *error)
{
	char a[FORMAT_MAX];

	if (w->json) {
		if (error == NULL)
			json_print(f, now, true);
		else
			show_error(error);
		return;
	}
	fprintf(f, "%s   %s   every %.1f s%s\n", format_time((uint64_t)time(NULL), a), w->path, w->interval_ms / 1000.0,
	    w->keys ? "   q ends" : "");
	if (error != NULL)
		fprintf(f, "\n%s\n", error);
	else {
		const struct sample *before = w->have_last && sample_continues(&w->last, now) ? &w->last : NULL;

		history_add(&w->history, now, before);
		if (w->screen)
			history_print(f, &w->history, w->colour, w->utf8);
		table_print(f, now, before, w->colour);
	}
	if (!w->screen)
		fputc('\n', f);
}

/* One look.  0, or a sysexits code when there is no going on. */
static int
look(struct watch *w, const struct sample *now, const char *error)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f;

	if ((f = open_memstream(&text, &n)) == NULL)
		return EX_OSERR;
	render(w, f, now, error);
	if (fclose(f) != 0)
		return EX_OSERR;
	if (w->screen)
		put_screen(text);
	else
		fputs(text, stdout);
	free(text);
	return fflush(stdout) != 0 ? EX_IOERR : 0;
}

static uint64_t
mono_ms(void)
{
	struct timespec t = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Whether somebody wants it to end: a signal, or q at the keyboard. */
static bool
told_to_end(struct watch *w, const struct pollfd pfd[2])
{
	struct signalfd_siginfo si;
	char key = 'q'; /* a keyboard that went away ends it too */

	if (pfd[0].revents != 0 && read(w->signals, &si, sizeof(si)) == (ssize_t)sizeof(si) && si.ssi_signo != SIGWINCH)
		return true;
	w->resized = pfd[0].revents != 0;
	return pfd[1].revents != 0 && read(STDIN_FILENO, &key, 1) >= 0 && (key == 'q' || key == 'Q' || key == 4);
}

/* Wait until ${until}; true when it is time to end. */
static bool
pause_until(struct watch *w, uint64_t until)
{
	struct pollfd pfd[2] = {
		{ .fd = w->signals, .events = POLLIN },
		{ .fd = w->keys ? STDIN_FILENO : -1, .events = POLLIN },
	};
	uint64_t now;

	w->resized = false;
	while (!w->resized && (now = mono_ms()) < until) {
		pfd[0].revents = pfd[1].revents = 0;
		if (poll(pfd, 2, (int)(until - now)) > 0 && told_to_end(w, pfd))
			return true;
	}
	return false;
}

static int
run(struct watch *w)
{
	char error[SHOW_ERROR_MAX];
	uint64_t next = mono_ms();
	struct sample now;
	int code;

	for (;;) {
		bool there = sample_take(w->path, &now, error) == 0;

		if ((code = look(w, &now, there ? NULL : error)) != 0)
			return code;
		if (there) {
			if (w->have_last)
				sample_free(&w->last);
			w->last = now;
			w->have_last = true;
		}
		/* After a pause of the machine the missed turns are left out. */
		next = next + w->interval_ms > mono_ms() ? next + w->interval_ms : mono_ms() + w->interval_ms;
		if (pause_until(w, next))
			return EX_OK;
	}
}

int
watch_run(const char *path, unsigned interval_ms, bool json)
{
	struct watch w = { .path = path, .interval_ms = interval_ms, .json = json };
	char error[SHOW_ERROR_MAX];
	int code = sample_take(path, &w.last, error);

	/* A wrong name is told at once; a segment that goes away later is waited for. */
	if (code != 0) {
		show_error(error);
		return code;
	}
	sample_free(&w.last);
	if (begin(&w) != 0) {
		warn("signals");
		return EX_OSERR;
	}
	code = run(&w);
	end(&w);
	return code;
}
