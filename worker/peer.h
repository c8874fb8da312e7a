/*
 * peer: who sits at the other end of a session: by the socket, or as a PROXY
 * header or XCLIENT claims.  Whether a claim may be made is looked up here; what
 * it means for mail is the engine's and the handlers' business.
 */
#ifndef WORKER_PEER_H_
#define WORKER_PEER_H_

#include "worker/session.h"

/* Note both ends as the kernel names them.  0, or -1 with errno ENOMEM. */
int peer_real(struct session *s, const struct sockaddr_storage *peer, const struct sockaddr_storage *local);

/* Whether the real peer must send a PROXY header. */
bool peer_owes_header(const struct session *s);

/**
 * peer_header(s, in):
 * Read the PROXY header at the front of *in: CONN_MORE with s->proxy_due still
 * set (it is not all there) or cleared (*in begins behind it, and the claimed
 * ends are s's), or CONN_CLOSE, when it is none.
 */
enum conn_say peer_header(struct session *s, struct span *in);

/* No header will come: count it, and let ${why}, a static word, be what the session ended by. */
void peer_no_header(struct session *s, const char *why);

/**
 * peer_xclient(s, x):
 * From now on ${s} is with the client that ${x} claims; what it does not say is
 * kept.  0, or -1 with errno ENOMEM and nothing changed.
 */
int peer_xclient(struct session *s, const struct xclient *x);

#endif
