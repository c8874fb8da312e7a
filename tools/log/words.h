/*
 * words: what the log's fixed words mean, in sentences for people.
 */
#ifndef TOOLS_LOG_WORDS_H_
#define TOOLS_LOG_WORDS_H_

/* Why a reply with this reason is given: a clause without its full stop, NULL for a word that is not known here. */
const char *words_reason(const char *reason);

/* How a session with this end ended; the same. */
const char *words_end(const char *end);
#endif
