/* version: the one place that says which release this is. */
#ifndef COMMON_VERSION_H_
#define COMMON_VERSION_H_

#define LETTERPLATE_VERSION "0.1.0"
#endif
