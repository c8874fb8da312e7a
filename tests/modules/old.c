/*
 * old: a module that was built for another interface.
 */
#include "worker/handlers/handler.h"

const struct handler_ops letterplate_handler = { .abi = 1, .name = "old" };
