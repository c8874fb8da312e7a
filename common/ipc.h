/*
 * ipc: what master and worker say to each other, and what a worker inherits.
 * One SOCK_SEQPACKET pair a worker.  Either side treats the other's messages
 * as outside input: a malformed one drops the peer.
 */
#ifndef COMMON_IPC_H_
#define COMMON_IPC_H_

#include <stdint.h>

/*
 * Descriptors that a worker finds open when it starts; all others are closed.
 * argv: letterplate-worker CONFIGFILE SLOT GENERATION NLISTENERS
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
	IPC_FD_CERTS   = 8, /* a bundle (common/bundle.h): two files a tls section, certificates and OCSP response */
	IPC_FD_TICKETS = 9, /* the ticket keys (common/tickets.h), to be mapped read-only */
	IPC_FD_LISTEN  = 10 /* the first of NLISTENERS listening sockets, non-blocking */
};

/*
 * The same of the key process; argv: letterplate-keys CONFIGFILE GENERATION NCHANNELS
 */
enum {
	IPC_KEYS_FD_CONF    = IPC_FD_CONF,
	IPC_KEYS_FD_CONTROL = IPC_FD_CONTROL,
	IPC_KEYS_FD_CERTS =
	    5, /* as IPC_FD_CERTS: a key that does not belong to its certificate is found at the start */
	IPC_KEYS_FD_KEYS    = 6, /* a bundle: the private keys, one a tls section */
	IPC_KEYS_FD_CHANNEL = 7  /* the first of NCHANNELS pairs to workers */
};

enum ipc_type {
	IPC_READY = 1, /* worker: the sandbox is closed, the listeners are watched */
	IPC_FAILED,    /* worker: cannot start; arg is a sysexits code, the reason was logged */
	IPC_DRAINED,   /* worker: no session is left, exit follows */
	IPC_STOP,      /* master: no new sessions; idle ones get 421 4.3.2 now, the rest within timeouts.drain */
	IPC_RETIRE /* master: no new sessions; a newer generation serves. Sessions end by themselves; after timeouts.drain as for IPC_STOP */
};

struct ipc_msg {
	uint32_t type; /* enum ipc_type */
	uint32_t arg;
};

/* Send.  0, or -1 with errno (EAGAIN, EPIPE). */
int ipc_send(int fd, enum ipc_type type, uint32_t arg);

/* Receive: 1 with *m, 0 when nothing is there, -1 when the peer is gone (errno 0) or sent something malformed (EBADMSG). */
int ipc_recv(int fd, struct ipc_msg *m);
#endif
