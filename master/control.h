/*
 * control: signals and the master's loop; later also the control socket.
 */
#ifndef MASTER_CONTROL_H_
#define MASTER_CONTROL_H_

#include "master/master.h"

/* Hold those back that a server is asked for something by: before it can be asked, they would end it.  The loop reads them. */
void control_hold(void);

/* Block the signals that the loop reads, ignore those that mean nothing to us.  A signalfd, or -1 with errno. */
int control_signals(void);

/* Run until all workers are gone after TERM, or the start has failed: the exit status. */
int control_run(struct master *m);
#endif
