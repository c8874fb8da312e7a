/*
 * ctl_client: "letterplate ctl", the other end of the control socket.
 */
#ifndef MASTER_CTL_CLIENT_H_
#define MASTER_CTL_CLIENT_H_

#include "common/facts.h"

/* Run it: argv[0] is "ctl".  The exit status, as letterplate(8) lists them. */
int ctl_main(int argc, char **argv);

/* The whole of a status answer as a screen, or as one JSON object; ${text} is taken apart.  0, or -1 when it is none. */
int ctl_show_screen(char *text);
int ctl_show_json(char *text);
#endif
