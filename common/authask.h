/*
 * authask: what a worker says to letterplate-auth, and back.
 * One SOCK_SEQPACKET pair a worker, as common/sign.h.  Each question stands
 * for itself: letterplate-auth keeps nothing of an exchange between two steps.
 * Host byte order: both ends are one build on one machine.
 */
#ifndef COMMON_AUTHASK_H_
#define COMMON_AUTHASK_H_

#include <stdint.h>

enum {
	AUTH_PARTS      = 5,
	AUTH_OCTETS_MAX = 3072, /* octets of all parts together */
	AUTH_TEXT_MAX   = 288   /* octets of an answer's text */
};

enum auth_what {
	AUTH_PASSWORD = 1, /* name, password */
	AUTH_FIRST,        /* name, client-first-message-bare; the answer is server-first-message (RFC 5802 7) */
	AUTH_FINAL, /* name, client-first-message-bare, server-first-message, client-final-message-without-proof, proof; the
	               answer is server-final-message */
	AUTH_GUESS, /* nothing: others decide about a guess from this address; it is counted as wrong */
	AUTH_RIGHT  /* nothing: it was not; there is no answer */
};

enum auth_result { AUTH_YES, AUTH_NO, AUTH_NO_IP, AUTH_NO_USER, AUTH_BUSY };

struct auth_ask {
	uint64_t boot,
	    id; /* the worker's; boot is of one process alone, so that an answer to its predecessor is none to it */
	uint8_t  what;          /* enum auth_what */
	uint8_t  addr[16];      /* the client's, IPv4 mapped; all zero: no address, no budget */
	uint8_t  counted;       /* of AUTH_PASSWORD: AUTH_GUESS came before it, so the address has been counted */
	uint16_t n[AUTH_PARTS]; /* octets of each part; they follow one another */
	uint8_t  octets[AUTH_OCTETS_MAX];
};

/* boot 0: the process is a new one; what was asked before may be lost. */
struct auth_answer {
	uint64_t boot, id;
	uint32_t result; /* enum auth_result */
	uint32_t n;
	uint8_t  text[AUTH_TEXT_MAX];
};

#define AUTH_ASK_HEAD    offsetof(struct auth_ask, octets)
#define AUTH_ANSWER_HEAD offsetof(struct auth_answer, text)
#endif
