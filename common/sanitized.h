/*
 * sanitized: whether this build carries a sanitizer.
 * Sanitizers open /proc, start a tracing thread at exit (LeakSanitizer) and
 * make calls that nobody lists, so the sandbox gives way for them, and says so
 * in the log.  Such a build is for tests, never for mail.
 */
#ifndef COMMON_SANITIZED_H_
#define COMMON_SANITIZED_H_

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) /* gcc */
#define SANITIZED 1
#elif defined(__has_feature) /* clang */
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif
#endif
