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
	bool resized;       /* draw again at once */
	char *text;         /* what was drawn last */
	unsigned top, page; /* lines of the text above the part that is shown; lines of that part */
	int signals;        /* signalfd: INT, TERM, HUP, WINCH */
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
	free(w->text);
	if (w->have_last)
		sample_free(&w->last);
}

/* ${text} behind its first ${n} lines. */
static const char *
skip_lines(const char *text, unsigned n)
{
	for (; n > 0 && *text != '\0'; n--) {
		text += strcspn(text, "\n");
		text += *text == '\n';
	}
	return text;
}

/* ${n} lines of ${text}, each with the rest of its row cleared. */
static void
put_lines(const char *text, unsigned n)
{
	for (; n > 0 && *text != '\0'; n--) {
		size_t len = strcspn(text, "\n");

		fwrite(text, 1, len, stdout);
		fputs("\033[K\n", stdout);
		text += len + (text[len] == '\n');
	}
}

/*
 * What fits the screen: the first line, then the part that was moved to, and
 * below it where that is.  The last row stays empty, so that nothing scrolls.
 */
static void
put_screen(struct watch *w, const char *text)
{
	struct winsize ws = { 0 };
	unsigned rows = ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_row > 1 ? ws.ws_row - 1u : 23, lines = 0;

	for (const char *at = text; *at != '\0'; at = skip_lines(at, 1))
		lines++;
	fputs("\033[H", stdout);
	w->page = rows > 2 ? rows - 2 : 1;
	if (lines <= rows || rows <= 2) {
		w->top = 0;
		put_lines(text, rows);
	} else {
		unsigned most = lines - 1 - w->page;

		w->top = w->top < most ? w->top : most;
		put_lines(text, 1);
		put_lines(skip_lines(text, 1 + w->top), w->page);
		printf("  lines %u to %u of %u%s\033[K\n", w->top + 1, w->top + w->page, lines - 1,
		    w->keys ? "; arrow keys, space, b, g and G move" : "");
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
	free(w->text);
	w->text = text;
	if (w->screen)
		put_screen(w, text);
	else
		fputs(text, stdout);
	return fflush(stdout) != 0 ? EX_IOERR : 0;
}

static uint64_t
mono_ms(void)
{
	struct timespec t = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Move the part that is shown as ${key} says, or end: q, and what the keyboard's end looks like. */
static bool
pressed(struct watch *w, const char *key)
{
	static const struct {
		const char *key;
		int lines, pages;
	} moves[] = { { "\033[A", -1, 0 }, { "\033OA", -1, 0 }, { "k", -1, 0 }, { "\033[B", 1, 0 }, { "\033OB", 1, 0 },
		{ "j", 1, 0 }, { "\n", 1, 0 }, { "\r", 1, 0 }, { "\033[5~", 0, -1 }, { "b", 0, -1 },
		{ "\033[6~", 0, 1 }, { " ", 0, 1 }, { "\033[H", 0, -1000 }, { "g", 0, -1000 }, { "\033[F", 0, 1000 },
		{ "G", 0, 1000 } };

	for (size_t i = 0; i < sizeof moves / sizeof *moves; i++) {
		int64_t to = (int64_t)w->top + moves[i].lines + (int64_t)moves[i].pages * w->page;

		if (strcmp(key, moves[i].key) != 0)
			continue;
		/* Past the end is put right where the lines are counted. */
		w->top = to > 0 ? (unsigned)to : 0;
		put_screen(w, w->text);
		fflush(stdout);
		return false;
	}
	return strcmp(key, "q") == 0 || strcmp(key, "Q") == 0 || strcmp(key, "\004") == 0 || *key == '\0';
}

/* Whether somebody wants it to end: a signal, or q at the keyboard.  A key comes in one read, or a few that were held down. */
static bool
told_to_end(struct watch *w, const struct pollfd pfd[2])
{
	struct signalfd_siginfo si;
	char keys[64], one[8];
	ssize_t n;

	if (pfd[0].revents != 0 && read(w->signals, &si, sizeof(si)) == (ssize_t)sizeof(si) && si.ssi_signo != SIGWINCH)
		return true;
	w->resized = pfd[0].revents != 0;
	if (pfd[1].revents == 0)
		return false;
	n = read(STDIN_FILENO, keys, sizeof(keys));
	if (n <= 0)
		return n == 0 || (errno != EINTR && errno != EAGAIN); /* a keyboard that went away ends it too */
	for (ssize_t at = 0; at < n;) {
		size_t len = 1;

		/* ESC, [ or O, numbers, and a letter or a tilde. */
		while (keys[at] == '\033' && len < sizeof(one) - 1 && at + (ssize_t)len < n &&
		    (len < 3 || (keys[at + (ssize_t)len - 1] >= '0' && keys[at + (ssize_t)len - 1] <= '9')))
			len++;
		memcpy(one, keys + at, len);
		one[len] = '\0';
		if (pressed(w, one))
			return true;
		at += (ssize_t)len;
	}
	return false;
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
