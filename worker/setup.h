/*
 * setup: a worker's chain, made from the config.
 */
#ifndef WORKER_SETUP_H_
#define WORKER_SETUP_H_

#include "worker/worker.h"

/**
 * setup_handlers(w):
 * Open the handlers of all sections in their order and put them behind what is
 * in w->chain.  0, or -1 after one clear logged line.  Before seccomp.
 */
int setup_handlers(struct worker *w);

/* Whether any of them has a say in AUTH.  After setup_modules(). */
bool setup_has_auth(const struct worker *w);

/* Open w->dns if the config has a section dns.  Before the sandbox: it reads files.  0, or -1 after one clear logged line. */
int setup_dns(struct worker *w);

/* Descriptors that the connections of ${cf}'s handlers may take in one worker; sessions are not given them. */
uint32_t setup_descriptors(const struct conf *cf);

/**
 * setup_outward(w, sb):
 * Note whom the handlers of ${w}'s config connect to, for the sandbox.  0, or -1 after
 * one clear logged line.
 */
struct sandbox;
int setup_outward(const struct worker *w, struct sandbox *sb);

/* Load the modules; ${arg} is the worker.  For sandbox.load: 0, or -1 after one clear logged line. */
int setup_modules(void *arg);

#endif
