/*
 * serve: the counters over HTTP: for Prometheus, for programs, for a browser.
 * One thread, bounded connections, GET alone; each answer is made from the
 * segment as it is then, and nothing is asked of the server.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include <bsd/stdlib.h>

#include "common/version.h"
#include "tools/stats/assets.h"
#include "tools/stats/confine.h"
#include "tools/stats/show.h"

enum {
	CONNECTIONS_MAX = 64,
	CONNECTION_MEMORY = 16 << 10, /* octets; a request's head has to fit */
	TIMEOUT_S = 10                /* a connection that says nothing */
};

static const char usage_text[] = "usage: letterplate-stats serve -s FILE [--listen ADDRESS:PORT]\n"
				 "\n"
				 "  -s FILE             the stats segment: state_dir/stats, or its folder\n"
				 "      --listen A:P    where to (127.0.0.1:9825); [::1]:9825 for IPv6\n"
				 "\n"
				 "  /metrics for Prometheus, /stats.json, and / a page of live charts\n";

typedef int print_fn(FILE *f, const struct sample *s);

static int
print_json(FILE *f, const struct sample *s)
{
	return json_print(f, s, true);
}

static int
print_prometheus(FILE *f, const struct sample *s)
{
	prometheus_print(f, s);
	return 0;
}

/* --- an answer --- */

static enum MHD_Result
answer(struct MHD_Connection *c, unsigned status, const char *type, struct MHD_Response *r)
{
	enum MHD_Result done;

	if (r == NULL)
		return MHD_NO;
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	MHD_add_response_header(r, "Referrer-Policy", "no-referrer");
	/* The page needs nothing but its own files, and may be in nobody's frame. */
	MHD_add_response_header(r, "Content-Security-Policy",
	    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
	    "form-action 'none'; frame-ancestors 'none'");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	done = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return done;
}

static enum MHD_Result
answer_words(struct MHD_Connection *c, unsigned status, const char *words)
{
	return answer(c, status, "text/plain; charset=utf-8",
	    MHD_create_response_from_buffer(strlen(words), (void *)(uintptr_t)words, MHD_RESPMEM_MUST_COPY));
}

/* The segment cannot be read: said in the form that was asked for, and without the path, which is nobody's business. */
static enum MHD_Result
answer_error(struct MHD_Connection *c, bool json)
{
	static char text[] = "{\"error\":\"the counters cannot be read\"}\n";

	if (!json)
		return answer_words(c, MHD_HTTP_SERVICE_UNAVAILABLE, "the counters cannot be read\n");
	return answer(c, MHD_HTTP_SERVICE_UNAVAILABLE, "application/json",
	    MHD_create_response_from_buffer(sizeof(text) - 1, text, MHD_RESPMEM_PERSISTENT));
}

static enum MHD_Result
answer_sample(struct MHD_Connection *c, const char *path, print_fn *print, const char *type)
{
	char error[SHOW_ERROR_MAX], *text = NULL;
	struct sample s;
	size_t n = 0;
	FILE *f;
	int r;

	if (sample_take(path, &s, error) != 0)
		return answer_error(c, print == print_json);
	f = open_memstream(&text, &n);
	r = f != NULL ? print(f, &s) : -1;
	sample_free(&s);
	if (f == NULL || fclose(f) != 0 || r != 0) {
		free(text);
		return answer_words(c, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory\n");
	}
	return answer(c, MHD_HTTP_OK, type, MHD_create_response_from_buffer(n, text, MHD_RESPMEM_MUST_FREE));
}

static enum MHD_Result
handle(void *path, struct MHD_Connection *c, const char *url, const char *method, const char *version, const char *body,
    size_t *n, void **state)
{
	static int seen;
	const struct asset *a;

	(void)version;
	(void)body;
	/* First the head alone: an answer to it now would close on a client that still sends. */
	if (*state == NULL) {
		*state = &seen;
		return MHD_YES;
	}
	if (*n != 0) {
		*n = 0;
		return MHD_YES;
	}
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return answer_words(c, MHD_HTTP_METHOD_NOT_ALLOWED, "GET alone\n");
	if (strcmp(url, "/metrics") == 0)
		return answer_sample(c, path, print_prometheus, "text/plain; version=0.0.4; charset=utf-8");
	if (strcmp(url, "/stats.json") == 0)
		return answer_sample(c, path, print_json, "application/json");
	if ((a = assets_find(url)) == NULL)
		return answer_words(c, MHD_HTTP_NOT_FOUND, "there are /, /metrics and /stats.json\n");
	return answer(c, MHD_HTTP_OK, a->type,
	    MHD_create_response_from_buffer(
		(size_t)(a->end - a->octets), (void *)(uintptr_t)a->octets, MHD_RESPMEM_PERSISTENT));
}

/* --- the command --- */

union address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* "127.0.0.1:9825" or "[::1]:9825".  0 or -1. */
static int
parse_listen(const char *text, union address *out)
{
	const char *colon = strrchr(text, ':'), *bad = NULL;
	char host[INET6_ADDRSTRLEN + 2];
	size_t n = colon != NULL ? (size_t)(colon - text) : sizeof(host);
	uint16_t port;

	if (n >= sizeof(host))
		return -1;
	port = htons((uint16_t)strtonum(colon + 1, 1, 65535, &bad));
	if (bad != NULL)
		return -1;
	memcpy(host, text, n);
	host[n] = '\0';
	*out = (union address){ .in = { .sin_family = AF_INET, .sin_port = port } };
	if (inet_pton(AF_INET, host, &out->in.sin_addr) == 1)
		return 0;
	if (n < 3 || host[0] != '[' || host[n - 1] != ']')
		return -1;
	host[n - 1] = '\0';
	*out = (union address){ .in6 = { .sin6_family = AF_INET6, .sin6_port = port } };
	return inet_pton(AF_INET6, host + 1, &out->in6.sin6_addr) == 1 ? 0 : -1;
}

static int
wrong(const char *why)
{
	show_error(why);
	fputs("try letterplate-stats serve -h\n", stderr);
	return EX_USAGE;
}

/* A socket that listens, or -1 with errno. */
static int
listen_on(const union address *to)
{
	socklen_t len = to->sa.sa_family == AF_INET6 ? sizeof to->in6 : sizeof to->in;
	int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1, err;

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
	    (to->sa.sa_family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) == 0) &&
	    bind(fd, &to->sa, len) == 0 && listen(fd, CONNECTIONS_MAX) == 0)
		return fd;
	err = errno;
	close(fd);
	errno = err;
	return -1;
}

/* The folder that Landlock lets us read in: its name, and what it was at the start. */
static struct {
	char name[CONFINE_PATH_MAX];
	struct stat st;
} folder;

/*
 * Until a signal ends it: 0; or until the folder is another one, as
 * systemd makes it for each start of the server: its rule is for the old one,
 * so whoever looks after this process is to start it again.
 */
static int
wait_for_the_end(const sigset_t *end)
{
	static const struct timespec second = { 1, 0 };
	struct stat now;

	while (sigtimedwait(end, NULL, &second) < 0) {
		if (stat(folder.name, &now) != 0 || (now.st_dev == folder.st.st_dev && now.st_ino == folder.st.st_ino))
			continue;
		show_error("the folder of the segment is another one than at the start: to be started again");
		return EX_TEMPFAIL;
	}
	return EX_OK;
}

static int
run(const char *path, const char *listen, union address *to)
{
	unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL;
	struct MHD_Daemon *d;
	sigset_t end;
	int fd, code;

	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	sigaddset(&end, SIGINT);
	/* Before the thread is there, which inherits it. */
	sigprocmask(SIG_BLOCK, &end, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (confine_folder(path, folder.name, sizeof folder.name) != 0 || stat(folder.name, &folder.st) != 0) {
		warn("%s: its folder", path);
		return EX_NOINPUT;
	}
	if ((fd = listen_on(to)) < 0) {
		warn("cannot listen on %s", listen);
		return EX_UNAVAILABLE;
	}
	/* Before there is anybody to answer. */
	if (confine_files(folder.name) != 0)
		warn("not confined by Landlock");
	if (confine_calls() != 0)
		warn("not confined by seccomp");
	d = MHD_start_daemon(flags, 0, NULL, NULL, handle, (void *)(uintptr_t)path, MHD_OPTION_LISTEN_SOCKET, fd,
	    MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)TIMEOUT_S,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_END);
	if (d == NULL) {
		warn("cannot serve on %s", listen);
		close(fd);
		return EX_UNAVAILABLE;
	}
	code = wait_for_the_end(&end);
	MHD_stop_daemon(d);
	return code;
}

int
serve_main(int argc, char *argv[])
{
	static const struct option longs[] = { { "listen", required_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' }, { "version", no_argument, NULL, 'V' }, { NULL, 0, NULL, 0 } };
	const char *path = NULL, *listen = "127.0.0.1:9825";
	union address to;
	int c;

	while ((c = getopt_long(argc, argv, "s:hV", longs, NULL)) != -1) {
		switch (c) {
		case 's':
			path = optarg;
			break;
		case 'l':
			listen = optarg;
			break;
		case 'h':
			fputs(usage_text, stdout);
			return EX_OK;
		case 'V':
			puts("letterplate-stats " LETTERPLATE_VERSION);
			return EX_OK;
		default: /* getopt_long() said what was wrong */
			fputs("try letterplate-stats serve -h\n", stderr);
			return EX_USAGE;
		}
	}
	if (optind < argc)
		return wrong("an operand too many");
	if (path == NULL)
		return wrong("-s FILE is missing: the segment stands in state_dir, as in -s /run/letterplate/stats");
	if (parse_listen(listen, &to) != 0)
		return wrong("--listen takes an address and a port, like 127.0.0.1:9825 or [::1]:9825");
	return run(path, listen, &to);
}
