/*
 * reach: the server's control socket, and a trace begun over it.
 * What goes wrong is said on standard error, and ends the program with the
 * status that letterplate-trace(1) lists.
 */
#ifndef TOOLS_TRACE_REACH_H_
#define TOOLS_TRACE_REACH_H_

/* The state_dir that the config ${file} names; owner: the caller. */
char *reach_state_dir(const char *file);

/* A connection to the control socket in ${dir}. */
int reach_server(const char *dir);

/* Ask for a trace with ${filter}, a line of facts: a descriptor that gives one record a recv(2), and its end when nobody can write there any more. */
int reach_trace(int control, const char *filter);

/* The server says something on ${control}, or has gone: the exit status. */
int reach_end(int control);

#endif
