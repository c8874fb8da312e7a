/*
 * ipc: what master and worker say to each other, and what a worker inherits.
 * One SOCK_SEQPACKET pair a worker.  Either side treats the other's messages
 * as outside input: a malformed one drops the peer.
 */
#ifndef COMMON_IPC_H_
#define COMMON_IPC_H_

#include <stdbool.h>
#include <stdint.h>

/*
 * Descriptors that a worker finds open when it starts; all others are closed.
 * argv: letterplate-worker LAYOUT CONFIGFILE SLOT GENERATION NLISTENERS; LAYOUT is IPC_LAYOUT.
 * The listeners stand in the order of the config: all addresses of the first
 * listener section, then of the next.
 */
enum {
	IPC_FD_CONF    = 3, /* memfd with the config's text, sealed */
	IPC_FD_CONTROL = 4, /* SOCK_SEQPACKET to the master */
	IPC_FD_STATS   = 5, /* the stats segment; closed once the slot is mapped */
	IPC_FD_CONNS   = 6, /* the connection tables; closed once mapped */
	IPC_FD_SIGN =
	    7, /* SOCK_SEQPACKET to the key process (common/sign.h); /dev/null without TLS, like the next two */
	IPC_FD_CERTS   = 8,  /* a bundle (common/bundle.h): two files a tls section, certificates and OCSP response */
	IPC_FD_TICKETS = 9,  /* the ticket keys (common/tickets.h), to be mapped read-only */
	IPC_FD_AUTH    = 10, /* SOCK_SEQPACKET to letterplate-auth (common/authask.h); /dev/null without AUTH */
	IPC_FD_LISTEN  = 11  /* the first of NLISTENERS listening sockets, non-blocking */
};

/*
 * The same of the key process behind IPC_FD_CONF and IPC_FD_CONTROL; argv: letterplate-keys LAYOUT CONFIGFILE GENERATION NCHANNELS
 */
enum {
	IPC_KEYS_FD_CERTS =
	    5, /* as IPC_FD_CERTS: a key that does not belong to its certificate is found at the start */
	IPC_KEYS_FD_KEYS    = 6, /* a bundle: the private keys, one a tls section */
	IPC_KEYS_FD_CHANNEL = 7  /* the first of NCHANNELS pairs to workers */
};

/*
 * The same of letterplate-auth behind those two; argv: letterplate-auth LAYOUT CONFIGFILE GENERATION NCHANNELS
 */
enum {
	IPC_AUTH_FD_FILE    = 5, /* the credentials, open for reading */
	IPC_AUTH_FD_BUDGET  = 6, /* who has guessed how often (common/budget.h); closed once mapped */
	IPC_AUTH_FD_CHANNEL = 7  /* the first of NCHANNELS pairs to workers */
};

/*
 * The same of letterplate-reports behind those two; argv: letterplate-reports LAYOUT CONFIGFILE GENERATION
 */
enum {
	IPC_REPORTS_FD_STATS = IPC_FD_STATS /* closed once its slot is mapped */
};

enum ipc_type {
	IPC_READY = 1, /* worker: the sandbox is closed, the listeners are watched */
	IPC_FAILED,    /* worker: cannot start; arg is a sysexits code, the reason was logged */
	IPC_DRAINED,   /* worker: no session is left, exit follows */
	IPC_STOP,      /* master: no new sessions; idle ones get 421 4.3.2 now, the rest within timeouts.drain */
	IPC_RETIRE, /* master: no new sessions; a newer generation serves. Sessions end by themselves; after timeouts.drain as for IPC_STOP */
	IPC_LOGLEVEL, /* master: arg is an enum log_level, until the worker ends */
	IPC_TRACE,    /* master: a descriptor to write to and a text, what is asked for; ipc_send_with() */
	IPC_LOGFD, /* master: another descriptor for the log, as log_reopened() takes it; ipc_send_with() and no text */
	IPC_LOGLOST, /* worker: the daemon that takes the log went away */
	IPC_TYPES    /* how many there are, and one */
};

/*
 * Changes whenever master and worker of different builds may not understand
 * each other: a new descriptor or message does it by itself, all else by
 * raising the first number.  It is the first argument of worker and key
 * process: one that is of another layout ends with EX_PROTOCOL.
 */
#define IPC_LAYOUT ((uint32_t)2 << 24 | (uint32_t)IPC_FD_LISTEN << 16 | (uint32_t)IPC_KEYS_FD_CHANNEL << 8 | IPC_TYPES)

/* Whether ${text} is IPC_LAYOUT in decimal. */
bool ipc_layout_is_ours(const char *text);

enum {
	IPC_TEXT_MAX    = 1024, /* octets of a message's text, with its NUL */
	IPC_TRACE_TERMS = 16    /* networks, recipients and listeners of a trace's filter, together */
};

#define IPC_CTL_SOCKET "control" /* in state_dir; what is said over it: master/ctl.h */

struct ipc_msg {
	uint32_t type; /* enum ipc_type */
	uint32_t arg;
};

/* Send.  0, or -1 with errno (EAGAIN, EPIPE). */
int ipc_send(int fd, enum ipc_type type, uint32_t arg);

/* Receive: 1 with *m, 0 when nothing is there, -1 when the peer is gone (errno 0) or sent something malformed (EBADMSG). */
int ipc_recv(int fd, struct ipc_msg *m);

/* What comes with a message of type IPC_TRACE or IPC_LOGFD. */
struct ipc_more {
	int  fd; /* -1: none; owner: who received it */
	char text[IPC_TEXT_MAX];
};

/* Send with a duplicate of ${passed} and a ${text} of less than IPC_TEXT_MAX octets.  0, or -1 with errno (EMSGSIZE, and as above). */
int ipc_send_with(int fd, enum ipc_type type, uint32_t arg, int passed, const char *text);

/* As ipc_recv(), and takes what comes with a message; only an IPC_TRACE or IPC_LOGFD may bring anything, and it must bring a descriptor. */
int ipc_recv_with(int fd, struct ipc_msg *m, struct ipc_more *more);
#endif
