/*
 * mend: listening sockets are as the master left them.
 * Workers share them, and with them what is said of the socket as a whole: one
 * that was taken over and found a way to say it would silence all others, and
 * every replacement.  The sandbox knows of none but connect(2) with AF_UNSPEC,
 * where the config has somebody to connect to.
 */
#ifndef MASTER_MEND_H_
#define MASTER_MEND_H_

#include "master/listen.h"

/**
 * mend_listeners(t):
 * Make those non-blocking and listening again that no longer are; a line of
 * the log for each.  What is in order costs two system calls a socket.
 */
void mend_listeners(const struct listen_table *t);
#endif
